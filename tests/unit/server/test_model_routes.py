"""shimmy's routes about models, over scripted engines."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from scripted_engine import ScriptedEngine

from shimmy.errors import ModelLoadError
from shimmy.model_info import LoadSpec


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


def events_of(response: Any) -> list[tuple[str, Any]]:
    parts = [part.split("\n") for part in response.text.strip().split("\n\n")]
    return [(name.removeprefix("event: "), json.loads(data.removeprefix("data: "))) for name, data in parts]


def test_the_progress_of_a_load(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    fails = False

    async def slowly(spec: LoadSpec, progress: Any) -> ScriptedEngine:
        for step in range(1, 4):
            progress(step / 3)
            await asyncio.sleep(0.15)
        if fails:
            raise ModelLoadError("the file ends early")
        return ScriptedEngine(spec.name)

    monkeypatch.setattr(ScriptedEngine, "load", slowly)
    with start_server() as server:
        stream = {"accept": "text/event-stream"}
        *told, last = events_of(server.http.post("/api/models/m/load", headers=stream))
        assert {name for name, _ in told} == {"progress"}
        fractions = [event["progress"] for _, event in told]
        assert fractions == sorted(set(fractions))
        assert told[0][1] == {"model": "m", "status": "loading", "progress": fractions[0]}
        assert (last[0], last[1]["status"], last[1]["model"]) == ("loaded", "loaded", "m")
        (only,) = events_of(server.http.post("/api/models/load", json={"model": "m"}, headers=stream))
        assert only[0] == "loaded"
        fails = True
        server.http.post("/api/models/m/unload")
        *_, failed = events_of(server.http.post("/api/models/m/load", headers=stream))
        assert failed == ("error", {"error": "the file ends early"})
        assert server.http.post("/api/models/none/load", headers=stream).status_code == 404


def test_a_load_that_fails_at_once_is_a_plain_error(server: Any) -> None:
    answer = server.http.post("/api/models/broken/load", headers={"accept": "text/event-stream"})
    assert answer.status_code == 502
    assert "bad magic" in answer.json()["error"]


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
