"""The outputs of one request that its reader has not taken yet."""

from __future__ import annotations

import asyncio

from shimmy.errors import ShimmyError
from shimmy.output import RequestOutput
from shimmy.runner.merge import merge_outputs


class Backlog:
    """Never blocks the writer and stays small: what piles up is merged, so memory grows with the text only."""

    MAX_OUTPUTS = 64

    def __init__(self) -> None:
        self._outputs: list[RequestOutput] = []
        self._error: ShimmyError | None = None
        self._wake: asyncio.Future[None] | None = None

    def put(self, output: RequestOutput) -> None:
        self._outputs.append(output)
        if len(self._outputs) >= self.MAX_OUTPUTS:
            self._outputs = [merge_outputs(self._outputs)]
        self._notify()

    def fail(self, error: ShimmyError) -> None:
        """Raised by `take` once the outputs before it were taken. The first error stays."""
        if self._error is None:
            self._error = error
        self._notify()

    async def take(self) -> RequestOutput:
        """Everything since the last call, merged; waits until there is something."""
        while not self._outputs:
            if self._error is not None:
                raise self._error
            self._wake = asyncio.get_running_loop().create_future()
            try:
                await self._wake
            finally:
                self._wake = None
        outputs, self._outputs = self._outputs, []
        return merge_outputs(outputs)

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)
