"""Threads for work that blocks: few of them, and none that keeps the process from ending."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MAX_THREADS = 4
"""Work that hangs keeps its thread; when all hang, later calls wait until their time is up."""


class DaemonThreads:
    """At most MAX_THREADS at a time, each for as long as there are calls. Not an executor: Python waits for an
    executor's threads when it exits.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._calls: deque[_Call] = deque()
        self._n_threads = 0
        self._lock = threading.Lock()

    async def run(self, work: Callable[[], Any]) -> Any:
        """What `work` returns or raises. When this is cancelled the thread goes on, and nobody looks at its result;
        work that has not begun by then never does. RuntimeError when the system has no thread to give.
        """
        call = _Call(work)
        with self._lock:
            self._calls.append(call)
            more = self._n_threads < MAX_THREADS
            self._n_threads += more
        try:
            if more:
                self._start()
            return await call.answer
        finally:
            with self._lock, suppress(ValueError):
                self._calls.remove(call)

    def _start(self) -> None:
        try:
            threading.Thread(target=self._work, name=self._name, daemon=True).start()
        except BaseException:
            with self._lock:
                self._n_threads -= 1
            raise

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._calls:
                    self._n_threads -= 1
                    return
                call = self._calls.popleft()
            call.run()


class _Call:
    """Some work, and the future of those who wait for it."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self._work = work
        self._loop = asyncio.get_running_loop()
        self._context = contextvars.copy_context()
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    def run(self) -> None:
        """On a thread. Raises nothing, whatever the work does."""
        result: Any = None
        failure: Exception | None = None
        try:
            result = self._context.run(self._work)
        except BaseException as error:  # noqa: BLE001 - raised again where it is waited for
            # A future does not take StopIteration, and what is no Exception would end the loop.
            fits = isinstance(error, Exception) and not isinstance(error, StopIteration)
            failure = error if fits else RuntimeError(f"it raised {error!r}")  # type: ignore[assignment]
        with suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._settle, result, failure)

    def _settle(self, result: Any, failure: Exception | None) -> None:
        if self.answer.done():
            return
        if failure is None:
            self.answer.set_result(result)
        else:
            self.answer.set_exception(failure)
