"""Pulls under way: one for each model, however many wait for it, ended when the last of them has gone."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TypeAlias

from shimmy.errors import ModelNotReadyError, ShimmyError
from shimmy.library.pull import Progress, Puller
from shimmy.library.reference import HubReference, RegistryReference

Reference: TypeAlias = HubReference | RegistryReference

_REPORT_SECONDS = 0.1
"""At most one line in that time about the same file."""
_SUCCESS = "success"


class Pulls:
    """`pulled` is awaited once a model is in the library, before those who wait hear of it.

    Names that mean the same share one download; whoever used another one than it was begun with gets a record too.
    """

    def __init__(self, puller: Puller, pulled: Callable[[], Awaitable[object]]) -> None:
        self._puller = puller
        self._pulled = pulled
        self._running: dict[Reference, _Pull] = {}
        self._closed = False

    async def follow(self, name: str) -> AsyncGenerator[Progress, None]:
        """What happens from the first line on, also for those who come later; of each file only the newest counts.

        Raises what `Puller.pull` raises, and ModelNotReadyError once they were closed. Leaving it ends the pull,
        unless others follow it.
        """
        key = self._puller.reference(name)
        while True:
            if self._closed:
                raise _closing()
            pull = self._running.get(key)
            while pull is not None and (pull.stopped or pull.task.done()):
                await asyncio.wait({pull.task})  # its thread has the file still
                self._forget(key, pull)
                pull = self._running.get(key)
            if pull is None:
                pull = self._start(key, name)
            is_called_so = _record_name(pull.name) == _record_name(name)
            async with aclosing(pull.lines()) as lines:
                async for line in lines:
                    if is_called_so or line.status != _SUCCESS:
                        yield line
            if is_called_so:
                return

    def _start(self, key: Reference, name: str) -> _Pull:
        pull = self._running[key] = _Pull(self._puller, name, self._pulled)
        pull.task.add_done_callback(lambda _: self._forget(key, pull))
        return pull

    def _forget(self, key: Reference, pull: _Pull) -> None:
        if not pull.task.cancelled():
            pull.task.exception()  # seen, also when nobody waits any more
        if self._running.get(key) is pull:
            del self._running[key]

    def names(self) -> list[str]:
        """Of the models that are being pulled."""
        return [pull.name for pull in self._running.values()]

    def close(self) -> None:
        """End all of them at once, which their followers hear; what came so far stays for the next time."""
        self._closed = True
        for pull in self._running.values():
            pull.end(_closing())


class _Pull:
    """One pull on a thread of its own."""

    def __init__(self, puller: Puller, name: str, pulled: Callable[[], Awaitable[object]]) -> None:
        self.stop = threading.Event()
        self.name = name
        self._puller = puller
        self._pulled = pulled
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
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

    def end(self, error: ShimmyError) -> None:
        """Without waiting for its thread, which may be stuck in the network."""
        self.stop.set()
        self._settle(error)

    def _settle(self, error: BaseException | None) -> None:
        if not self._ended.done():
            self._ended.set_result(None) if error is None else self._ended.set_exception(error)

    async def _run(self) -> None:
        def work() -> None:
            failure: BaseException | None = None
            try:
                self._puller.pull(self.name, self._report, self.stop)
            except Exception as error:  # noqa: BLE001 - it is raised where the pull is awaited
                failure = error
            with contextlib.suppress(RuntimeError):  # the loop has ended, and with it whoever waited
                self._loop.call_soon_threadsafe(self._settle, failure)

        threading.Thread(target=work, name="shimmy-pull", daemon=True).start()
        await self._ended
        await self._pulled()
        self._add(Progress(status=_SUCCESS))

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


def _closing() -> ModelNotReadyError:
    return ModelNotReadyError("the server is shutting down: pull it again later, which goes on from where it ended")


def _record_name(name: str) -> str:
    """As its record is called, but for the tag that is taken for granted."""
    return name.removeprefix("https://").removesuffix(":latest")
