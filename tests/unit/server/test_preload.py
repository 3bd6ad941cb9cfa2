"""Loading what was used last."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from pathlib import Path

import pytest
from fake_registry import FakeEntry, FakeRegistry
from scripted_engine import ScriptedEngine

from shimmy.model_info import LoadSpec
from shimmy.models.manager import ModelManager
from shimmy.models.recent_models import RecentModels
from shimmy.server import preload
from shimmy.server.preload import Preload


async def becomes(wanted: list[str], told: Callable[[], list[str]]) -> list[str]:
    """What is told as soon as it is what is wanted, or after 20 s; and a moment later, when it is to stay that."""
    for _ in range(2000):
        if told() == wanted:
            break
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)
    return told()


def check(folder: Path, count: int, used: dict[str, float], loaded: list[str], remembered: list[str]) -> None:
    """Which models were loaded at the start, and which are remembered after "c" was used."""
    path = folder / "recent.json"
    RecentModels(path).save(used)

    async def start(spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        return await ScriptedEngine.load(spec, progress)

    async def body() -> None:
        entries = (FakeEntry("a", "a.gguf"), FakeEntry("b", "broken.gguf"), FakeEntry("c", "c.gguf"))
        manager = ModelManager(FakeRegistry(*entries), start)
        loading = Preload(manager, RecentModels(path), count)
        task = asyncio.ensure_future(loading.run())

        def names() -> list[str]:
            return [status.name for status in manager.statuses() if status.state == "loaded"]

        assert await becomes(loaded, names) == loaded
        async with manager.use("c"):
            pass
        assert await becomes(remembered, RecentModels(path).names) == remembered
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await manager.close()

    asyncio.run(body())


def test_those_used_last_are_loaded(tmp_path: Path) -> None:
    check(tmp_path, 1, {"a": 1.0, "c": 2.0}, loaded=["c"], remembered=["c", "a"])
    check(tmp_path / "two", 2, {"a": 1.0, "c": 2.0}, loaded=["c", "a"], remembered=["c", "a"])


def test_what_is_gone_or_broken_stops_nothing(tmp_path: Path) -> None:
    check(tmp_path, 4, {"gone": 9.0, "b": 8.0, "a": 1.0}, loaded=["a"], remembered=["gone", "b", "a"])


def test_use_is_remembered_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_SAVE_SECONDS", 0.02)
    check(tmp_path, 1, {"a": 1.0}, loaded=["a"], remembered=["c", "a"])
