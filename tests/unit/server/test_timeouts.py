"""What becomes of clients that send or read too slowly, or too much."""

from __future__ import annotations

import base64
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest

from shimmy.server import body
from shimmy.settings import Settings

QUICK = Settings(bind="127.0.0.1:0", read_head_seconds=1, read_body_seconds=1, write_stall_seconds=1, ws_ping_seconds=1)


@pytest.fixture
def quick(start_server: Any) -> Iterator[Any]:
    with start_server(QUICK) as server:
        yield server


@contextmanager
def raw(server: Any) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port), timeout=60) as connection:
        yield connection


def rest_of(connection: socket.socket) -> bytes:
    """What comes until the server closes."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def answer_of(connection: socket.socket) -> bytes:
    """One whole answer, the connection staying open."""
    answer = b""
    while b"\r\n\r\n" not in answer:
        answer += connection.recv(65536)
    head, _, text = answer.partition(b"\r\n\r\n")
    length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n")[0])
    while len(text) < length:
        text += connection.recv(65536)
    return answer


def status_and_error(answer: bytes) -> tuple[int, Any]:
    head, _, text = answer.partition(b"\r\n\r\n")
    assert b"connection: close" in head.lower()
    return int(head.split()[1]), json.loads(text)["error"]


def test_a_connection_that_says_nothing_is_closed(quick: Any) -> None:
    with raw(quick) as connection:
        assert rest_of(connection) == b""


def test_a_slow_head_is_408(quick: Any) -> None:
    with raw(quick) as connection:
        connection.sendall(b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\n")
        for _ in range(2):
            time.sleep(0.05)
            connection.sendall(b"x-slow: yes\r\n")
        status, error = status_and_error(rest_of(connection))
    assert (status, error) == (408, "the request's head took longer than 1 s")


def test_a_slow_head_after_an_answer_and_line_ends_before_it(quick: Any) -> None:
    with raw(quick) as connection:
        connection.sendall(b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 200")
        begin = time.monotonic()
        connection.sendall(b"\r\n")
        assert rest_of(connection) == b""
        assert time.monotonic() - begin < 20
    with raw(quick) as connection:
        connection.sendall(b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n")
        answer_of(connection)
        connection.sendall(b"GET /v1/models HTTP/1.1\r\n")
        status, error = status_and_error(rest_of(connection))
    assert (status, error["type"]) == (408, "invalid_request_error")


def test_a_quick_client_may_wait_between_its_requests(quick: Any) -> None:
    with raw(quick) as connection:
        for _ in range(2):
            connection.sendall(b"GET /api/version HTTP/1.1\r\nhost: localhost\r\n\r\n")
            assert answer_of(connection).startswith(b"HTTP/1.1 200")
            time.sleep(1.5)  # more than a head may take


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/messages", "/api/chat"])
def test_a_slow_body_is_408(quick: Any, path: str) -> None:
    with raw(quick) as connection:
        connection.sendall(b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\n{" % path.encode())
        status, error = status_and_error(rest_of(connection))
    assert status == 408
    message = error if path == "/api/chat" else error["message"]
    assert message.startswith("the request body came too slowly: 1 bytes came in ")


def test_a_body_must_keep_coming(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "GRACE_SECONDS", 1)
    head = b"POST /api/chat HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100000\r\n\r\n"
    with start_server() as server, raw(server) as connection:
        connection.sendall(head + b"x" * 200)
        assert status_and_error(rest_of(connection))[0] == 408
    with start_server() as server, raw(server) as connection:
        connection.sendall(head)
        for _ in range(10):
            connection.sendall(b"x" * 10_000)
            time.sleep(0.2)
        assert answer_of(connection).startswith(b"HTTP/1.1 400")  # all of it is there, and it is no JSON


def test_what_follows_an_early_answer_is_not_waited_for_without_end(quick: Any) -> None:
    with raw(quick) as connection:
        connection.sendall(b"POST /v1/nothing HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n\r\n")
        assert answer_of(connection).startswith(b"HTTP/1.1 404")
        begin = time.monotonic()
        connection.sendall(b"x")
        assert rest_of(connection) == b""
        assert time.monotonic() - begin < 20


BLOB = b"POST /api/blobs/sha256:%s HTTP/1.1\r\nhost: localhost\r\ncontent-length: 50000000\r\n\r\n"


@pytest.mark.parametrize("sent", [b"", b"x" * 100])
def test_a_blob_must_keep_coming(quick: Any, sent: bytes) -> None:
    with raw(quick) as connection:
        connection.sendall(BLOB % (b"0" * 64) + sent)
        status, error = status_and_error(rest_of(connection))
    assert (status, error.partition(" came in")[0]) == (408, f"the request body came too slowly: {len(sent)} bytes")


def test_a_blob_that_is_refused_is_read_first(server: Any) -> None:
    with raw(server) as connection:
        connection.sendall(BLOB % b"none")
        for _ in range(500):
            connection.sendall(bytes(100_000))
        assert answer_of(connection).startswith(b"HTTP/1.1 400")


@pytest.mark.parametrize(
    "head",
    [
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\n" + b"x-a: b\r\n" * 100 + b"\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-a: " + b"x" * 40_000 + b"\r\n\r\n",
        b"GET /v1/models?" + b"x" * 40_000 + b" HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: localhost\r\nx-a: " + b"x" * 1_000_000,  # and never an end
        b"\r\n" * 100_000,
    ],
)
def test_a_large_head_is_431(server: Any, head: bytes) -> None:
    with raw(server) as connection:
        try:
            connection.sendall(head)
            answer = connection.recv(65536)
        except ConnectionError:
            return  # the answer was overtaken by the end of the connection
    assert answer.startswith(b"HTTP/1.1 431 Request Header Fields Too Large")
    assert b"32768 bytes or 100 headers" in answer


def test_a_head_just_within_its_limits(server: Any) -> None:
    headers = {f"x-{number}": "y" * 300 for number in range(90)}
    assert server.http.get("/v1/models", headers=headers).status_code == 200


def test_a_request_in_single_bytes(server: Any) -> None:
    content = b'{"model":"m","prompt":"hi"}'
    request = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(content) + content
    with raw(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for byte in request:
            connection.sendall(bytes([byte]))
        assert answer_of(connection).startswith(b"HTTP/1.1 200")


def test_pipelined_requests_are_answered_in_order(quick: Any) -> None:
    request = b"GET /v1/models/%s HTTP/1.1\r\nhost: localhost\r\n\r\n"
    with raw(quick) as connection:
        connection.sendall(b"".join(request % name for name in (b"m", b"nope", b"broken")) + b"GET /v1/models HTTP")
        answers = rest_of(connection)
    codes = [int(part[:3]) for part in answers.split(b"HTTP/1.1 ")[1:]]
    assert codes == [200, 404, 200, 408]  # the last one never came whole


def test_what_is_not_http_is_400_as_json(server: Any) -> None:
    with raw(server) as connection:
        connection.sendall(b"hello there\r\n\r\n")
        status, error = status_and_error(rest_of(connection))
    assert (status, error["message"]) == (400, "this is not a valid HTTP request")


def test_who_does_not_read_is_left(quick: Any) -> None:
    request = {"model": "m", "prompt": "flood", "stream": True}
    payload = json.dumps(request).encode()
    with raw(quick) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(payload)
        connection.sendall(head + payload)
        quick.wait_until(lambda: bool(quick.engines) and len(quick.engine.requests) > 0)
        quick.wait_until(lambda: len(quick.engine.cancelled) > 0)


def test_who_reads_slowly_is_not(quick: Any) -> None:
    payload = json.dumps({"model": "m", "prompt": "flood", "stream": True}).encode()
    with raw(quick) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        head = b"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(payload)
        connection.sendall(head + payload)
        quick.wait_until(lambda: bool(quick.engines) and len(quick.engine.requests) > 0)
        end = time.monotonic() + 4  # of four times as long as a stall may be
        while time.monotonic() < end:
            assert connection.recv(4096)
            time.sleep(0.02)
        assert not quick.engine.cancelled


def open_socket(connection: socket.socket) -> bytes:
    """Returns what has come behind the handshake."""
    key = base64.b64encode(os.urandom(16))
    connection.sendall(
        b"GET /ws/generate HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: " + key + b"\r\n\r\n"
    )
    received = b""
    while b"\r\n\r\n" not in received:
        received += connection.recv(4096)
    assert received.startswith(b"HTTP/1.1 101")
    return received.partition(b"\r\n\r\n")[2]


def test_a_socket_that_answers_no_ping_is_closed(quick: Any) -> None:
    with raw(quick) as connection:
        received = open_socket(connection) + rest_of(connection)
    assert received[:2] == b"\x89\x04"  # a ping of four bytes
    assert b"keepalive ping timeout" in received


def test_a_socket_that_answers_pings_stays(quick: Any) -> None:
    from websockets.sync.client import connect

    with connect(quick.url.replace("http", "ws") + "/ws/generate") as client:
        time.sleep(4)
        client.send(json.dumps({"model": "m", "prompt": "hi"}))
        assert client.recv(timeout=60) == "hi"


def test_a_message_over_the_limit_closes_the_socket(start_server: Any) -> None:
    from websockets.exceptions import ConnectionClosed
    from websockets.sync.client import connect

    with start_server(Settings(bind="127.0.0.1:0", max_body_bytes=1024)) as server:
        with connect(server.url.replace("http", "ws") + "/ws/generate") as client:
            client.send(json.dumps({"model": "m", "prompt": "x" * 2000}))
            with pytest.raises(ConnectionClosed) as closed:
                client.recv(timeout=5)
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == 1009
