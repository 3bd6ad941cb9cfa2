"""Reading a request body within its limit."""

from __future__ import annotations

import asyncio
import contextlib

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from shimmy.server.errors import HttpError

DRAIN_SECONDS = 10.0
"""How long a body that is too large is read and thrown away, so that its sender sees the answer."""


async def read_body(scope: Scope, receive: Receive, limit: int) -> bytes:
    """The whole body. HttpError 413 over `limit` bytes, ClientDisconnect when the sender leaves."""
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"")
    too_large = announced.isdigit() and int(announced) > limit
    if too_large and b"expect" in headers:
        raise _too_large(limit)
    chunks: list[bytes] = []
    size = 0
    while not too_large:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        chunks.append(chunk)
        size += len(chunk)
        too_large = size > limit
        if not message.get("more_body", False):
            if too_large:
                raise _too_large(limit)
            return b"".join(chunks)
    chunks.clear()
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)
    raise _too_large(limit)


async def _drain(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the request body is larger than {limit} bytes", "request_too_large")
