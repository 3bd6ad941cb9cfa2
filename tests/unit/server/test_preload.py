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


def run(folder: Path, count: int, used: dict[str, float]) -> tuple[list[str], list[str]]:
    """The models that were loaded at the start, and those remembered after "c" was used."""
    path = folder / "recent.json"
    RecentModels(path).save(used)

    async def start(spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        return await ScriptedEngine.load(spec, progress)

    async def body() -> list[str]:
        entries = (FakeEntry("a", "a.gguf"), FakeEntry("b", "broken.gguf"), FakeEntry("c", "c.gguf"))
        manager = ModelManager(FakeRegistry(*entries), start)
        loading = Preload(manager, RecentModels(path), count)
        task = asyncio.ensure_future(loading.run())
        await asyncio.sleep(0.1)
        found = [status.name for status in manager.statuses() if status.state == "loaded"]
        async with manager.use("c"):
            pass
        await asyncio.sleep(0.1)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        await manager.close()
        return found

    return asyncio.run(body()), RecentModels(path).names()


def test_those_used_last_are_loaded(tmp_path: Path) -> None:
    assert run(tmp_path, 1, {"a": 1.0, "c": 2.0})[0] == ["c"]
    assert run(tmp_path / "two", 2, {"a": 1.0, "c": 2.0})[0] == ["c", "a"]


def test_what_is_gone_or_broken_stops_nothing(tmp_path: Path) -> None:
    assert run(tmp_path, 4, {"gone": 9.0, "b": 8.0, "a": 1.0})[0] == ["a"]


def test_use_is_remembered_on_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(preload, "_SAVE_SECONDS", 0.02)
    assert run(tmp_path, 1, {"a": 1.0})[1] == ["c", "a"]
