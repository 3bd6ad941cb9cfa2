"""Adapters of a running model follow their files, over scripted engines."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from scripted_engine import ScriptedEngine, Step, obey, say

from shimmy.errors import EngineDeadError, ModelLoadError, ModelNotFoundError
from shimmy.model_info import LoadSpec
from shimmy.models.live_adapters import LiveAdapters
from shimmy.models.supervisor import Progress, Supervisor
from shimmy.request import GenerateRequest


class CountingEngine(ScriptedEngine):
    """Remembers what was read of each file."""

    def __init__(self, **options: object) -> None:
        super().__init__("m", **options)  # type: ignore[arg-type]
        self.read: list[tuple[str, str]] = []
        self.has_read = asyncio.Event()

    async def load_adapter(self, name: str, path: str) -> None:
        self.read.append((name, Path(path).read_text() if Path(path).exists() else ""))  # noqa: ASYNC240
        self.has_read.set()
        await asyncio.sleep(0.01)
        await super().load_adapter(name, path)


def write(path: Path, text: str) -> None:
    """Another version in any case, however coarse the clock of the disk is."""
    before = path.stat().st_mtime_ns if path.exists() else 0
    path.write_text(text)
    os.utime(path, ns=(before + 1_000_000, before + 1_000_000))


def with_adapters(
    folder: Path, test: Callable[[LiveAdapters, CountingEngine, dict[str, str]], Awaitable[None]]
) -> None:
    async def body() -> None:
        files = {name: str(folder / name) for name in ("a", "b")}
        engine = CountingEngine()
        adapters = LiveAdapters(lambda: files)
        adapters.begin(engine, {})
        await asyncio.wait_for(test(adapters, engine, files), 20)

    for name in ("a", "b"):
        write(folder / name, "first")
    asyncio.run(body())


def test_they_are_read_once_for_each_version_however_many_want_them(tmp_path: Path) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        await asyncio.gather(*(adapters.prepare(engine, ["a"]) for _ in range(8)))
        await adapters.prepare(engine, ["a", "unknown"])
        assert engine.read == [("a", "first")]
        write(tmp_path / "a", "other")  # of the same size
        await asyncio.gather(*(adapters.prepare(engine, ["a", "b"]) for _ in range(8)))
        assert engine.read[1:] == [("a", "other"), ("b", "first")]

    with_adapters(tmp_path, test)


@pytest.mark.parametrize("change", ["gone", "bad"])
def test_a_file_that_goes_bad_leaves_what_was_loaded(tmp_path: Path, change: str) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        await adapters.prepare(engine, ["a"])
        if change == "gone":
            (tmp_path / "a").unlink()
        else:
            write(tmp_path / "a", "bad")
        for _ in range(3):
            await adapters.prepare(engine, ["a"])
        assert engine.read[1:] == ([] if change == "gone" else [("a", "bad")])  # not tried again and again
        assert ("a" in adapters.faults) == (change == "bad")
        assert list(engine.adapters) == ["a"]
        write(tmp_path / "a", "good")
        await adapters.prepare(engine, ["a"])
        assert engine.read[-1] == ("a", "good")
        assert adapters.faults == {}

    with_adapters(tmp_path, test)


def test_a_file_that_changes_while_it_is_read_is_read_again(tmp_path: Path) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        loading = asyncio.ensure_future(adapters.prepare(engine, ["a"]))
        await engine.has_read.wait()
        write(tmp_path / "a", "second")
        await loading
        await adapters.prepare(engine, ["a"])
        assert engine.read == [("a", "first"), ("a", "second")]

    with_adapters(tmp_path, test)


def test_one_that_was_never_loaded_is_an_error_each_time(tmp_path: Path) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        write(tmp_path / "a", "bad")
        (tmp_path / "b").unlink()
        for name in ("a", "b", "a"):
            with pytest.raises(ModelLoadError, match=f"{name} is no adapter"):
                await adapters.prepare(engine, [name])

    with_adapters(tmp_path, test)


def test_what_is_unloaded_comes_back_only_when_it_is_wanted(tmp_path: Path) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        await adapters.prepare(engine, ["a"])
        path = files.pop("a")
        await adapters.unload(engine, "a")
        await adapters.unload(engine, "a")
        await adapters.prepare(engine, ["a"])
        assert engine.adapters == {}
        files["a"] = path
        await adapters.prepare(engine, ["a"])
        assert list(engine.adapters) == ["a"]
        await adapters.load(engine, "a", files["b"])
        assert engine.adapters == {"a": files["b"]}
        await adapters.prepare(engine, ["a"])  # as the model says
        assert engine.adapters == {"a": path}

    with_adapters(tmp_path, test)


def test_another_engine_gets_what_the_last_one_had(tmp_path: Path) -> None:
    async def test(adapters: LiveAdapters, engine: CountingEngine, files: dict[str, str]) -> None:
        await adapters.prepare(engine, ["a", "b"])
        write(tmp_path / "a", "bad")
        held = await adapters.unchanged()
        assert list(held) == ["b"]
        second = CountingEngine(adapters={"b": files["b"]})
        await adapters.begin_again(second, held)
        assert second.read == [("a", "bad")]
        assert list(second.adapters) == ["b"]
        write(tmp_path / "b", "deadly")
        with pytest.raises(EngineDeadError):
            await adapters.begin_again(CountingEngine(), await adapters.unchanged())

    with_adapters(tmp_path, test)


class Lives:
    """Starts engines; the first one dies in the middle of an answer."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []

    async def __call__(self, spec: LoadSpec, progress: Progress | None) -> ScriptedEngine:
        first = not self.engines
        self.engines.append(ScriptedEngine(spec.name, self._dying if first else obey, spec.adapters))
        return self.engines[-1]

    def _dying(self, request: GenerateRequest) -> list[Step]:  # type: ignore[override]
        begun, *_ = say(request, ["one"])
        return [begun, EngineDeadError("it was killed")]


def test_an_answer_that_goes_on_keeps_its_adapters(tmp_path: Path) -> None:
    files = {"configured": str(tmp_path / "configured"), "came-later": str(tmp_path / "came-later")}

    async def body() -> None:
        for path in files.values():
            Path(path).write_text("good")  # noqa: ASYNC240
        lives = Lives()
        spec = LoadSpec(name="m", path="m.gguf", adapters={"configured": files["configured"]})
        supervisor = await Supervisor.start(spec, lives, files=lambda: files)
        await supervisor.load_adapter("came-later", files["came-later"])
        assert supervisor.info.adapters == ["configured", "came-later"]
        request = GenerateRequest(request_id="r", prompt="one two", lora={"came-later": 0.5})
        async with supervisor.stream(request) as outputs:
            assert "".join([output.text async for output in outputs]).startswith("one")
        again = lives.engines[1]
        assert again.adapters == files
        assert [one.lora for one in again.requests] == [{"came-later": 0.5}]
        assert supervisor.info.adapters == list(files)
        await supervisor.unload_adapter("came-later")
        del files["came-later"]
        assert supervisor.info.adapters == ["configured"]
        with pytest.raises(ModelNotFoundError, match="no adapter"):
            async with supervisor.stream(GenerateRequest(request_id="s", prompt="x", lora={"came-later": 1.0})):
                pass
        await supervisor.close()

    asyncio.run(body())


def test_an_adapter_that_kills_its_engine_is_lost_and_says_so(tmp_path: Path) -> None:
    async def body() -> None:
        deadly = tmp_path / "deadly"
        deadly.write_text("deadly")
        supervisor = await Supervisor.start(LoadSpec(name="m", path="m.gguf"), Lives())
        with pytest.raises(EngineDeadError, match="loading of an adapter is lost"):
            await supervisor.load_adapter("x", str(deadly))
        assert await supervisor.tokenize("a") == [1, 97]
        assert supervisor.info.adapters == []
        await supervisor.close()

    asyncio.run(body())
