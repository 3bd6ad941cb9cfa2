"""shimmy's routes about models, over scripted engines."""

from __future__ import annotations

import threading
from typing import Any

import pytest


def state_of(server: Any, name: str) -> Any:
    return server.http.get(f"/api/models/{name}/status").json()


def test_the_list(server: Any) -> None:
    models = server.http.get("/api/models").json()["models"]
    assert [(model["name"], model["source"]) for model in models] == [
        ("m", "registered"),
        ("org/chat:8b", "discovered"),
        ("broken", "discovered"),
    ]
    assert (models[0]["size_bytes"], models[0]["model_type"], models[0]["parameter_count"]) == (1000, "chat", "1K")


def test_discovering(server: Any) -> None:
    answer = server.http.post("/api/models/discover").json()
    assert answer["discovered"] == 2
    assert len(answer["models"]) == 3


@pytest.mark.parametrize("in_path", [True, False])
def test_loading_and_unloading(start_server: Any, in_path: bool) -> None:
    name = "org/chat:8b"

    def post(what: str) -> Any:
        if in_path:
            return server.http.post(f"/api/models/{name}/{what}")
        return server.http.post(f"/api/models/{what}", json={"model": name})

    with start_server() as server:
        assert state_of(server, name)["status"] == "unloaded"
        assert server.http.get("/api/models/status").json() == []
        answer = post("load").json()
        assert (answer["status"], answer["model"]) == ("loaded", name)
        assert post("load").json()["status"] == "loaded"
        assert len(server.engines) == 1
        state = state_of(server, name)
        assert (state["loaded"], state["n_ctx"], state["running"], state["in_use"]) == (True, 256, 0, 0)
        assert [one["model"] for one in server.http.get("/api/models/status").json()] == [name]
        assert post("unload").json()["status"] == "unloaded"
        assert not server.engine.alive
        assert "was not loaded" in post("unload").json()["message"]
        assert server.http.delete(f"/api/models/{name}").json()["status"] == "unloaded"


def test_unloading_waits_unless_forced(start_server: Any) -> None:
    answers: list[Any] = []
    with start_server() as server:
        asking = threading.Thread(target=lambda: answers.append(server.chat("slow 400")))
        asking.start()
        server.wait_until(lambda: bool(server.engines) and server.engine.running == 1)
        assert server.http.post("/api/models/m/unload?force=maybe").status_code == 400
        assert server.http.post("/api/models/m/unload?force=true").json()["status"] == "unloaded"
        assert not server.engine.alive
        assert state_of(server, "m")["status"] == "unloaded"
        asking.join(10)
        assert answers[0].status_code == 502


def test_errors(server: Any) -> None:
    broken = server.http.post("/api/models/broken/load")
    assert (broken.status_code, set(broken.json())) == (502, {"error"})
    assert "bad magic" in broken.json()["error"]
    for path in ("/api/models/none/load", "/api/models/none/unload"):
        assert server.http.post(path).status_code == 404
    assert server.http.get("/api/models/none/status").status_code == 404
    assert server.http.post("/api/models/load", json={}).status_code == 400
    assert state_of(server, "broken")["error"]
