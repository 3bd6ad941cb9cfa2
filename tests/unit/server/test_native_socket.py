"""GET /ws/generate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


@pytest.fixture
def socket(server: Any) -> Iterator[ClientConnection]:
    with connect(server.url.replace("http", "ws") + "/ws/generate") as connection:
        yield connection


def ask(socket: ClientConnection, prompt: str, **fields: Any) -> None:
    socket.send(json.dumps({"model": "m", "prompt": prompt, **fields}))


def frames(socket: ClientConnection) -> tuple[list[str], dict[str, Any]]:
    """Text frames, and the object that ended them."""
    texts = []
    while True:
        frame = socket.recv(timeout=5)
        if frame.startswith("{"):
            return texts, json.loads(frame)
        texts.append(frame)


def test_text_then_done_with_usage(socket: ClientConnection) -> None:
    ask(socket, "one two")
    texts, last = frames(socket)
    assert texts == ["one", " two"]
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert last["usage"]["total_tokens"] == 4


def test_several_generations_on_one_socket(socket: ClientConnection) -> None:
    for prompt in ("one", "two words", "x"):
        ask(socket, prompt)
        assert "".join(frames(socket)[0]) == prompt


def test_stop_ends_the_generation_and_keeps_the_socket(server: Any, socket: ClientConnection) -> None:
    ask(socket, "slow 100000")
    assert socket.recv(timeout=5) == "0 "
    socket.send('{"stop": true}')
    texts, last = frames(socket)
    assert last["done_reason"] == "cancelled"
    assert last["usage"]["completion_tokens"] == len(texts) + 1
    assert len(server.engine.cancelled) == 1
    ask(socket, "again")
    assert frames(socket)[0] == ["again"]


def test_a_second_request_meanwhile_is_an_error(socket: ClientConnection) -> None:
    ask(socket, "slow 30")
    ask(socket, "other")
    texts, error = frames(socket)
    assert "a generation is running" in error["error"]
    more, last = frames(socket)
    assert "".join(texts + more) == "".join(f"{i} " for i in range(30))
    assert last["done"]


@pytest.mark.parametrize(
    ("frame", "words"),
    [
        ("{", "not valid JSON"),
        ("[]", "must be an object"),
        ('{"model":"nope","prompt":"x"}', "available: m"),
        ('{"model":"m"}', "prompt or messages is required"),
        ('{"model":"broken","prompt":"x"}', "bad magic"),
        ('{"model":"m","prompt":"bug"}', "internal server error"),
    ],
)
def test_errors_keep_the_socket_open(socket: ClientConnection, frame: str, words: str) -> None:
    socket.send(frame)
    assert words in frames(socket)[1]["error"]
    ask(socket, "fine")
    assert frames(socket)[0] == ["fine"]


def test_a_dead_engine_closes_with_1011(socket: ClientConnection) -> None:
    ask(socket, "break")
    assert socket.recv(timeout=5) == "partial"
    assert json.loads(socket.recv(timeout=5)) == {"error": "as asked"}
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=5)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


def test_leaving_cancels(server: Any, socket: ClientConnection) -> None:
    ask(socket, "slow 100000")
    assert socket.recv(timeout=5) == "0 "
    socket.close()
    server.wait_until(lambda: len(server.engine.cancelled) == 1, 0.5)


def test_a_foreign_origin_may_not_connect(server: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/ws/generate", origin="https://evil.example")
    assert refused.value.response.status_code == 403
