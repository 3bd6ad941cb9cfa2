"""Parts that go to the connection at once: nothing on the wire differs, and clients that do not read are waited for."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.output import RequestOutput, TokenLogprob
from shimmy.server.chat_answer import ChunkWriter
from shimmy.server.direct_answer import DirectAnswer
from shimmy.server.generation import Identity
from shimmy.server.schemas.chat import ChunkChoice, Delta

if TYPE_CHECKING:
    from conftest import RunningServer

IDENTITY = Identity("chatcmpl-1", 7, "m", "shimmy-0")


def asked(path: str, prompt: str, **fields: Any) -> bytes:
    body = json.dumps({"model": "m", "prompt": prompt, "stream": True, **fields}).encode()
    head = f"POST {path} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\nconnection: close\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


def read_chunks(connection: socket.socket) -> bytes:
    """The body of an answer in chunks, read to its end."""
    data = b""
    while part := connection.recv(1 << 20):
        data += part
    body, rest = b"", data.partition(b"\r\n\r\n")[2]
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        body += rest[: int(size, 16)]
        assert rest[int(size, 16) :].startswith(b"\r\n")
        rest = rest[int(size, 16) + 2 :]
    return body


def test_parts_are_written_directly_and_come_as_they_were_sent(
    server: RunningServer, events: Callable[[httpx.Response], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[bytes] = []
    write = DirectAnswer.write

    def note(self: DirectAnswer, part: bytes) -> None:
        written.append(part)
        write(self, part)

    monkeypatch.setattr(DirectAnswer, "write", note)
    direct = events(server.chat("count 50", stream=True))
    assert len(written) >= 49
    monkeypatch.setattr(DirectAnswer, "is_open", lambda _: False)
    written.clear()
    by_asgi = events(server.chat("count 50", stream=True))
    assert not written
    for answer in (direct, by_asgi):
        for event in answer[:-1]:
            event["id"], event["created"] = "", 0
    assert direct == by_asgi


@pytest.mark.parametrize("path", ["/v1/completions", "/api/generate", "/completion"])
def test_a_client_that_reads_late_gets_everything(server: RunningServer, path: str) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.settimeout(20)
        connection.connect(("127.0.0.1", httpx.URL(server.url).port or 0))
        connection.sendall(asked(path, "count 20000", max_tokens=30000))
        time.sleep(0.5)
        body = read_chunks(connection).decode()
    assert "19998" in body
    assert "19999" in body


def test_other_requests_go_on_while_a_client_reads_nothing(server: RunningServer) -> None:
    with socket.socket() as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.connect(("127.0.0.1", httpx.URL(server.url).port or 0))
        connection.sendall(asked("/v1/completions", "count 1000000", max_tokens=2000000))
        time.sleep(0.2)
        assert server.chat("count 5").status_code == 200
    server.wait_until(lambda: server.engine.running == 0)


def test_a_bug_of_the_writer_ends_its_answer_only(
    server: RunningServer, events: Callable[[httpx.Response], list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    write = ChunkWriter.write

    def fail(self: ChunkWriter, index: int, output: RequestOutput) -> bytes:
        if output.text == "3 ":
            raise KeyError("a bug")
        return write(self, index, output)

    monkeypatch.setattr(ChunkWriter, "write", fail)
    last = events(server.chat("count 5", stream=True))[-1]
    assert "internal server error" in last["error"]["message"]
    assert events(server.chat("count 2", stream=True))[-1] == "[DONE]"


def test_nothing_is_written_to_a_connection_that_closes() -> None:
    transport = SimpleNamespace(is_closing=iter((False, True)).__next__)
    flow = SimpleNamespace(write_paused=False)
    cycle = SimpleNamespace(transport=transport, flow=flow, disconnected=False, response_complete=False)
    cycle.response_started = cycle.chunked_encoding = True
    direct = DirectAnswer(cycle)  # type: ignore[arg-type]
    assert [direct.is_open(), direct.is_open()] == [True, False]


@given(texts=st.lists(st.text(), max_size=5), index=st.integers(0, 3))
def test_chunks_of_text_are_what_the_schema_says(texts: list[str], index: int) -> None:
    writer = ChunkWriter(IDENTITY, 4, include_usage=False)
    writer.write(index, RequestOutput(request_id="r", text="first"))
    head = writer.write(index, RequestOutput(request_id="r", reasoning="x")).partition(b'"choices":[')[0]
    for text in texts:
        chunk = writer.write(index, RequestOutput(request_id="r", text=text))
        choice = msgspec.json.encode(ChunkChoice(index=index, delta=Delta(content=text)))
        assert chunk == (head + b'"choices":[' + choice + b"]}\n\n" if text else b"")


def test_logprobs_that_were_held_back_are_on_the_next_text() -> None:
    writer = ChunkWriter(IDENTITY, 1, include_usage=False)
    writer.write(0, RequestOutput(request_id="r", text="a", logprobs=[TokenLogprob(1, b"a", -1.0)]))
    assert writer.write(0, RequestOutput(request_id="r", logprobs=[TokenLogprob(2, b"b", -2.0)])) == b""
    chunk = json.loads(writer.write(0, RequestOutput(request_id="r", text="b")).removeprefix(b"data: "))
    assert [one["token"] for one in chunk["choices"][0]["logprobs"]["content"]] == ["b"]
