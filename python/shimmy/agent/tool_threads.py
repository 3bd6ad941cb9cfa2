"""Threads for tools that block: few of them, and none that keeps the process from ending."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

MAX_THREADS = 4
"""A tool that hangs keeps its thread; when all hang, later calls wait until their time is up."""


class ToolThreads:
    """A thread for each call. Not an executor: Python waits for an executor's threads when it exits."""

    def __init__(self) -> None:
        self._free = asyncio.Semaphore(MAX_THREADS)

    async def run(self, call: Callable[[], Any]) -> Any:
        """What `call` returns or raises. When this is cancelled the thread goes on, and nobody looks at its result."""
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Any] = loop.create_future()

        def settle(result: Any, error: Exception | None) -> None:
            self._free.release()
            if answer.done():
                return
            if error is None:
                answer.set_result(result)
            else:
                answer.set_exception(error)

        def work() -> None:
            result: Any = None
            failure: Exception | None = None
            try:
                result = call()
            except StopIteration as error:  # a future takes any but this
                failure = RuntimeError(f"the tool raised {error!r}")
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                failure = error
            with suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(settle, result, failure)

        context = contextvars.copy_context()
        threading.Thread(target=context.run, args=(work,), name="shimmy-tool", daemon=True).start()
        return await answer
