"""Clients that send a second request behind the first and leave, of the server as it runs: on uvloop, with a model."""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from endless import ENDLESS, requests_of, wait_until_ended

FIELDS = {"model": "shimmy-mini", "prompt": "Once upon a time", **ENDLESS}


def leave(url: httpx.URL, stream: bool, reset: bool, wait: float) -> None:
    body = json.dumps({**FIELDS, "stream": stream}).encode()
    head = f"POST /v1/completions HTTP/1.1\r\nhost: localhost\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    before = len(requests_of(str(url)))
    with socket.create_connection((url.host, url.port or 0), timeout=60) as connection:
        connection.sendall((head + body) * 2)
        end = time.monotonic() + 60
        while len(requests_of(str(url))) == before:  # one who leaves before that is not remembered
            assert time.monotonic() < end
            time.sleep(0.01)
        time.sleep(wait)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


@pytest.mark.parametrize("stream", [False, True])
def test_no_work_is_done_for_who_has_left(home: Path, start_in: Callable[..., Any], stream: bool) -> None:
    with start_in(home) as server:
        assert httpx.post(f"{server.url}/v1/completions", json={**FIELDS, "max_tokens": 1}, timeout=60).is_success
        for reset in (False, True):
            for wait in (0.05, 0.3):
                leave(httpx.URL(server.url), stream, reset, wait)
        seen = wait_until_ended(server.url)
        assert server.terminate() == 0
    first, *left = sorted(seen, key=lambda one: one["created"])
    assert first["state"] == "finished"
    assert [one["state"] for one in left] == ["cancelled"] * 4
    told = "".join(server.log)
    assert told.count("route=/v1/completions") == 5
    assert "Traceback" not in told
