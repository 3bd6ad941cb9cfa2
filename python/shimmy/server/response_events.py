"""The events of a response in the background, for whoever follows them, as often as they like."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

_AT_ONCE = 256


class ResponseEvents:
    """Kept as long as the response is; the place of an event is its `sequence_number`."""

    def __init__(self) -> None:
        self._events: list[bytes] = []
        self._ended = False
        self._more = asyncio.Event()
        self.n_bytes = 0

    def add(self, event: bytes) -> None:
        self._events.append(event)
        self.n_bytes += len(event)
        self._wake()

    def end(self) -> None:
        """Nothing follows."""
        self._ended = True
        self._wake()

    async def follow(self, after: int = -1) -> AsyncGenerator[bytes, None]:
        """Those numbered higher than `after`: what there is, then what comes, until the end."""
        at = after + 1
        while True:
            more = self._more
            while part := self._events[at : at + _AT_ONCE]:
                at += len(part)
                yield b"".join(part)
            if self._ended:
                return
            await more.wait()

    def _wake(self) -> None:
        more, self._more = self._more, asyncio.Event()
        more.set()
