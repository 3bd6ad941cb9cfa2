"""Requests that come on one connection before the first is answered, and their clients leaving."""

from __future__ import annotations

import json
import logging
import socket
from typing import Any

import httpx
import pytest

HANG = {"prompt": "hang", "stream": False}
SLOW = {"prompt": "slow 1000", "stream": True}


def asked(fields: dict[str, Any], n_more: int = 0) -> bytes:
    """A request, whose body is `n_more` bytes longer than what there is of it."""
    body = json.dumps({"model": "m", "max_tokens": 1000, **fields}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body) + n_more}\r\n\r\n"
    return head.encode() + body


def connect(server: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=5)


@pytest.mark.parametrize("fields", [HANG, SLOW, {"prompt": "hang now", "stream": True}])
@pytest.mark.parametrize("rest", [asked(HANG), asked(HANG, 1000), asked(HANG) * 3, b"GET /health HTTP/1.1\r\nhost"])
def test_a_client_that_leaves_cancels_the_request_that_runs(
    server: Any, caplog: pytest.LogCaptureFixture, fields: dict[str, Any], rest: bytes
) -> None:
    with caplog.at_level(logging.INFO):
        with connect(server) as connection:
            connection.sendall(asked(fields) + rest)
            server.wait_until(lambda: bool(server.engines) and server.engine.running == 1)
        server.wait_until(lambda: server.engine.running == 0)
        assert server.chat("hi").status_code == 200
    assert len(server.engine.cancelled) == 1
    assert len(server.engine.requests) == 2  # those that waited were never begun
    assert not [one for one in caplog.records if one.levelno > logging.INFO]


def test_also_one_that_sent_more_while_it_waited(server: Any) -> None:
    with connect(server) as connection:
        connection.sendall(asked(HANG))
        server.wait_until(lambda: bool(server.engines) and server.engine.running == 1)
        connection.sendall(asked(HANG))
        connection.sendall(b"GET /health HTTP/1.1\r\n")
    server.wait_until(lambda: server.engine.running == 0)
    assert len(server.engine.cancelled) == 1


def test_a_request_that_waited_is_cancelled_once_it_runs(server: Any) -> None:
    with connect(server) as connection:
        connection.sendall(asked({"prompt": "hi"}) + asked(HANG) + asked(HANG))
        server.wait_until(lambda: bool(server.engines) and len(server.engine.requests) == 2)
    server.wait_until(lambda: server.engine.running == 0)
    assert len(server.engine.requests) == 2


def test_every_one_is_answered_in_turn(server: Any) -> None:
    with connect(server) as connection:
        for number in range(20):
            connection.sendall(asked({"prompt": f"word{number} end"}))
        answer = b""
        while answer.count(b"HTTP/1.1 200") < 20 or not answer.endswith(b"}"):
            answer += connection.recv(65536)
    places = [answer.index(b'"word%d ' % number) for number in range(20)]
    assert places == sorted(places)
