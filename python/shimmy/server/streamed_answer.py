"""An answer sent in parts, kept alive while none comes."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from types import TracebackType

from starlette.types import Send

from shimmy.server import context_header, sse
from shimmy.server.direct_answer import DirectAnswer


class StreamedAnswer:
    """Begins with its first part, so that until then the answer may still become a plain error.

    Where the media type knows comments, one is sent when nothing was for `idle_seconds` since `begin` (time.monotonic)
    or the last part. That begins the answer too: whoever waits that long hears of an error by the stream's own event,
    and is not taken for dead by a proxy meanwhile. `keep_alive` is what is sent after the first part instead;
    `told` are further headers; `direct` is how parts can be written without `send`, if they can.
    """

    def __init__(
        self,
        send: Send,
        direct: DirectAnswer | None,
        media_type: str,
        keep_alive: bytes,
        idle_seconds: float,
        begin: float,
        told: Mapping[str, str],
    ) -> None:
        self.begun = False
        self._send = send
        self._direct = direct
        self._media_type = media_type
        self._comment = sse.KEEP_ALIVE if media_type == sse.MEDIA_TYPE else b""
        self._keep_alive = keep_alive
        self._idle_seconds = idle_seconds
        self._begin = begin
        self._told = told
        self._last = begin
        self._sending = asyncio.Lock()
        self._quiet = False
        self._timer: asyncio.TimerHandle | None = None
        self._pulse: asyncio.Task[None] | None = None

    async def __aenter__(self) -> StreamedAnswer:
        self._quiet = not self._comment or self._idle_seconds == 0
        self._wait()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.quiet()

    async def part(self, part: bytes) -> None:
        async with self._sending:
            await self._write(part)
            self._comment = self._keep_alive or self._comment

    def is_open(self) -> bool:
        """Whether `write` can be called now: the answer has begun, and nothing waits for its client."""
        return self._direct is not None and not self._sending.locked() and self._direct.is_open()

    def write(self, part: bytes) -> None:
        """Send a part at once."""
        assert self._direct is not None
        self._direct.write(part)
        self._last = time.monotonic()

    async def end(self) -> None:
        """Nothing may follow."""
        await self.quiet()
        await self._start()
        await self._send({"type": "http.response.body", "body": b""})

    async def quiet(self) -> None:
        """No more comments; afterwards `begun` changes by the caller only."""
        self._quiet = True
        if self._timer is not None:
            self._timer.cancel()
        if self._pulse is not None and not self._pulse.done():
            await asyncio.wait({self._pulse})

    async def _write(self, part: bytes) -> None:
        await self._start()
        await self._send({"type": "http.response.body", "body": part, "more_body": True})
        self._last = time.monotonic()

    async def _start(self) -> None:
        if self.begun:
            return
        self.begun = True
        headers = {
            "content-type": self._media_type,
            "cache-control": "no-cache",
            "x-accel-buffering": "no",
            "openai-processing-ms": str(round((time.monotonic() - self._begin) * 1000)),
            **self._told,
            **context_header.headers(),
        }
        raw = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": 200, "headers": raw})

    def _wait(self) -> None:
        if not self._quiet:
            left = self._last + self._idle_seconds - time.monotonic()
            self._timer = asyncio.get_running_loop().call_later(max(left, 0.0), self._look)

    def _look(self) -> None:
        if time.monotonic() - self._last < self._idle_seconds:
            self._wait()
        else:
            self._pulse = asyncio.ensure_future(self._comment_and_wait())

    async def _comment_and_wait(self) -> None:
        async with self._sending:
            await self._write(self._comment)
        self._wait()
