"""Threads that outlive no call, and whose number no failure changes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest

from shimmy.agent.daemon_threads import MAX_THREADS, DaemonThreads


def failing(error: BaseException) -> Callable[[], Any]:
    def work() -> None:
        raise error

    return work


async def used_to_the_full(threads: DaemonThreads) -> None:
    """All of its threads work at the same time."""
    together = threading.Barrier(MAX_THREADS)
    await asyncio.gather(*(threads.run(lambda: together.wait(10)) for _ in range(MAX_THREADS)))


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), StopIteration(), GeneratorExit()])
def test_whatever_is_raised_gives_its_thread_back(error: BaseException) -> None:
    async def check() -> None:
        threads = DaemonThreads("test")
        for _ in range(2 * MAX_THREADS):
            with pytest.raises(RuntimeError, match=type(error).__name__):
                await threads.run(failing(error))
        await used_to_the_full(threads)

    asyncio.run(check())


def test_a_thread_that_cannot_start_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    async def check() -> None:
        threads = DaemonThreads("test")
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", lambda _: failing(RuntimeError("can't start new thread"))())
            for _ in range(2 * MAX_THREADS):
                with pytest.raises(RuntimeError, match="can't start"):
                    await threads.run(int)
        await used_to_the_full(threads)

    asyncio.run(check())


def test_work_of_a_loop_that_has_ended_gives_its_thread_back() -> None:
    threads = DaemonThreads("test")
    release = threading.Event()

    async def leave() -> None:
        for _ in range(MAX_THREADS):
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(threads.run(lambda: release.wait(10)), 0.01)

    asyncio.run(leave())
    release.set()
    asyncio.run(used_to_the_full(threads))


def test_work_that_nobody_waits_for_never_begins() -> None:
    async def check() -> None:
        threads = DaemonThreads("test")
        release = threading.Event()
        begun: list[int] = []
        busy = [asyncio.ensure_future(threads.run(lambda: release.wait(10))) for _ in range(MAX_THREADS)]
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(threads.run(lambda: begun.append(1)), 0.01)
        release.set()
        await asyncio.gather(*busy)
        await used_to_the_full(threads)
        assert begun == []

    asyncio.run(check())
