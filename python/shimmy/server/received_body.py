"""A request's body, until it was decoded."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from shimmy.server.body_budget import BodyShare
from shimmy.server.schemas.decoding import decode_value

LARGE_BYTES = 1024 * 1024
"""What is larger is decoded on another thread than the event loop's."""

Value = TypeVar("Value")


async def decoded(data: bytes, kind: type[Value]) -> Value:
    """As `decode_value`, beside the event loop where there is much to decode."""
    if len(data) <= LARGE_BYTES:
        return decode_value(data, kind)
    return await asyncio.to_thread(decode_value, data, kind)


class ReceivedBody:
    """Its bytes are forgotten once they were decoded: an answer may take long."""

    def __init__(self, data: bytes, share: BodyShare) -> None:
        self._data = data
        self._share = share

    def __bool__(self) -> bool:
        """Whether there is anything in it."""
        return bool(self._data)

    async def peek(self, kind: type[Value]) -> Value:
        """As `decode`, which may follow."""
        return await decoded(self._data, kind)

    async def decode(self, kind: type[Value]) -> Value:
        """The body as `kind`, once. InvalidRequestError as `decode_value`."""
        try:
            return await self.peek(kind)
        finally:
            self.drop()

    def drop(self) -> None:
        """Nobody wants it any more; idempotent."""
        self._data = b""
        self._share.release()
