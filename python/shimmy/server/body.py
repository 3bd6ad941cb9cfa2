"""Reading a request body within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from shimmy.server.errors import HttpError

DRAIN_SECONDS = 10.0
"""How long a body that is too large is read and thrown away, so that its sender sees the answer."""
GRACE_SECONDS = 10.0
"""After which a body must have come at MIN_BYTES_PER_SECOND."""
MIN_BYTES_PER_SECOND = 1024


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float) -> bytes:
    """The whole body. HttpError 413 over `limit` bytes, 408 when it is not there after `seconds` or comes too slowly;
    ClientDisconnect when the sender leaves.
    """
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"")
    too_large = announced.isdigit() and int(announced) > limit
    if too_large and b"expect" in headers:
        raise _too_large(limit)
    body = _Body(limit)
    if not too_large and await body.read(receive, seconds):
        return body.value
    if not body.complete:
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)
    raise _too_large(limit)


class _Body:
    """What has come of a body."""

    def __init__(self, limit: int) -> None:
        self.complete = False
        self._limit = limit
        self._chunks: list[bytes] = []
        self._size = 0

    @property
    def value(self) -> bytes:
        return b"".join(self._chunks)

    async def read(self, receive: Receive, seconds: float) -> bool:
        """True when it is there, False when it is too large."""
        begin = time.monotonic()
        reading = asyncio.ensure_future(self._read(receive))
        try:
            while not reading.done():
                allowed = min(seconds, GRACE_SECONDS + self._size / MIN_BYTES_PER_SECOND)
                left = begin + allowed - time.monotonic()
                if left <= 0:
                    reason = f"{self._size} bytes came in {allowed:.0f} s"
                    raise HttpError(408, f"the request body came too slowly: {reason}", "request_timeout")
                await asyncio.wait({reading}, timeout=left)
        finally:
            reading.cancel()
        return reading.result()

    async def _read(self, receive: Receive) -> bool:
        while not self.complete and self._size <= self._limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            chunk: bytes = message.get("body", b"")
            self._chunks.append(chunk)
            self._size += len(chunk)
            self.complete = not message.get("more_body", False)
        if self._size <= self._limit:
            return True
        self._chunks.clear()
        return False


async def _drain(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the request body is larger than {limit} bytes", "request_too_large")
