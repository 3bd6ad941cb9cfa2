"""Connections that are one too many: told so in HTTP, and room for others when one that is open ends."""

from __future__ import annotations

import json
import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from shimmy.server import connection
from shimmy.server.connection_limit import MOST_FILES, SPARE_FILES, ConnectionLimit, most_connections, raise_file_limit
from shimmy.server.errors import HttpError
from shimmy.settings import Settings

MOST = 6


@pytest.fixture
def small(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setattr(connection, "most_connections", lambda: MOST)
    with start_server(Settings(bind="127.0.0.1:0", connections_per_address=1)) as server:
        yield server


def opened(server: Any) -> socket.socket:
    return socket.create_connection(("127.0.0.1", httpx.URL(server.url).port or 0), timeout=5)


def test_one_too_many_is_answered_and_closed(small: Any) -> None:
    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(opened(small)).sendall(b"GET /health HTTP/1.1\r\n")
        late = stack.enter_context(opened(small))
        answer = b""
        while part := late.recv(65536):
            answer += part
        assert httpx.get(f"{small.url}/health").status_code == 503
    head, _, body = answer.partition(b"\r\n\r\n")
    lines = dict(line.split(": ") for line in head.decode().split("\r\n")[1:])
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert lines == {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "connection": "close",
        "retry-after": "1",
    }
    error = json.loads(body)["error"]
    assert error["code"] == "too_many_connections"
    assert error["message"].startswith(f"{MOST} connections are open")

    def is_let_in() -> bool:
        return httpx.get(f"{small.url}/health").status_code == 200

    small.wait_until(is_let_in)


def test_sockets_count_until_they_end(small: Any) -> None:
    from websockets.sync.client import connect

    with ExitStack() as stack:
        for _ in range(MOST):
            stack.enter_context(connect(small.url.replace("http", "ws") + "/ws/generate"))
        assert httpx.get(f"{small.url}/health").status_code == 503
    small.wait_until(lambda: httpx.get(f"{small.url}/health").status_code == 200)


def clients(*addresses: str | None) -> list[Any]:
    return [SimpleNamespace(client=address and (address, 1)) for address in addresses]


def test_an_address_has_its_own_limit() -> None:
    limit = ConnectionLimit(None, 2)
    there = clients("10.0.0.1", "10.0.0.2", "10.0.0.1", None, "::1")
    limit.check("10.0.0.1", there)
    with pytest.raises(HttpError, match=r"2 connections of 10\.0\.0\.1 are open") as caught:
        limit.check("10.0.0.1", [*there, *clients("10.0.0.1")])
    assert caught.value.status == 503
    limit.check("10.0.0.2", [*there, *clients("10.0.0.2")])
    ConnectionLimit(None, None).check("10.0.0.1", clients("10.0.0.1") * 9)


@pytest.mark.parametrize("own", ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1", None])
def test_this_machine_has_none(own: str | None) -> None:
    ConnectionLimit(2000, 2).check(own, clients(own) * 1000)
    with pytest.raises(HttpError, match="2 connections are open"):
        ConnectionLimit(2, None).check(own, clients(own) * 3)


@pytest.mark.parametrize(
    ("files", "most"),
    [(1024, 1024 - SPARE_FILES), (SPARE_FILES, 1), (resource.RLIM_INFINITY, None)],
)
def test_files_say_how_many_connections_there_may_be(
    monkeypatch: pytest.MonkeyPatch, files: int, most: int | None
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, 1 << 20))
    assert most_connections() == most


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ((1024, 1 << 20), (MOST_FILES, 1 << 20)),
        ((1024, resource.RLIM_INFINITY), (MOST_FILES, resource.RLIM_INFINITY)),
        ((256, 4096), (4096, 4096)),
        ((4096, 4096), (4096, 4096)),
        ((100_000, 1 << 20), (100_000, 1 << 20)),
        ((resource.RLIM_INFINITY, resource.RLIM_INFINITY), (resource.RLIM_INFINITY, resource.RLIM_INFINITY)),
    ],
)
def test_the_limit_of_files_is_raised_as_far_as_may_be(
    monkeypatch: pytest.MonkeyPatch, before: tuple[int, int], after: tuple[int, int]
) -> None:
    limits = [before]
    monkeypatch.setattr(resource, "getrlimit", lambda _: limits[-1])
    monkeypatch.setattr(resource, "setrlimit", lambda _, new: limits.append(new))
    raise_file_limit()
    assert limits[-1] == after


@pytest.mark.parametrize(("most", "after"), [(20_000, 10_240), (1000, 256)])
def test_a_system_that_allows_less_than_its_hard_limit(monkeypatch: pytest.MonkeyPatch, most: int, after: int) -> None:
    """As macOS does."""
    limits = [256]

    def set_limit(_: int, new: tuple[int, int]) -> None:
        if new[0] > most:
            raise ValueError("current limit exceeds maximum limit")
        limits.append(new[0])

    monkeypatch.setattr(resource, "getrlimit", lambda _: (limits[-1], resource.RLIM_INFINITY))
    monkeypatch.setattr(resource, "setrlimit", set_limit)
    raise_file_limit()
    assert limits[-1] == after
