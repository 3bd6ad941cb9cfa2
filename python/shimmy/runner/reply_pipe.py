"""The runner's side of the pipe to the server."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Sequence

from shimmy.output import RequestOutput
from shimmy.runner.frames import Failure, FrameError, Outputs, Pulse, Reply, StreamFailed, encode
from shimmy.runner.pile import Pile


class ReplyPipe:
    """Writes replies and outputs at once, from whatever thread they come: one frame holds the outputs of one call.

    While the server does not read, outputs are merged here, so memory grows with the text only.
    """

    CLOSE_SECONDS = 5.0

    def __init__(self, fd: int) -> None:
        """Take over `fd`, the writing end of a pipe. Belongs to the running event loop, which waits for the reader."""
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = asyncio.get_running_loop()
        self._lock = threading.Lock()  # of all below
        self._open = True
        self._unwritten = bytearray()
        self._outputs: dict[str, Pile] = {}
        self._written = asyncio.Event()  # the loop's

    def send(self, reply: Reply) -> None:
        """Write one reply, before outputs that still wait. FrameError when it is too large."""
        frame = encode(reply)
        with self._lock:
            self._write(frame)

    def beat(self, pulse: Pulse) -> None:
        """Write a pulse, unless the server does not read."""
        frame = encode(pulse)
        with self._lock:
            if not self._unwritten:
                self._write(frame)

    def put(self, outputs: Sequence[RequestOutput]) -> None:
        """Write outputs, in their order; several of one request become one."""
        with self._lock:
            for output in outputs:
                self._outputs.setdefault(output.request_id, Pile()).add(output)
            if not self._unwritten:
                self._flush()

    def fail(self, request_id: str, failure: Failure) -> None:
        """End a request with an error, after the outputs that it still has here."""
        with self._lock:
            if waiting := self._outputs.pop(request_id, None):
                self._write_outputs([waiting.take()])
            self._write(encode(StreamFailed(request_id, failure)))

    def drop(self, request_id: str) -> None:
        """Forget what waits for a cancelled request."""
        with self._lock:
            self._outputs.pop(request_id, None)

    async def close(self) -> None:
        """Write out what waits and close; gives up after CLOSE_SECONDS without a reader."""
        with self._lock:
            self._flush()
            waits = bool(self._unwritten)
        if waits:
            self._watch()
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._written.wait(), self.CLOSE_SECONDS)
        with self._lock:
            self._give_up()
        self._loop.remove_writer(self._fd)
        os.close(self._fd)

    def _flush(self) -> None:
        if self._outputs:
            outputs = [waiting.take() for waiting in self._outputs.values()]
            self._outputs.clear()
            self._write_outputs(outputs)

    def _write_outputs(self, outputs: list[RequestOutput]) -> None:
        try:
            self._write(encode(Outputs(outputs)))
        except FrameError:
            for output in outputs:
                self._write_alone(output)

    def _write_alone(self, output: RequestOutput) -> None:
        try:
            frame = encode(Outputs([output]))
        except FrameError as error:
            frame = encode(StreamFailed(output.request_id, Failure.of(error)))
        self._write(frame)

    def _write(self, frame: bytes) -> None:
        """Write what the pipe takes; the loop writes the rest when the server has read."""
        if not self._open:
            return
        if not self._unwritten:
            n_written = self._write_some(frame)
            if n_written == len(frame) or not self._open:
                return
            frame = frame[n_written:]
            with contextlib.suppress(RuntimeError):  # the loop is closed, and with it ends the process
                self._loop.call_soon_threadsafe(self._watch)
        self._unwritten += frame

    def _write_some(self, data: bytes | bytearray) -> int:
        try:
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0
        except OSError:  # the server is gone; the end of its commands ends the process
            self._give_up()
            return 0

    def _watch(self) -> None:
        with self._lock:
            waits = bool(self._unwritten)
        if waits:
            self._written.clear()
            self._loop.add_writer(self._fd, self._go_on)

    def _go_on(self) -> None:
        with self._lock:
            if self._open:
                del self._unwritten[: self._write_some(self._unwritten)]
            if not self._unwritten:
                self._flush()
            if self._unwritten:
                return
        self._loop.remove_writer(self._fd)
        self._written.set()

    def _give_up(self) -> None:
        self._open = False
        self._unwritten.clear()
        self._outputs.clear()
