"""Pulls under way: one for each model, however many wait for it, ended when the last of them has gone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing

from shimmy.library.pull import Progress, Puller

_REPORT_SECONDS = 0.1
"""At most one line in that time about the same file."""


class Pulls:
    """`pulled` is awaited with the name of a model once it is in the library, before those who wait hear of it."""

    def __init__(self, puller: Puller, pulled: Callable[[str], Awaitable[None]]) -> None:
        self._puller = puller
        self._pulled = pulled
        self._running: dict[str, _Pull] = {}

    async def follow(self, name: str) -> AsyncGenerator[Progress, None]:
        """What happens from the first line on, also for those who come later; of each file only the newest counts.

        Raises what `Puller.pull` raises. Leaving it is what ends the pull, unless others follow it.
        """
        key = name.removesuffix(":latest")
        pull = self._running.get(key)
        while pull is not None and pull.stopped:
            await asyncio.wait({pull.task})  # its thread has the file still
            self._forget(key, pull)
            pull = self._running.get(key)
        if pull is None:
            pull = self._start(key, name)
        async with aclosing(pull.lines()) as lines:
            async for line in lines:
                yield line

    def _start(self, key: str, name: str) -> _Pull:
        pull = self._running[key] = _Pull(self._puller, name, self._pulled)
        pull.task.add_done_callback(lambda _: self._forget(key, pull))
        return pull

    def _forget(self, key: str, pull: _Pull) -> None:
        if not pull.task.cancelled():
            pull.task.exception()  # seen, also when nobody waits any more
        if self._running.get(key) is pull:
            del self._running[key]

    def names(self) -> list[str]:
        """Of the models that are being pulled."""
        return list(self._running)

    def close(self) -> None:
        """End all of them; what came so far stays for the next time."""
        for pull in self._running.values():
            pull.stop.set()


class _Pull:
    """One pull on a thread of its own."""

    def __init__(self, puller: Puller, name: str, pulled: Callable[[str], Awaitable[None]]) -> None:
        self.stop = threading.Event()
        self._puller = puller
        self._name = name
        self._pulled = pulled
        self._loop = asyncio.get_running_loop()
        self._told: list[Progress] = []
        self._changed = asyncio.Event()
        self._followers = 0
        self._last_report = 0.0
        self.task = asyncio.ensure_future(self._run())

    @property
    def stopped(self) -> bool:
        return self.stop.is_set()

    async def lines(self) -> AsyncGenerator[Progress, None]:
        self._followers += 1
        sent, last = 0, None
        try:
            while True:
                changed = self._changed
                if sent and self._told[sent - 1] is not last:  # a newer one stands in its place
                    last = self._told[sent - 1]
                    yield last
                while sent < len(self._told):
                    last = self._told[sent]
                    sent += 1
                    yield last
                if self.task.done() and changed is self._changed:
                    await self.task
                    return
                if changed is self._changed:
                    waiting = asyncio.ensure_future(changed.wait())
                    try:
                        await asyncio.wait({waiting, self.task}, return_when=asyncio.FIRST_COMPLETED)
                    finally:
                        waiting.cancel()
        finally:
            self._followers -= 1
            if not self._followers:
                self.stop.set()

    async def _run(self) -> None:
        ended: asyncio.Future[None] = self._loop.create_future()

        def settle(error: BaseException | None) -> None:
            if not ended.done():
                ended.set_result(None) if error is None else ended.set_exception(error)

        def work() -> None:
            failure: BaseException | None = None
            try:
                self._puller.pull(self._name, self._report, self.stop)
            except Exception as error:  # noqa: BLE001 - it is raised where the pull is awaited
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                self._loop.call_soon_threadsafe(settle, failure)

        threading.Thread(target=work, name="shimmy-pull", daemon=True).start()
        await ended
        await self._pulled(self._name)
        self._add(Progress(status="success"))

    def _report(self, line: Progress) -> None:
        """Called on the pull's thread."""
        now = time.monotonic()
        if line.digest is not None and 0 < (line.completed or 0) < (line.total or 0):
            if now - self._last_report < _REPORT_SECONDS:
                return
            self._last_report = now
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._add, line)

    def _add(self, line: Progress) -> None:
        last = self._told[-1] if self._told else None
        grows = last is not None and line.digest is not None and last.digest == line.digest
        if grows and line.completed != line.total:
            self._told[-1] = line
        else:
            self._told.append(line)
        self._changed.set()
        self._changed = asyncio.Event()
