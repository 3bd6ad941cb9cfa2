"""/ws/generate of the real server with the `websockets` client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from endless import ENDLESS, wait_until_ended
from websockets.sync.client import ClientConnection, connect

MODEL = "shimmy-mini"
ANSWER = "The capital of France is Paris."
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
STORY = [{"role": "user", "content": "Tell me a story about a fox."}]
COUNT = [{"role": "user", "content": "Count to 150."}]


def open_socket(server: Any) -> ClientConnection:
    # Without a limit, as pongs come behind the frames that wait to be read.
    return connect(f"{server.url.replace('http', 'ws')}/ws/generate", max_queue=None)


@pytest.fixture
def socket(server: Any) -> Iterator[ClientConnection]:
    with open_socket(server) as connection:
        yield connection


def ask(socket: ClientConnection, **fields: Any) -> None:
    socket.send(json.dumps({"model": MODEL, "messages": QUESTION, "temperature": 0, **fields}))


def answer(socket: ClientConnection) -> tuple[str, dict[str, Any]]:
    """The text, and the object that ended it."""
    texts: list[str] = []
    while True:
        frame = str(socket.recv(timeout=20))
        if frame.startswith(('{"done"', '{"error"')):
            return "".join(texts), json.loads(frame)
        texts.append(frame)


def test_several_generations_on_one_socket(socket: ClientConnection) -> None:
    for _ in range(3):
        ask(socket)
        text, last = answer(socket)
        assert (text, last["done"], last["done_reason"]) == (ANSWER, True, "stop")
        assert 5 < last["usage"]["completion_tokens"] < 15
    ask(socket, model="nothing")
    assert MODEL in answer(socket)[1]["error"]
    ask(socket)
    assert answer(socket)[0] == ANSWER


def test_sockets_beside_each_other(server: Any) -> None:
    def talk(_: int) -> str:
        with open_socket(server) as socket:
            ask(socket)
            return answer(socket)[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(talk, range(8))) == [ANSWER] * 8


def test_stop_and_pings(socket: ClientConnection) -> None:
    ask(socket, messages=STORY, **ENDLESS)
    assert socket.recv(timeout=20)
    assert socket.ping().wait(10)
    socket.send('{"stop": true}')
    _, last = answer(socket)
    assert last["done_reason"] == "cancelled"
    assert last["usage"]["completion_tokens"] > 0
    ask(socket)
    assert answer(socket)[0] == ANSWER


def test_leaving_ends_the_work(server: Any) -> None:
    with open_socket(server) as socket:
        ask(socket, messages=STORY, **ENDLESS)
        assert socket.recv(timeout=20)
    assert wait_until_ended(server.url)[-1]["state"] == "cancelled"


def steered(server: Any, temperature: float, **fields: Any) -> tuple[str, dict[str, Any]]:
    """An answer whose temperature changes after its first words; once more when it came to its end before that."""
    for _ in range(5):
        with open_socket(server) as socket:
            ask(socket, speculation=False, **fields)
            begun = str(socket.recv(timeout=20))
            socket.send(json.dumps({"temperature": temperature}))
            rest, last = answer(socket)
        if "temperatures" in last:
            return begun + rest, last
    raise AssertionError("no change in time")


def test_going_on_with_the_same_temperature_changes_nothing(server: Any, socket: ClientConnection) -> None:
    """So nothing of the text, of the penalties' history or of the limit is lost on the way."""
    ask(socket, messages=COUNT, max_tokens=600)
    plain, _ = answer(socket)
    text, last = steered(server, 0, messages=COUNT, max_tokens=600)
    assert last["usage"]["completion_tokens"] == 600
    (change,) = last["temperatures"]
    assert (0 < change["at"] < 600, change["temperature"]) == (True, 0)
    assert text == plain


def test_another_temperature_reaches_the_sampler(server: Any, socket: ClientConnection) -> None:
    fields = {"messages": STORY, "ignore_eos": True, "max_tokens": 1000}
    ask(socket, **fields)
    plain, _ = answer(socket)
    text, last = steered(server, 20, **fields, seed=3, top_k=0, top_p=1)
    assert last["temperatures"][0]["temperature"] == 20
    assert text[:5] == plain[:5]
    assert text != plain
