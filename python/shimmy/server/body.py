"""Reading a request body within its limits."""

from __future__ import annotations

import asyncio
import contextlib
import time

from starlette.requests import ClientDisconnect
from starlette.types import Receive, Scope

from shimmy.server.body_budget import BodyShare
from shimmy.server.errors import HttpError

DRAIN_SECONDS = 10.0
"""How long a body that is refused is read and thrown away, so that its sender sees the answer."""
GRACE_SECONDS = 10.0
"""After which a body must have come at MIN_BYTES_PER_SECOND."""
MIN_BYTES_PER_SECOND = 1024


async def read_body(scope: Scope, receive: Receive, limit: int, seconds: float, share: BodyShare) -> bytes:
    """The whole body, counted in `share`. HttpError 413 over `limit` bytes, 408 when it is not there after `seconds` or
    comes too slowly, 503 when all bodies together are too large; ClientDisconnect when the sender leaves.
    """
    headers = dict(scope["headers"])
    announced = headers.get(b"content-length", b"")
    refusal = _too_large(limit) if announced.isdigit() and int(announced) > limit else None
    if refusal is not None and b"expect" in headers:
        raise refusal
    body = BodyReader(receive, seconds)
    chunks: list[bytes] = []
    while refusal is None and not body.complete:
        chunks.append(await body.read())
        refusal = _refusal(body, len(chunks[-1]), limit, share)
    if refusal is None:
        return b"".join(chunks)
    chunks.clear()
    share.release()
    if not body.complete:
        await drain(receive)
    raise refusal


def _refusal(body: BodyReader, n_more: int, limit: int, share: BodyShare) -> HttpError | None:
    if body.size > limit:
        return _too_large(limit)
    try:
        share.add(n_more)
    except HttpError as error:
        return error
    return None


class BodyReader:
    """A body piece by piece, which must keep coming."""

    def __init__(self, receive: Receive, seconds: float, *, whole: bool = True) -> None:
        """After `seconds` the last piece has to be there; unless it is read `whole`, each one so long after that before
        it.
        """
        self.complete = False
        self.size = 0
        """In bytes, of what came so far."""
        self._receive = receive
        self._seconds = seconds
        self._whole = whole
        self._begin = time.monotonic()

    async def read(self) -> bytes:
        """The next piece. HttpError 408 when it comes too late, ClientDisconnect when the sender leaves."""
        now = time.monotonic() - self._begin
        allowed = min(self._seconds + (0 if self._whole else now), GRACE_SECONDS + self.size / MIN_BYTES_PER_SECOND)
        try:
            message = await asyncio.wait_for(self._receive(), allowed - now)
        except asyncio.TimeoutError:
            reason = f"{self.size} bytes came in {allowed:.0f} s"
            raise HttpError(408, f"the request body came too slowly: {reason}", "request_timeout") from None
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk: bytes = message.get("body", b"")
        self.size += len(chunk)
        self.complete = not message.get("more_body", False)
        return chunk


async def drain(receive: Receive) -> None:
    """Read what is left of a body for a while and throw it away: a sender that still sends would not see the answer.

    ClientDisconnect when the sender leaves.
    """
    with contextlib.suppress(asyncio.TimeoutError):
        await asyncio.wait_for(_drain(receive), DRAIN_SECONDS)


async def _drain(receive: Receive) -> None:
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        if not message.get("more_body", False):
            return


def _too_large(limit: int) -> HttpError:
    return HttpError(413, f"the request body is larger than {limit} bytes", "request_too_large")
