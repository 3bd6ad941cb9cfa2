"""Anthropic's `session_id`, /v1/session and /v1/status, over a scripted engine."""

from __future__ import annotations

import asyncio
import json
import threading
import weakref
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_registry import FakeEntry

from shimmy.errors import QueueFullError
from shimmy.models.manager import ModelStatus
from shimmy.server.errors import HttpError
from shimmy.server.session_store import MAX_WAITING, SessionStore
from shimmy.server.sessions import generator_status
from shimmy.settings import Settings

TOOL = {"name": "weather", "input_schema": {"type": "object"}}


def say(server: Any, content: Any, session_id: str | None, **fields: Any) -> httpx.Response:
    turn = {"role": "user", "content": content}
    body = {"model": "m", "max_tokens": 50, "messages": [turn], "session_id": session_id, **fields}
    return server.http.post("/v1/messages", json=body)


def test_an_answer_and_its_beginning_are_one_turn(server: Any) -> None:
    turns = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "one two"}]
    assert say(server, "", "begun", messages=turns).json()["content"][0]["text"] == "one two"  # it echoes
    say(server, "more", "begun")
    assert prompted(server) == [("user", "And?"), ("assistant", "one twoone two"), ("user", "more")]


def info(server: Any, session_id: str) -> httpx.Response:
    return server.http.get(f"/v1/session/{session_id}")


def prompted(server: Any) -> list[tuple[str, Any]]:
    return [(message["role"], message["content"]) for message in server.engine.requests[-1].prompt.messages]


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_keeps_what_was_said(server: Any, stream: bool) -> None:
    name = f"chat/{stream}"
    answer = say(server, "hello there", name, stream=stream, system="Be brief.")
    assert answer.status_code == 200
    assert f'"session_id":"{name}"' in answer.text
    say(server, "and now", name, stream=stream)
    assert prompted(server) == [("user", "hello there"), ("assistant", "hello there"), ("user", "and now")]
    say(server, "more", name, stream=stream, system="Be long.")
    assert prompted(server)[0] == ("system", "Be long.")
    assert len(prompted(server)) == 6
    told = info(server, name).json()
    assert (told["id"], told["message_count"]) == (name, 6)
    created, active = (
        datetime.fromisoformat(told[key].replace("Z", "+00:00")) for key in ("created_at", "last_activity")
    )
    assert created <= active <= datetime.now(timezone.utc)


def test_without_a_session_nothing_is_kept_or_told(server: Any) -> None:
    answer = say(server, "hi", None).json()
    assert "session_id" not in answer


def test_calls_and_their_results_continue(server: Any) -> None:
    blocks = say(server, "tool weather", "calls", tools=[TOOL]).json()["content"]
    result = [{"type": "tool_result", "tool_use_id": block["id"], "content": "sun"} for block in blocks]
    say(server, result, "calls", tools=[TOOL])
    messages = server.engine.requests[-1].prompt.messages
    assert [call["id"] for call in messages[1]["tool_calls"]] == [block["id"] for block in blocks]
    assert json.loads(messages[1]["tool_calls"][0]["function"]["arguments"]) == {"city": "Rome"}
    assert [message["tool_call_id"] for message in messages[2:]] == [block["id"] for block in blocks]
    streamed = say(server, "tool weather", "calls", tools=[TOOL], stream=True).text
    told = [json.loads(line[6:]) for line in streamed.splitlines() if line.startswith("data: ")]
    ids = [event["content_block"]["id"] for event in told if event["type"] == "content_block_start"]
    say(server, "next", "calls")
    assert [call["id"] for call in server.engine.requests[-1].prompt.messages[-2]["tool_calls"]] == ids


def test_what_fails_leaves_no_trace(server: Any) -> None:
    assert say(server, "fail ModelNotReadyError", "fails").status_code == 503
    assert say(server, "refuse InvalidRequestError", "fails").status_code == 400
    assert info(server, "fails").status_code == 404
    say(server, "hi", "fails")
    assert "event: error" in say(server, "break", "fails", stream=True).text
    assert info(server, "fails").json()["message_count"] == 2


def test_a_client_that_leaves_changes_nothing(server: Any) -> None:
    body = {"model": "m", "max_tokens": 50, "messages": [{"role": "user", "content": "hang"}], "session_id": "left"}
    with pytest.raises(httpx.ReadTimeout):
        server.http.post("/v1/messages", json=body, timeout=0.3)
    server.wait_until(lambda: info(server, "left").status_code == 404)
    say(server, "hi", "left")
    assert prompted(server) == [("user", "hi")]


def test_requests_of_one_session_take_turns(server: Any) -> None:
    threads = [threading.Thread(target=say, args=(server, "slow 5", "turns")) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert info(server, "turns").json()["message_count"] == 8
    assert sorted(len(request.prompt.messages) for request in server.engine.requests) == [1, 3, 5, 7]


def test_deleting(server: Any) -> None:
    say(server, "hi", "gone")
    answer = server.http.delete("/v1/session/gone")
    assert (answer.status_code, answer.content) == (204, b"")
    for answer in (server.http.delete("/v1/session/gone"), info(server, "gone")):
        assert answer.status_code == 404
        assert answer.json()["error"]["code"] == "session_not_found"
        assert "'gone'" in answer.json()["error"]["message"]
    say(server, "new", "gone")
    assert prompted(server) == [("user", "new")]


def test_counting_tokens_counts_the_session(server: Any) -> None:
    def count(**fields: Any) -> int:
        body = {"model": "m", "messages": [{"role": "user", "content": "x"}], **fields}
        return int(server.http.post("/v1/messages/count_tokens", json=body).json()["input_tokens"])

    assert count(session_id="counted") == count()
    say(server, "something long", "counted")
    assert count(session_id="counted") > count() + 2 * len("something long")
    assert info(server, "counted").json()["message_count"] == 2


@pytest.mark.parametrize("bad", ["", "x" * 257, 5])
def test_bad_ids_are_400(server: Any, bad: Any) -> None:
    answer = say(server, "hi", bad)
    assert answer.status_code == 400
    assert "session_id" in answer.json()["error"]["message"]


def test_at_most_so_many(start_server: Callable[..., Any]) -> None:
    with start_server(Settings(bind="127.0.0.1:0", max_sessions=2)) as server:
        assert say(server, "hi", "a").status_code == 200
        assert say(server, "hi", "b").status_code == 200
        assert server.http.get("/v1/status").json()["active_sessions"] == 2
        refused = say(server, "hi", "c")
        assert refused.status_code == 429
        assert "2 sessions" in refused.json()["error"]["message"]
        assert 1700 < int(refused.headers["retry-after"]) <= 1800
        assert say(server, "hi", "a").status_code == 200
        server.http.delete("/v1/session/b")
        assert say(server, "hi", "c").status_code == 200
    with start_server(Settings(bind="127.0.0.1:0", max_sessions=0)) as server:
        assert say(server, "hi", "a").status_code == 429


def test_keys_do_not_share_sessions(start_server: Callable[..., Any], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[ann]\nkey = "ann-secret"\n[bob]\nkey = "bob-secret"\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys, max_sessions=1)) as server:

        def call(method: str, path: str, who: str, **fields: Any) -> httpx.Response:
            return server.http.request(method, path, headers={"x-api-key": f"{who}-secret"}, **fields)

        def speak(who: str, content: str) -> None:
            body = {
                "model": "m",
                "max_tokens": 5,
                "messages": [{"role": "user", "content": content}],
                "session_id": "s",
            }
            assert call("POST", "/v1/messages", who, json=body).status_code == 200

        speak("ann", "mine")
        assert call("GET", "/v1/session/s", "bob").status_code == 404
        assert call("DELETE", "/v1/session/s", "bob").status_code == 404
        speak("bob", "his")
        assert prompted(server) == [("user", "his")]
        assert call("GET", "/v1/session/s", "ann").json()["message_count"] == 2
        assert call("GET", "/v1/status", "bob").json()["active_sessions"] == 1


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_idle_sessions_are_forgotten_but_none_in_use() -> None:
    async def check() -> None:
        clock = Clock()
        store = SessionStore(2, 60, clock)
        async with store.use("a") as session:
            session.add([{"role": "user", "content": "x"}])
            clock.now += 1000
            assert store.get("a") is session
        clock.now += 59
        assert store.history("a")
        clock.now += 1
        assert store.history("a") == []
        with pytest.raises(HttpError, match="'a'"):
            store.get("a")
        async with store.use("empty"):
            assert store.count() == 1
        assert store.count() == 0

    asyncio.run(check())


def test_silent_keys_are_forgotten() -> None:
    async def check() -> None:
        store = SessionStore(2, 0.02)
        async with store.use("a") as session:
            session.add([{"role": "user", "content": "x"}])
            await asyncio.sleep(0.05)
            assert store.get("a") is session
        gone = weakref.ref(session)
        del session
        for _ in range(500):
            await asyncio.sleep(0.01)
            if gone() is None:
                return
        pytest.fail("the session is still held")

    asyncio.run(check())


def test_few_requests_wait_for_one_session() -> None:
    async def check() -> None:
        store = SessionStore(10, 60)

        async def turn() -> None:
            async with store.use("a") as session:
                session.add([{"role": "user", "content": "x"}])

        async with store.use("a"):
            waiting = [asyncio.ensure_future(turn()) for _ in range(MAX_WAITING)]
            await asyncio.sleep(0)
            with pytest.raises(QueueFullError, match="16 requests wait for the session 'a'"):
                await turn()
            async with store.use("b"):
                pass
        await asyncio.gather(*waiting)
        assert len(store.get("a").messages) == MAX_WAITING

    asyncio.run(check())


def test_what_sessions_hold_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shimmy.server.session_store.MAX_BYTES", 1000)

    async def check() -> None:
        store = SessionStore(10, 60)
        async with store.use("a") as session:
            session.add([{"role": "user", "content": "x" * 2000}])
        with pytest.raises(QueueFullError, match="2030 bytes, the limit is 1000"):
            async with store.use("b"):
                pass
        assert store.count() == 1
        store.delete("a")
        async with store.use("b"):
            pass

    asyncio.run(check())


def test_a_deleted_session_is_not_the_next_ones() -> None:
    async def check() -> None:
        store = SessionStore(10, 60)

        async def turn(text: str) -> int:
            async with store.use("a") as session:
                await asyncio.sleep(0)
                session.add([{"role": "user", "content": text}])
                return len(session.messages)

        async with store.use("a") as first:
            first.add([{"role": "user", "content": "1"}])
            waiting = asyncio.ensure_future(turn("2"))
            await asyncio.sleep(0)
            store.delete("a")
        assert await waiting == 1
        assert store.get("a") is not first

    asyncio.run(check())


def status(name: str, state: Any, **fields: Any) -> ModelStatus:
    return ModelStatus(name=name, state=state, **fields)


@pytest.mark.parametrize(
    ("statuses", "names", "expected"),
    [
        ([], [], ("not_available", None, None, None)),
        ([], ["a"], ("initializing", None, None, None)),
        ([status("a", "unloaded")], ["a"], ("initializing", None, None, None)),
        ([status("a", "loading", progress=0.25)], ["a"], ("loading", "a", 0.25, None)),
        ([status("a", "failed", load_error="bad magic")], ["a"], ("failed", "a", None, "bad magic")),
        (
            [status("a", "dead")],
            ["a"],
            ("failed", "a", None, "its process ended; the next request starts it again"),
        ),
        ([status("a", "failed"), status("b", "loading"), status("c", "loaded")], ["a"], ("ready", "c", None, None)),
        ([status("a", "loaded", last_used=2.0), status("b", "loaded", last_used=1.0)], [], ("ready", "a", None, None)),
    ],
)
def test_what_the_generator_is_at(statuses: list[ModelStatus], names: list[str], expected: tuple[Any, ...]) -> None:
    told = generator_status(statuses, names, [])
    assert (told.state, told.model, told.progress, told.error) == expected


def test_a_model_on_its_way_is_told() -> None:
    for statuses in ([], [status("a", "failed")]):
        told = generator_status(statuses, [], ["new"])
        assert (told.state, told.model) == ("downloading", "new")
    assert generator_status([status("a", "loaded")], ["a"], ["new"]).state == "ready"


def test_only_models_that_generate_are_generators(start_server: Callable[..., Any]) -> None:
    entries = (FakeEntry("m", "m.gguf", kind="embedding"), FakeEntry("chat", "chat.gguf"))
    with start_server(entries=entries) as server:
        assert server.http.post("/v1/embeddings", json={"model": "m", "input": "x"}).status_code == 200
        assert server.http.get("/v1/status").json()["generator"]["state"] == "initializing"
        steps = [{"id": "a", "type": "llm", "parameters": {"prompt": "hi"}}]
        answer = server.http.post("/api/workflows/execute", json={"workflow": {"id": "w", "steps": steps}}).json()
        assert answer["step_results"]["a"]["result"]["model"] == "chat"


def test_status(start_server: Callable[..., Any]) -> None:
    with start_server() as server:
        before = server.http.get("/v1/status").json()
        assert (before["service"], before["generator"]["state"], before["active_sessions"]) == (
            "shimmy",
            "initializing",
            0,
        )
        server.http.post("/api/generate", json={"model": "broken", "prompt": "x"})
        failed = server.http.get("/v1/status").json()["generator"]
        assert (failed["state"], failed["model"]) == ("failed", "broken")
        assert "bad magic" in failed["error"]
        say(server, "hi", "a")
        after = server.http.get("/v1/status").json()
        assert (after["generator"]["state"], after["generator"]["model"], after["active_sessions"]) == ("ready", "m", 1)
        assert after["uptime_seconds"] > 0
