"""GET /ws/generate."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from fake_registry import FakeEntry
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from shimmy.request_defaults import RequestDefaults


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
        frame = socket.recv(timeout=60)
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
    assert socket.recv(timeout=60) == "0 "
    socket.send('{"stop": true}')
    texts, last = frames(socket)
    assert last["done_reason"] == "cancelled"
    usage = last["usage"]
    assert usage["completion_tokens"] == len(texts) + 1
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"] > usage["completion_tokens"]
    assert {"cached_tokens", "queue_seconds", "prefill_seconds", "decode_seconds"} <= usage.keys()
    assert server.engine.cancelled == []  # it ended, rather than being left
    ask(socket, "again")
    assert frames(socket)[0] == ["again"]


def test_a_second_request_meanwhile_is_an_error(socket: ClientConnection) -> None:
    ask(socket, "slow 200")
    ask(socket, "other")
    texts, error = frames(socket)
    assert "a generation is running" in error["error"]
    more, last = frames(socket)
    assert "".join(texts + more) == "".join(f"{i} " for i in range(200))
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
    heard = [socket.recv(timeout=60) for _ in range(3)]
    socket.send('{"temperature": 0.2}')
    while (frame := str(socket.recv(timeout=60))).islower():
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
    assert [request.max_tokens for request in server.engine.requests[-3:]] == [50, 50, 50]
    assert [len(request.answered) for request in server.engine.requests[-3:]] == [0, first["at"], second["at"]]
    assert len(server.engine.cancelled) == 2
    server.wait_until(lambda: server.engine.running == 0)


def test_changes_of_the_temperature_make_no_more_requests(start_server: Any) -> None:
    with start_server() as server:
        with connect(server.url.replace("http", "ws") + "/ws/generate") as socket:
            ask(socket, "spell 60", temperature=1.0, max_tokens=50)
            for temperature in (0.2, 1.5):
                socket.recv(timeout=60)
                socket.send(json.dumps({"temperature": temperature}))
            last = frames(socket)[1]
        assert len(server.engine.requests) >= 2
        (told,) = server.http.get("/v1/requests").json()["data"]
        assert (told["state"], told["usage"]) == ("finished", last["usage"])
        metrics = server.http.get("/metrics").text
        for line in (
            'requests_total{model="m",outcome="length"} 1.0',
            'prompt_tokens_total{model="m"} 2.0',
            'completion_tokens_total{model="m"} 50.0',
            'time_to_first_token_seconds_count{model="m"} 1.0',
        ):
            assert f"shimmy_{line}" in metrics
        assert "cancelled" not in metrics


@pytest.mark.parametrize(("temperature", "words"), [("-1", "temperature must be at least 0"), ('"hot"', "temperature")])
def test_a_temperature_that_cannot_be_changes_nothing(socket: ClientConnection, temperature: str, words: str) -> None:
    ask(socket, "spell 30", temperature=1.0)
    heard = [str(socket.recv(timeout=60))]
    socket.send(f'{{"temperature": {temperature}}}')
    texts, error = frames(socket)
    assert words in error["error"]
    more, last = frames(socket)
    assert "".join([*heard, *texts, *more]) == "".join(chr(97 + k % 26) for k in range(30))
    assert (last["done_reason"], "temperatures" in last) == ("stop", False)


def test_an_answer_that_is_told_again_goes_on_where_it_was(socket: ClientConnection) -> None:
    ask(socket, "slow 200")
    assert socket.recv(timeout=60) == "0 "
    socket.send('{"temperature": 0.2}')
    texts, last = frames(socket)
    assert "".join(texts) == "".join(f"{k} " for k in range(1, 200))
    assert [change["temperature"] for change in last["temperatures"]] == [0.2]
    assert last["usage"]["completion_tokens"] == 200


def test_an_answer_that_ends_before_its_temperature_could_change_says_so(socket: ClientConnection) -> None:
    ask(socket, "wait 1.0 slow 4", max_tokens=1)
    socket.send('{"temperature": 0.2}')
    assert "the answer has ended" in frames(socket)[1]["error"]
    assert frames(socket)[1]["done"]


def test_a_conversation_stays_one_when_its_temperature_changes(start_server: Any) -> None:
    defaults = RequestDefaults(
        system="Be brief.", messages=[{"role": "user", "content": "hi"}], max_tokens=20, stop=["#"], lora={"style": 1.0}
    )
    with start_server(entries=[FakeEntry("m", "m.gguf", defaults=defaults)]) as server:
        with connect(server.url.replace("http", "ws") + "/ws/generate") as socket:
            messages = [{"role": "user", "content": "spell 40"}]
            socket.send(json.dumps({"model": "m", "messages": messages}))
            assert socket.recv(timeout=60) == "a"
            socket.send('{"temperature": 0.2}')
            texts, last = frames(socket)
        assert "".join(["a", *texts]).lower() == "abcdefghijklmnopqrst"
        (change,) = last["temperatures"]
        first, second = server.engine.requests
        assert [message["role"] for message in first.prompt.messages] == ["system", "user", "user"]
        assert second.prompt == first.prompt
        assert bytes(second.answered).decode() == "abcdefghijklmnopqrst"[: change["at"]]
        assert (second.max_tokens, second.stop, second.lora) == (20, ["#"], {"style": 1.0})


def test_a_stop_right_behind_its_request_is_answered(socket: ClientConnection) -> None:
    for _ in range(20):
        ask(socket, "slow 100000")
        socket.send('{"stop": true}')
        last = frames(socket)[1]
        assert (last["done_reason"], "total_tokens" in last["usage"]) == ("cancelled", True)


def test_control_frames_are_ignored_when_nothing_runs(socket: ClientConnection) -> None:
    for frame in ('{"stop": true}', '{"temperature": 0.5}', '{"temperature": 0.5, "model": null}'):
        socket.send(frame)
        ask(socket, "fine")
        assert frames(socket)[0] == ["fine"]
    socket.send('{"temperature": 0.5, "prompt": "x"}')
    assert "model" in frames(socket)[1]["error"]


def test_pings_are_answered_while_it_generates(socket: ClientConnection) -> None:
    ask(socket, "slow 50")
    assert socket.recv(timeout=60) == "0 "
    assert socket.ping().wait(5)
    assert len(frames(socket)[0]) == 49


def test_a_dead_engine_closes_with_1011(socket: ClientConnection) -> None:
    ask(socket, "break")
    assert socket.recv(timeout=60) == "partial"
    assert json.loads(socket.recv(timeout=60)) == {"error": "as asked"}
    with pytest.raises(ConnectionClosed) as closed:
        socket.recv(timeout=60)
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1011


def test_leaving_cancels(server: Any, socket: ClientConnection) -> None:
    ask(socket, "slow 100000")
    assert socket.recv(timeout=60) == "0 "
    socket.close()
    server.wait_until(lambda: len(server.engine.cancelled) == 1)


def test_a_foreign_origin_may_not_connect(server: Any) -> None:
    with pytest.raises(InvalidStatus) as refused:
        connect(server.url.replace("http", "ws") + "/ws/generate", origin="https://evil.example")
    assert refused.value.response.status_code == 403
