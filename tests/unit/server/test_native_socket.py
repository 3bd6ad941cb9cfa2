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


def test_the_temperature_changes_on_the_way(server: Any, socket: ClientConnection) -> None:
    ask(socket, "spell 60", temperature=1.0, max_tokens=50)
    heard = [socket.recv(timeout=5) for _ in range(3)]
    socket.send('{"temperature": 0.2}')
    while (frame := str(socket.recv(timeout=5))).islower():
        heard.append(frame)
    socket.send('{"temperature": 1.5}')
    texts, last = frames(socket)
    text = "".join([*heard, frame, *texts])
    assert text.lower() == "".join(chr(97 + k % 26) for k in range(50))
    assert last["done_reason"] == "length"
    first, second = last["temperatures"]
    assert (first["temperature"], second["temperature"]) == (0.2, 1.5)
    cold = text[first["at"] : second["at"]]
    assert (text[: first["at"]].islower(), cold.isupper(), text[second["at"] :].islower()) == (True, True, True)
    assert (last["usage"]["prompt_tokens"], last["usage"]["completion_tokens"]) == (2, 50)
    assert [request.max_tokens for request in server.engine.requests] == [50, 50 - first["at"], 50 - second["at"]]
    assert len(server.engine.cancelled) == 2
    server.wait_until(lambda: server.engine.running == 0)


@pytest.mark.parametrize(
    ("prompt", "fields", "temperature", "words"),
    [
        ("spell 30", {}, "-1", "temperature must be at least 0"),
        ("spell 30", {"guided_choice": ["a", "b"]}, "0.2", "follows a grammar"),
        ("spell 30", {}, '"hot"', "temperature"),
    ],
)
def test_a_temperature_that_cannot_be_changes_nothing(
    socket: ClientConnection, prompt: str, fields: dict[str, Any], temperature: str, words: str
) -> None:
    ask(socket, prompt, temperature=1.0, **fields)
    heard = [str(socket.recv(timeout=5))]
    socket.send(f'{{"temperature": {temperature}}}')
    texts, error = frames(socket)
    assert words in error["error"]
    more, last = frames(socket)
    assert "".join([*heard, *texts, *more]) == "".join(chr(97 + k % 26) for k in range(30))
    assert (last["done_reason"], "temperatures" in last) == ("stop", False)


def test_the_temperature_waits_for_whole_text(socket: ClientConnection) -> None:
    ask(socket, "slow 20")  # whose tokens are not those of its text
    assert socket.recv(timeout=5) == "0 "
    socket.send('{"temperature": 0.2}')
    texts, last = frames(socket)
    assert len(texts) == 19
    assert "temperatures" not in last


def test_pings_are_answered_while_it_generates(socket: ClientConnection) -> None:
    ask(socket, "slow 50")
    assert socket.recv(timeout=5) == "0 "
    assert socket.ping().wait(5)
    assert len(frames(socket)[0]) == 49


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
