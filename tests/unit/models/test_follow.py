"""Changes on disk that appear in a registry while an event loop runs."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_gguf import model_bytes, write_model

from shimmy.discovery.walk import Root
from shimmy.models import follow as module
from shimmy.models.follow import check_can_follow, follow
from shimmy.models.manager import ModelManager
from shimmy.models.registry import Registry
from shimmy.settings import Settings, SettingsError

pytest.importorskip("watchfiles")


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("the condition did not come true")


def following(registry: Registry, steps: Callable[[], object]) -> None:
    """Run `steps`, a coroutine function, while `registry` follows the disk."""

    async def run() -> None:
        task = asyncio.ensure_future(follow(ModelManager(registry), settle_ms=50, look_ms=100))
        await asyncio.sleep(0.3)
        try:
            await steps()  # type: ignore[misc]
            assert not task.done()
        finally:
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(run())


def test_models_come_change_and_go(tmp_path: Path) -> None:
    write_model(tmp_path / "one.gguf")
    registry = Registry(Settings(), roots=[Root(tmp_path)])

    async def steps() -> None:
        half = model_bytes(n_params=1000)
        (tmp_path / "two.gguf").write_bytes(half[:-100])
        await until(lambda: [problem.path.name for problem in registry.problems] == ["two.gguf"])
        (tmp_path / "two.gguf").write_bytes(half)
        await until(lambda: registry.names() == ["one", "two"])
        (tmp_path / "one.gguf").unlink()
        await until(lambda: registry.names() == ["two"])
        write_model(tmp_path / "deep" / "er" / "three.gguf")
        await until(lambda: registry.names() == ["three", "two"])
        shutil.rmtree(tmp_path / "deep")
        await until(lambda: registry.names() == ["two"])

    following(registry, steps)


def test_folders_come_and_go(tmp_path: Path) -> None:
    registry = Registry(Settings(), roots=[Root(tmp_path / "later", required=False)])

    async def steps() -> None:
        for _ in range(4):
            write_model(tmp_path / "later" / "m.gguf")
            await until(lambda: registry.names() == ["m"])
            shutil.rmtree(tmp_path / "later")
            await until(lambda: registry.names() == ["shimmy-mini"])

    following(registry, steps)


def test_the_settings_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write_model(tmp_path / "models" / "m.gguf")
    path = tmp_path / "models.toml"
    path.write_text("")
    registry = Registry(Settings(model_settings=path), roots=[Root(tmp_path / "models")])

    async def steps() -> None:
        path.write_text("[models.m]\nsystem = 'one'")
        await until(lambda: registry.get("m").defaults.system == "one")
        path.write_text("[models.m]\nsytem = 'two'")
        await until(lambda: "unknown key 'sytem'" in caplog.text)
        assert registry.get("m").defaults.system == "one"

    following(registry, steps)


def test_the_package_may_be_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    with pytest.raises(SettingsError, match=r"shimmy-llm\[watch\]"):
        check_can_follow()
