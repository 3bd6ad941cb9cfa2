"""Limits on requests per minute and on requests under way: of each key, and of all callers."""

from __future__ import annotations

import json
import threading
from collections import deque
from pathlib import Path
from typing import Any

import anthropic
import openai
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

from shimmy.errors import ShimmyError
from shimmy.server.auth import Key, tenant
from shimmy.server.errors import HttpError
from shimmy.server.limits import Limiter, is_counted
from shimmy.settings import Settings

MESSAGES = [{"role": "user", "content": "hi"}]
BODY = {"model": "m", "messages": MESSAGES}


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


# --- the counting -----------------------------------------------------------------------------------------------------


def refusal_of(limiter: Limiter) -> HttpError:
    with pytest.raises(HttpError) as refused:
        limiter.admit()
    return refused.value


def test_a_minute_is_any_60_seconds() -> None:
    clock = Clock()
    limiter = Limiter(Settings(requests_per_minute=2), {}, clock)
    limiter.admit()
    clock.now += 50
    limiter.admit()
    refused = refusal_of(limiter)
    assert refused.message == "all callers together may make 2 requests per minute and did: try again in 10.0 s"
    assert (refused.status, refused.retry_after) == (429, 10.0)
    clock.now += 10
    limiter.admit()
    assert refusal_of(limiter).retry_after == 50.0


@settings(deadline=None)
@given(limit=st.integers(1, 5), pauses=st.lists(st.floats(0, 40), max_size=40))
def test_no_minute_has_more_and_a_wait_as_told_is_enough(limit: int, pauses: list[float]) -> None:
    clock = Clock()
    limiter = Limiter(Settings(requests_per_minute=limit), {}, clock)
    admitted: deque[float] = deque()
    for pause in pauses:
        clock.now += pause
        try:
            limiter.admit()
        except HttpError as refused:
            assert refused.retry_after is not None
            clock.now += refused.retry_after + 1e-6
            limiter.admit()
        admitted.append(clock.now)
        assert sum(time > clock.now - 60 for time in admitted) <= limit


def test_one_hold_ends_once_all_its_sharers_released_it() -> None:
    limiter = Limiter(Settings(concurrent_requests=1), {})
    hold = limiter.admit()
    shared = hold.share()
    hold.release()
    assert "1 requests of all callers together are under way" in refusal_of(limiter).message
    shared.release()
    limiter.admit()


def test_keys_have_their_own_numbers_or_those_of_all_keys() -> None:
    keys = {"ann": Key("ann-secret", concurrent_requests=2), "bob": Key("bob-secret")}
    limiter = Limiter(Settings(key_concurrent_requests=1, concurrent_requests=4), keys)

    def admit(name: str, times: int) -> None:
        tenant.set(name)
        for _ in range(times):
            limiter.admit()

    admit("ann", 2)
    assert "2 requests of key 'ann'" in refusal_of(limiter).message
    admit("bob", 1)
    assert "1 requests of key 'bob'" in refusal_of(limiter).message
    admit("", 1)
    assert "4 requests" not in refusal_of(limiter).message
    tenant.set("ann")


def test_what_is_refused_does_not_count() -> None:
    clock = Clock()
    limiter = Limiter(Settings(requests_per_minute=2, concurrent_requests=1), {}, clock)
    with limiter.admit():
        for _ in range(5):
            assert "under way" in refusal_of(limiter).message
    limiter.admit()


@pytest.mark.parametrize(
    ("method", "path", "counted"),
    [
        ("POST", "/v1/chat/completions", True),
        ("POST", "/api/generate", True),
        ("POST", "/v1/requests/x/fork", True),
        ("POST", "/api/tools/x/execute", True),
        ("POST", "/v1/responses/x/cancel", False),
        ("POST", "/api/models/m/load", False),
        ("POST", "/api/show", False),
        ("POST", "/api/workflows/execute", True),
        ("POST", "/v1/training/status", False),
        ("GET", "/v1/models", False),
        ("DELETE", "/v1/requests/x", False),
    ],
)
def test_what_counts(method: str, path: str, counted: bool) -> None:
    assert is_counted({"type": "http", "method": method, "path": path}) == counted


# --- over HTTP --------------------------------------------------------------------------------------------------------


def test_429_in_each_protocols_shape(start_server: Any) -> None:
    with start_server(Settings(bind="127.0.0.1:0", requests_per_minute=1)) as server:
        first = server.chat("hi")
        assert first.status_code == 200
        assert first.headers["x-ratelimit-limit-requests"] == "1"
        assert first.headers["x-ratelimit-remaining-requests"] == "0"
        for path in ("/v1/chat/completions", "/v1/messages", "/api/chat", "/v1/responses", "/completion"):
            answer = server.http.post(path, json={**BODY, "max_tokens": 5})
            assert answer.status_code == 429
            rate = [answer.headers[f"x-ratelimit-{what}-requests"] for what in ("limit", "remaining")]
            assert rate == ["1", "0"]
            assert 55 <= int(answer.headers["retry-after"]) <= 60
            told = answer.json()["error"]
            message = told if path.startswith("/api/") else told["message"]
            assert message.startswith("all callers together may make 1 requests per minute")
            if path == "/v1/messages":
                assert told["type"] == "rate_limit_error"
            elif not path.startswith("/api/"):
                assert (told["type"], told["code"]) == ("rate_limit_exceeded", "rate_limit_exceeded")
        assert server.http.get("/v1/models").status_code == 200
        assert len(server.engine.requests) == 1


def test_a_full_queue_says_how_full(server: Any) -> None:
    answer = server.chat("fail QueueFullError")
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


@pytest.fixture
def one_at_a_time(start_server: Any) -> Any:
    with start_server(Settings(bind="127.0.0.1:0", concurrent_requests=1)) as server:
        yield server


def test_who_asks_again_at_once_is_let_in(one_at_a_time: Any) -> None:
    for stream in (False, True):
        assert [one_at_a_time.chat("hi", stream=stream).status_code for _ in range(20)] == [200] * 20


def wait_until_admitted(server: Any) -> None:
    server.wait_until(lambda: server.chat("hi").status_code == 200)


def test_a_stream_holds_its_place_until_its_end(one_at_a_time: Any) -> None:
    server = one_at_a_time
    body = {"model": "m", "prompt": "slow 100000", "stream": True}
    with server.http.stream("POST", "/v1/completions", json=body) as reply:
        lines = reply.iter_lines()
        next(lines)
        refused = server.chat("hi")
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
        assert "1 requests of all callers together are under way" in refused.json()["error"]["message"]
    wait_until_admitted(server)  # the client has left in the middle of it
    assert server.chat("hi").status_code == 200


@pytest.mark.parametrize("prompt", ["break", "bug", "fail InvalidRequestError", "stopped x"])
@pytest.mark.parametrize("stream", [True, False])
def test_however_a_request_ends_its_place_is_free(one_at_a_time: Any, prompt: str, stream: bool) -> None:
    one_at_a_time.chat(prompt, stream=stream)
    wait_until_admitted(one_at_a_time)


def test_a_client_that_leaves_while_it_waits(one_at_a_time: Any) -> None:
    server = one_at_a_time
    with pytest.raises(Exception, match="timed out"):
        server.http.post("/v1/completions", json={"model": "m", "prompt": "hang"}, timeout=0.3)
    wait_until_admitted(server)


def test_the_sdks_wait_as_long_as_they_are_told(one_at_a_time: Any) -> None:
    server = one_at_a_time
    impatient = openai.OpenAI(base_url=f"{server.url}/v1", api_key="none", max_retries=0)
    patient = anthropic.Anthropic(base_url=server.url, api_key="none", max_retries=2)
    messages: Any = [{"role": "user", "content": "hi"}]
    threading.Thread(target=lambda: server.chat("slow 150")).start()
    server.wait_until(lambda: bool(server.engines) and server.engine.running == 1)
    with pytest.raises(openai.RateLimitError) as refused:
        impatient.chat.completions.create(model="m", messages=messages)
    assert refused.value.response.headers["retry-after"] == "1"
    message = patient.messages.create(model="m", max_tokens=5, messages=messages)
    assert message.stop_reason == "end_turn"
    impatient.close()
    patient.close()


def test_a_response_in_the_background_is_under_way_until_its_end(one_at_a_time: Any) -> None:
    server = one_at_a_time
    body = {"model": "m", "input": "hang", "background": True}
    response = server.http.post("/v1/responses", json=body).json()
    assert response["status"] == "queued"
    assert server.chat("hi").status_code == 429
    cancelled = server.http.post(f"/v1/responses/{response['id']}/cancel").json()
    assert cancelled["status"] == "cancelled"
    wait_until_admitted(server)


def test_each_generation_on_a_socket_counts(one_at_a_time: Any) -> None:
    server = one_at_a_time
    url = server.url.replace("http", "ws") + "/ws/generate"
    with connect(url) as socket:
        assert server.chat("hi").status_code == 200  # one that is idle holds no place
        socket.send(json.dumps({"model": "m", "prompt": "slow 100000"}))
        assert socket.recv(timeout=5) == "0 "
        assert server.chat("hi").status_code == 429
        with connect(url) as other:
            other.send(json.dumps({"model": "m", "prompt": "hi"}))
            assert "under way" in json.loads(other.recv(timeout=5))["error"]
    wait_until_admitted(server)


def test_a_key_cannot_use_up_the_requests_of_another(start_server: Any, tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    path.write_text('[ann]\nkey = "ann-secret"\nrequests_per_minute = 2\n[bob]\nkey = "bob-secret"\n')
    ann, bob = ({"authorization": f"Bearer {name}-secret"} for name in ("ann", "bob"))
    with start_server(Settings(bind="127.0.0.1:0", api_keys=path)) as server:
        answers = [server.http.post("/v1/chat/completions", json=BODY, headers=ann) for _ in range(3)]
        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert "key 'ann' may make 2" in answers[2].json()["error"]["message"]
        answer = server.http.post("/v1/chat/completions", json=BODY, headers=bob)
        assert (answer.status_code, "x-ratelimit-limit-requests" in answer.headers) == (200, False)


def test_many_at_once_never_pass_the_limit(start_server: Any) -> None:
    with start_server(Settings(bind="127.0.0.1:0", concurrent_requests=3)) as server:
        server.chat("warm up")
        codes: list[int] = []
        threads = [threading.Thread(target=lambda: codes.append(server.chat("slow 20").status_code)) for _ in range(12)]
        for thread in threads:
            thread.start()
        most = 0
        while any(thread.is_alive() for thread in threads):
            most = max(most, server.engine.running)
        assert most <= 3
        assert sorted(set(codes)) in ([200], [200, 429])
        assert server.chat("hi").status_code == 200


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", 10**9])
def test_bad_numbers_are_named(tmp_path: Path, value: Any) -> None:
    from shimmy.settings import load_settings

    path = tmp_path / "config.toml"
    path.write_text(f"requests_per_minute = {json.dumps(value)}\n")
    with pytest.raises(ShimmyError, match="requests_per_minute"):
        load_settings(environ={}, config=path)
