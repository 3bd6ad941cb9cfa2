"""How long a model stays."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable

import pytest

from shimmy.models.stay import Stay


def run(test: Callable[[Stay, list[float]], Awaitable[None]], keep_alive: float = 0.05) -> None:
    async def body() -> None:
        left: list[float] = []
        stay = Stay(lambda: left.append(time.time()))
        stay.configure(keep_alive, pinned=False)
        await test(stay, left)
        stay.end()

    asyncio.run(body())


def test_it_leaves_when_it_was_idle_for_long_enough() -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.begin()
        promised = stay.expires_at
        await asyncio.sleep(0.2)
        assert len(left) == 1
        assert left[0] >= promised - 0.01

    run(test)


def test_use_starts_the_time_anew() -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.begin()
        stay.interrupt()
        await asyncio.sleep(0.6)
        assert not left
        assert stay.expires_at == pytest.approx(time.time() + 0.5, abs=0.3)
        stay.begin()
        await asyncio.sleep(0.6)
        assert len(left) == 1

    run(test, keep_alive=0.5)


@pytest.mark.parametrize("forever", ["settings", "request", "pinned"])
def test_for_ever(forever: str) -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.begin()
        if forever == "settings":
            stay.configure(math.inf, pinned=False)
        elif forever == "request":
            stay.ask(math.inf)
        else:
            stay.configure(0, pinned=True)
            stay.ask(0)
        assert stay.expires_at == math.inf
        await asyncio.sleep(0.1)
        assert not left

    run(test)


def test_what_a_request_asks_for_holds_until_it_is_unloaded() -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.ask(600)
        stay.ask(None)
        stay.begin()
        assert stay.expires_at == pytest.approx(time.time() + 600, abs=1)
        stay.end()
        stay.begin()
        assert stay.expires_at < time.time() + 60

    run(test)


def test_not_at_all() -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.begin()
        stay.interrupt()  # whoever waited for it takes it before it can go
        await asyncio.sleep(0.01)
        assert not left
        stay.begin()
        await asyncio.sleep(0.01)
        assert left

    run(test, keep_alive=0)


def test_changed_settings_hold_at_once() -> None:
    async def test(stay: Stay, left: list[float]) -> None:
        stay.begin()
        await asyncio.sleep(0.05)
        stay.configure(0.02, pinned=False)  # over already
        await asyncio.sleep(0.01)
        assert left

    run(test, keep_alive=60)
