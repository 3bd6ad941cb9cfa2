"""The runner's side of the pipe to the server."""

from __future__ import annotations

import asyncio
from typing import cast

from shimmy.output import RequestOutput
from shimmy.runner.frames import Failure, FrameError, Outputs, Pulse, Reply, StreamFailed, encode
from shimmy.runner.merge import merge_outputs


class ReplyPipe(asyncio.BaseProtocol):
    """Writes replies at once and outputs in bundles: one frame holds what came in the same turn of the event loop.

    While the server does not read, outputs are merged here, so memory grows with the text only.
    """

    MAX_OUTPUTS = 64

    def __init__(self) -> None:
        self._transport: asyncio.WriteTransport | None = None
        self._outputs: dict[str, list[RequestOutput]] = {}
        self._scheduled = False
        self._paused = False
        self._closed = asyncio.get_running_loop().create_future()

    @classmethod
    async def open(cls, fd: int) -> ReplyPipe:
        """Take over `fd`, the writing end of a pipe."""
        loop = asyncio.get_running_loop()
        _, pipe = await loop.connect_write_pipe(cls, open(fd, "wb", buffering=0))  # noqa: ASYNC230, SIM115
        return pipe

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if not self._closed.done():
            self._closed.set_result(None)

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        self._flush()

    def send(self, reply: Reply) -> None:
        """Write one reply now, before outputs that still wait. FrameError when it is too large."""
        self._write(encode(reply))

    def beat(self, pulse: Pulse) -> None:
        """Write a pulse, unless the server does not read."""
        if not self._paused:
            self.send(pulse)

    def add(self, output: RequestOutput) -> None:
        """Send one output with the others of this turn."""
        waiting = self._outputs.setdefault(output.request_id, [])
        waiting.append(output)
        if len(waiting) >= self.MAX_OUTPUTS:
            self._outputs[output.request_id] = [merge_outputs(waiting)]
        if not self._scheduled and not self._paused:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._flush)

    def fail(self, request_id: str, failure: Failure) -> None:
        """End a request with an error, after the outputs that it still has here."""
        waiting = self._outputs.pop(request_id, None)
        if waiting:
            self.send(Outputs([merge_outputs(waiting)]))
        self.send(StreamFailed(request_id, failure))

    def drop(self, request_id: str) -> None:
        """Forget what waits for a cancelled request."""
        self._outputs.pop(request_id, None)

    async def close(self) -> None:
        """Write out what waits and close; gives up after five seconds without a reader."""
        self._paused = False
        self._flush()
        if self._transport is not None:
            self._transport.close()
            await asyncio.wait([self._closed], timeout=5)

    def _flush(self) -> None:
        self._scheduled = False
        if self._paused or not self._outputs:
            return
        outputs = [merge_outputs(waiting) for waiting in self._outputs.values()]
        self._outputs.clear()
        try:
            self._write(encode(Outputs(outputs)))
        except FrameError:
            for output in outputs:
                self._write_alone(output)

    def _write_alone(self, output: RequestOutput) -> None:
        try:
            self._write(encode(Outputs([output])))
        except FrameError as error:
            self._write(encode(StreamFailed(output.request_id, Failure.of(error))))

    def _write(self, frame: bytes) -> None:
        if self._transport is not None:
            self._transport.write(frame)
