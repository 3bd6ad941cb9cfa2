"""How long models stay and who may come, as the protocols tell it."""

from __future__ import annotations

import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fake_registry import FakeEntry
from tiny_gguf import write_model

from shimmy.models.host_memory import ProcessMemory
from shimmy.models.memory import Memory
from shimmy.settings import Settings

MIB = 1 << 20
ASKED = [{"role": "user", "content": "hello"}]


def chat(server: Any, **fields: Any) -> Any:
    body = {"model": "m", "messages": ASKED, "stream": False, **fields}
    return server.http.post("/api/chat", json=body)


def seconds_left(server: Any) -> float:
    (one,) = server.http.get("/api/ps").json()["models"]
    return datetime.fromisoformat(one["expires_at"]).timestamp() - time.time()


def state(server: Any, name: str = "m") -> Any:
    return server.http.get(f"/api/models/{name}/status").json()


def test_what_ps_says_is_true(start_server: Any) -> None:
    with start_server() as server:
        assert chat(server).status_code == 200
        assert seconds_left(server) == pytest.approx(300, abs=60)
        assert chat(server, keep_alive="10m").status_code == 200
        assert seconds_left(server) == pytest.approx(600, abs=60)
        assert chat(server).status_code == 200
        assert seconds_left(server) == pytest.approx(600, abs=60)
        assert state(server)["expires_at"] - time.time() == pytest.approx(600, abs=60)
        assert chat(server, keep_alive=-1).status_code == 200
        assert seconds_left(server) > 200 * 365 * 86400
        assert state(server)["expires_at"] is None
        assert chat(server, keep_alive=0.05).status_code == 200
        server.wait_until(lambda: not server.engine.alive)
        assert server.http.get("/api/ps").json() == {"models": []}
        assert state(server)["expires_at"] is None
        assert chat(server).status_code == 200
        assert seconds_left(server) == pytest.approx(300, abs=60)


def test_a_model_in_use_stays(start_server: Any) -> None:
    entries = (FakeEntry("m", "m.gguf", settings=Settings(keep_alive=0.05)),)
    with start_server(entries=entries) as server:
        body = {"model": "m", "messages": [{"role": "user", "content": "slow 200"}]}
        with server.http.stream("POST", "/api/chat", json=body) as stream:
            told = stream.iter_lines()
            next(told)
            assert seconds_left(server) <= 0.05
            assert len(list(told)) > 20
        assert len(server.engines) == 1
        server.wait_until(lambda: not server.engine.alive)


def test_no_time_at_all(start_server: Any) -> None:
    entries = (FakeEntry("m", "m.gguf", settings=Settings(keep_alive=0)),)
    with start_server(entries=entries) as server:
        for count in (1, 2):
            assert server.chat("hello").status_code == 200
            server.wait_until(lambda: not server.engine.alive)
            assert len(server.engines) == count


def test_loading_can_say_how_long(start_server: Any) -> None:
    with start_server() as server:
        load = server.http.post("/api/models/load", json={"model": "m", "keep_alive": "2h"})
        assert load.status_code == 200
        assert state(server)["expires_at"] - time.time() == pytest.approx(7200, abs=60)
        wrong = server.http.post("/api/models/load", json={"model": "m", "keep_alive": "soon"})
        assert wrong.status_code == 400
        assert "keep_alive must be" in wrong.json()["error"]


@pytest.fixture
def tight(start_server: Any, tmp_path: Path) -> Iterator[Any]:
    """A server whose budget holds one of "m" and "other", and never "huge"."""
    shape = {
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.context_length": 4096,
    }
    path = str(write_model(tmp_path / "m.gguf", shape))
    entries = [
        FakeEntry("m", path, size_bytes=200 * MIB),
        FakeEntry("other", path, size_bytes=200 * MIB),
        FakeEntry("kept", path, size_bytes=60 * MIB, pinned=True),
        FakeEntry("huge", path, size_bytes=900 * MIB),
    ]
    memory = Memory(400 * MIB, measure=lambda _: ProcessMemory(own=40 * MIB, files=200 * MIB))
    with start_server(entries=entries, memory=memory) as server:
        yield server


PROTOCOLS = {
    "/v1/chat/completions": {"messages": ASKED},
    "/v1/responses": {"input": "hello"},
    "/v1/messages": {"messages": ASKED, "max_tokens": 9},
    "/api/chat": {"messages": ASKED},
    "/api/generate": {"prompt": "hello"},
    "/api/models/load": {},
}


@pytest.mark.parametrize("path", PROTOCOLS)
def test_what_never_fits_is_no_5xx(tight: Any, path: str) -> None:
    answer = tight.http.post(path, json={"model": "huge", **PROTOCOLS[path]})
    assert answer.status_code == 400
    assert "retry-after" not in answer.headers
    error = answer.json()["error"]
    message = error if isinstance(error, str) else error["message"]
    assert "'huge' cannot be loaded: it needs 9" in message
    assert "the budget is 400.0 MiB" in message
    if path == "/v1/chat/completions":
        assert (error["code"], error["type"], error["param"]) == (
            "insufficient_memory",
            "invalid_request_error",
            "model",
        )
    if path == "/v1/messages":
        assert error["type"] == "invalid_request_error"


@pytest.mark.parametrize("path", PROTOCOLS)
def test_what_may_fit_later_says_when_to_come_again(tight: Any, path: str) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "slow 400"}]}
    with tight.http.stream("POST", "/api/chat", json=body) as stream:
        told = stream.iter_lines()  # a generator that is dropped closes its response
        next(told)
        answer = tight.http.post(path, json={"model": "other", **PROTOCOLS[path]})
        assert answer.status_code == 503
        assert int(answer.headers["retry-after"]) >= 1
        assert "m 240.0 MiB (in use)" in answer.text
    tight.wait_until(lambda: state(tight)["in_use"] == 0)
    assert tight.http.post("/api/models/other/load").status_code == 200
    assert (state(tight)["status"], state(tight, "other")["memory_bytes"]) == ("unloaded", 240 * MIB)


def test_pinned_models_say_so(tight: Any) -> None:
    assert tight.http.post("/api/models/kept/load").status_code == 200
    kept = state(tight, "kept")
    assert (kept["pinned"], kept["expires_at"]) == (True, None)
    assert seconds_left(tight) > 1e9
    assert tight.http.post("/api/models/kept/unload").json()["message"] == "kept was unloaded"
