"""What bodies take of memory together: counted as they come, given back when they were decoded, 503 beyond it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import httpx
import pytest

from shimmy.server import app
from shimmy.server.body_budget import FREE_BYTES, BodyBudget
from shimmy.server.errors import HttpError
from shimmy.settings import Settings

MOST = 100_000
"""Of one body; there is room for four in all, of which the first `FREE_BYTES` do not count."""
N_FIT = 4 * MOST // (MOST - FREE_BYTES)


@pytest.fixture
def tight(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(app, "MAX_BODIES_BYTES", 0)
    with start_server(Settings(bind="127.0.0.1:0", max_body_bytes=MOST)) as server:
        yield server


def begun(server: Any, body: bytes, n_more: int = 0) -> socket.socket:
    """A connection with a request, whose body is `n_more` bytes longer than what comes of it."""
    connection = socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=5)
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body) + n_more}\r\n\r\n"
    connection.sendall(head.encode() + body)
    return connection


def large(prompt: str) -> bytes:
    body = json.dumps({"model": "m", "prompt": prompt, "ignored": ""}).encode()
    return body[:-2] + b"x" * (MOST - 10 - len(body)) + b'"}'


class TestBudget:
    def test_what_is_small_always_fits(self) -> None:
        budget = BodyBudget(0)
        for _ in range(3):
            share = budget.share()
            share.add(FREE_BYTES - 1)
            share.add(1)
            with pytest.raises(HttpError):
                share.add(1)
        assert budget.used == 0

    def test_what_was_released_is_there_for_others(self) -> None:
        budget = BodyBudget(100)
        one, other = budget.share(), budget.share()
        one.add(FREE_BYTES + 60)
        other.add(FREE_BYTES + 40)
        with pytest.raises(HttpError, match="take up the 100 bytes") as caught:
            one.add(1)
        assert (caught.value.status, caught.value.retry_after, budget.used) == (503, 1, 100)
        for _ in range(2):
            one.release()
            assert budget.used == 40
        other.add(60)
        other.release()
        assert budget.used == 0


@pytest.mark.parametrize("path", ["/v1/completions", "/v1/messages", "/api/chat"])
def test_bodies_that_wait_take_no_more_than_there_is(tight: Any, path: str) -> None:
    refused = []

    def asked() -> bool:
        refused.append(tight.http.post(path, content=large("hi")))
        return bool(refused[-1].status_code == 503)

    with ExitStack() as stack:
        for _ in range(N_FIT):
            stack.enter_context(begun(tight, large("hi")[:-5], 5))
        tight.wait_until(asked)
        assert tight.chat("hi").status_code == 200  # a small one
    error = refused[-1].json()["error"]
    assert "take up the 400000 bytes" in (error if path == "/api/chat" else error["message"])
    assert path != "/v1/messages" or error["type"] == "overloaded_error"
    assert refused[-1].headers["retry-after"] == "1"
    tight.wait_until(lambda: not asked())  # their clients have left


def test_what_was_decoded_takes_nothing_more(tight: Any) -> None:
    def runs(number: int) -> bool:
        return bool(tight.engines) and tight.engine.running == number

    with ExitStack() as stack:
        for number in range(2 * N_FIT):
            stack.enter_context(begun(tight, large("hang")))
            tight.wait_until(partial(runs, number + 1))
        assert tight.http.post("/v1/completions", content=large("hi")).status_code == 200
    tight.wait_until(lambda: tight.engine.running == 0)


def test_the_rest_of_a_refused_body_is_read_first(tight: Any) -> None:
    with ExitStack() as stack:
        for _ in range(N_FIT):
            stack.enter_context(begun(tight, large("hi")[:-5], 5))
        tight.wait_until(lambda: tight.http.post("/v1/completions", content=large("hi")).status_code == 503)
        late = stack.enter_context(begun(tight, large("hi")[:-5], 5))
        late.settimeout(0.2)
        with pytest.raises(TimeoutError):
            late.recv(1)
        late.settimeout(5)
        late.sendall(b"     ")
        assert late.recv(65536).startswith(b"HTTP/1.1 503")
