"""The outputs of one request that its reader has not taken yet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from shimmy.errors import ShimmyError
from shimmy.output import RequestOutput
from shimmy.runner.pile import Pile


class PausedError(ShimmyError):
    """The reader was too slow: what it has read is all there is, and the engine has let the request go. The answer goes
    on when that is sent again behind its tokens.
    """


class Backlog:
    """Never blocks the writer. What piles up is merged; its writer is to end when it `is_full`."""

    MAX_BYTES = 1024 * 1024

    def __init__(self) -> None:
        self._waiting = Pile()
        self._error: ShimmyError | None = None
        self._wake: asyncio.Future[None] | None = None
        self._pour: Callable[[RequestOutput], bool] | None = None
        self._spilt: Exception | None = None

    def put(self, output: RequestOutput) -> None:
        if self._pour is not None and self._poured(output):
            return
        self._waiting.add(output)
        self._notify()

    @property
    def waits(self) -> bool:
        """Whether the reader has not taken everything."""
        return bool(self._waiting)

    @property
    def is_full(self) -> bool:
        """Whether about `MAX_BYTES` wait for the reader."""
        return self._waiting.n_bytes >= self.MAX_BYTES

    def fail(self, error: ShimmyError) -> None:
        """Raised by `take` once the outputs before it were taken. The first error stays."""
        if self._error is None:
            self._error = error
        self._notify()

    async def take(self) -> RequestOutput:
        """Everything since the last call, merged; waits until there is something."""
        while not self._waiting:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        return self._waiting.take()

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        """Call `take` with everything since the last call, merged, and from then on with each output as it is put,
        until it says no, which leaves that output here, or there are none left. Raises what `take` raises, but
        not what `fail` was given.
        """
        if self._error is not None:
            return
        if self._waiting:
            merged = self._waiting.take()
            if not take(merged):
                self._waiting.add(merged)
                return
            if merged.finished:
                return
        self._pour = take
        self._wake = asyncio.get_running_loop().create_future()
        try:
            await self._wake
        finally:
            self._wake = self._pour = None
        if self._spilt is not None:
            raise self._spilt

    def _poured(self, output: RequestOutput) -> bool:
        """Whether the output was taken. The writer hears nothing of errors of whoever takes."""
        assert self._pour is not None
        try:
            took = self._pour(output)
        except Exception as error:  # noqa: BLE001 - `pour` raises it
            self._spilt = error
            took = True
        if not took or self._spilt is not None or output.finished:
            self._pour = None
            self._notify()
        return took

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
