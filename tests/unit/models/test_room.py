"""ModelManager within a budget of memory, over scripted engines."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import msgspec
import pytest
from fake_registry import FakeEntry, FakeRegistry
from scripted_engine import ScriptedEngine
from tiny_gguf import write_model

from shimmy.errors import ModelNotReadyError, ModelTooLargeError
from shimmy.model_info import DeviceUse, LoadSpec
from shimmy.models import room
from shimmy.models.host_memory import HostMemory, ProcessMemory
from shimmy.models.manager import ModelManager
from shimmy.models.memory import Memory
from shimmy.models.model_cost import DRIVER_BYTES
from shimmy.settings import Settings

MIB = 1 << 20
SIZES = {"a": 200, "b": 300, "c": 400, "huge": 5000}
"""MiB of the weights; a process, its buffers and cells take 30 more, about as estimated."""


class System:
    """Starts scripted engines, and tells of each what it takes: as much as was estimated, unless `grown` says."""

    def __init__(self) -> None:
        self.specs: list[LoadSpec] = []
        self.engines: dict[str, ScriptedEngine] = {}
        self.grown: dict[str, int] = {}
        self.gpu_mib: dict[str, int] = {}
        """What they take of the one GPU of 24 GiB that their build uses; without any it uses none."""
        self.gate = asyncio.Event()
        """Loads end while it is set."""
        self.gate.set()

    async def start(self, spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        await self.gate.wait()
        self.specs.append(spec)
        engine = ScriptedEngine(spec.name)
        engine.pid = len(self.specs)
        if self.gpu_mib:
            use = DeviceUse(name="CUDA0", type="gpu", backend="CUDA", weights=self.gpu_mib.get(spec.name, 0) * MIB)
            engine.info = msgspec.structs.replace(engine.info, vram_bytes=use.used, vram_total=24 << 30, memory=[use])
        self.engines[spec.name] = engine
        return engine

    def measure(self, pid: int) -> ProcessMemory | None:
        name = self.specs[pid - 1].name
        return ProcessMemory(own=30 * MIB, files=(SIZES[name] + self.grown.get(name, 0)) * MIB)

    def alive(self) -> str:
        return " ".join(name for name, engine in self.engines.items() if engine.alive)


Test = Callable[[ModelManager, System], Awaitable[None]]


def run(
    folder: Path,
    test: Test,
    budget: int | None = 900 * MIB,
    host: HostMemory | None = None,
    n_ctx_train: int = 2048,
    vram: int | None = None,
    **pinned: bool,
) -> None:
    shape = {
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.context_length": n_ctx_train,
    }
    path = str(write_model(folder / "m.gguf", shape))
    forever = Settings(keep_alive=-1)
    entries = [
        FakeEntry(name, path, size_bytes=size * MIB, settings=forever, pinned=pinned.get(name, False))
        for name, size in SIZES.items()
    ]

    async def body() -> None:
        system = System()
        memory = Memory(budget, vram, gpus=vram is not None, host=lambda: host or HostMemory(), measure=system.measure)
        manager = ModelManager(FakeRegistry(*entries), system.start, memory)
        await test(manager, system)
        await manager.close()

    asyncio.run(body())


def test_the_one_unused_for_longest_makes_way(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        for name in ("a", "b"):
            async with manager.use(name):
                await asyncio.sleep(0.01)
        await manager.get("c")
        assert system.alive() == "b c"
        async with manager.use("b"):
            pass
        await manager.get("a")
        assert system.alive() == "a b"
        assert [manager.status(name).state for name in "abc"] == ["loaded", "loaded", "unloaded"]

    run(tmp_path, test)


def test_who_is_used_or_pinned_stays(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        await manager.get("a")
        async with manager.use("b"), manager.use("b"):
            with pytest.raises(ModelNotReadyError) as caught:
                await manager.get("c")
            assert caught.value.retry_after > 1
            assert "model 'c' cannot be loaded: it needs 4" in caught.value.message
            assert "held by a 230.0 MiB (pinned), b 330.0 MiB (in use)" in caught.value.message
            assert manager.status("c").state == "unloaded"
        await manager.get("c")
        assert system.alive() == "a c"
        assert await manager.unload("a")
        assert system.alive() == "c"

    run(tmp_path, test, a=True)


def test_what_can_never_fit_is_refused_for_good(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        with pytest.raises(ModelTooLargeError, match=r"needs 4\.9 GiB of memory and the budget is 900\.0 MiB;.*budget"):
            await manager.get("huge")
        assert manager.status("huge").state == "failed"
        assert not system.specs
        await manager.get("a")

    run(tmp_path, test)


def test_what_pinned_models_leave_no_room_for_is_refused_for_good(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        for name in ("a", "b"):
            await manager.get(name)
        with pytest.raises(ModelTooLargeError, match=r"a 230\.0 MiB \(pinned\), b 330\.0 MiB \(pinned\)"):
            await manager.get("c")

    run(tmp_path, test, budget=900 * MIB, a=True, b=True)


def test_loads_that_come_together_count_each_other(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        system.gate.clear()
        loading = [asyncio.ensure_future(manager.get(name)) for name in "abc"]
        (refused,), _ = await asyncio.wait(loading, return_when=asyncio.FIRST_COMPLETED)
        assert isinstance(refused.exception(), ModelNotReadyError)
        assert "(being loaded)" in str(refused.exception())
        system.gate.set()
        await asyncio.gather(*loading, return_exceptions=True)
        assert len(system.specs) == 2

    run(tmp_path, test)


def test_who_is_being_unloaded_still_counts(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        async with manager.use("b"):
            unloading = asyncio.ensure_future(manager.unload("b"))
            await asyncio.sleep(0)
            with pytest.raises(ModelNotReadyError, match=r"b 330\.0 MiB \(being unloaded\)"):
                await manager.get("c")
        assert await unloading
        await manager.get("c")

    run(tmp_path, test, budget=600 * MIB)


def test_measured_bytes_decide(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        caplog.set_level(logging.INFO, "shimmy.models")
        system.grown["a"] = 500
        await manager.get("a")
        assert "a takes 730.0 MiB of memory; 2" in caplog.text
        await manager.get("b")
        assert system.alive() == "b"
        assert manager.status("b").held.ram == 330 * MIB

    run(tmp_path, test)


def test_models_that_have_grown_too_large_make_the_idle_ones_leave(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(room, "_TRIM_SECONDS", 0.0)

    async def test(manager: ModelManager, system: System) -> None:
        for name in ("a", "b"):
            await manager.get(name)
        system.grown["b"] = 400
        for _ in range(200):
            async with manager.use("b"):
                pass
            await asyncio.sleep(0.05)  # it is measured in a thread, and not while an earlier measurement goes on
            if system.alive() == "b":
                break
        assert system.alive() == "b"
        system.grown["b"] = 4000
        async with manager.use("b"):
            pass
        await asyncio.sleep(0.05)
        assert system.alive() == "b"  # alone it stays, or it would be loaded again and again

    run(tmp_path, test)


def test_the_context_is_what_memory_holds(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        await manager.get("a")
        assert "n_ctx" not in system.specs[0].context
        await manager.get("c")
        assert system.specs[1].context["n_ctx"] == 32768
        assert system.alive() == "a c"

    run(tmp_path, test, budget=760 * MIB, n_ctx_train=65536)


def test_a_reload_beside_a_long_answer_takes_what_that_leaves(tmp_path: Path) -> None:
    """The answer is not interrupted. The new engine has a shorter context until it is loaded anew, and nobody waits."""

    async def test(manager: ModelManager, system: System) -> None:
        async with manager.use("a") as answering:
            unloading = asyncio.ensure_future(manager.unload("a"))
            await asyncio.sleep(0)
            async with manager.use("a") as client:
                assert client is not answering
                assert answering.alive
                assert [spec.context.get("n_ctx") for spec in system.specs] == [None, 32768]
            assert not unloading.done()
        assert await unloading
        assert not answering.alive
        assert await manager.get("a") is client
        await manager.unload("a")
        await manager.get("a")
        assert "n_ctx" not in system.specs[-1].context

    run(tmp_path, test, budget=530 * MIB, n_ctx_train=65536)


def test_what_others_left_is_all_there_is(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        with pytest.raises(
            ModelNotReadyError, match=r"needs 4\d\d\.\d MiB .* budget is 14\.4 GiB, of which .* 88\.0 MiB"
        ):
            await manager.get("c")
        with pytest.raises(ModelTooLargeError):
            await manager.get("twice")

    sizes = SIZES
    sizes["twice"] = 15000
    run(tmp_path, test, budget=None, host=HostMemory(16 << 30, 600 * MIB))
    del sizes["twice"]


def test_first_loads_on_a_gpu_come_one_after_the_other(tmp_path: Path) -> None:
    """Where a budget was given for it: none knows yet what the others take."""
    driver = DRIVER_BYTES // MIB

    async def test(manager: ModelManager, system: System) -> None:
        system.gpu_mib = {"a": 1000, "b": 500}
        await asyncio.gather(*(manager.get(name) for name in "ab"))
        assert [(spec.name, (spec.vram_limit or 0) // MIB) for spec in system.specs] == [
            ("a", 4096 - driver),
            ("b", 4096 - driver - 1000 - driver),
        ]

    run(tmp_path, test, budget=64 << 30, vram=4 << 30)


def test_a_file_that_does_not_tell_is_loaded_as_it_is(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        (tmp_path / "m.gguf").unlink()
        await manager.get("huge")
        assert system.alive() == "huge"

    run(tmp_path, test)


def test_a_model_has_a_place_while_nobody_has_to_go(tmp_path: Path) -> None:
    async def test(manager: ModelManager, system: System) -> None:
        assert await manager.has_place("c")
        await manager.get("b")
        assert await manager.has_place("c")
        await manager.get("a")
        assert not await manager.has_place("c")
        assert not await manager.has_place("huge")
        assert await manager.has_place("a")

    run(tmp_path, test)


def test_requests_race_for_too_little_memory(tmp_path: Path) -> None:
    """Whatever is answered was loaded within the budget, and nobody in use is unloaded."""

    async def test(manager: ModelManager, system: System) -> None:
        answered = 0

        async def ask(number: int) -> None:
            nonlocal answered
            await asyncio.sleep(number / 200)
            async with AsyncExitStack() as stack:
                try:
                    client = await stack.enter_async_context(manager.use("abc"[number % 3]))
                except ModelNotReadyError:
                    return
                await asyncio.sleep(number % 5 / 100)
                assert client.alive
                answered += 1
                held = sum(SIZES[name] + 30 for name, engine in system.engines.items() if engine.alive)
                assert held <= 800

        await asyncio.gather(*(ask(number) for number in range(200)))
        assert answered > 50
        assert len(system.specs) > 2

    run(tmp_path, test, budget=800 * MIB)


def test_a_budget_for_gpus_holds_every_load(tmp_path: Path) -> None:
    """The first too, before it is known whether there is one, and one that has to be put there in part."""
    driver = DRIVER_BYTES // MIB

    async def test(manager: ModelManager, system: System) -> None:
        system.gpu_mib = {"a": 300, "huge": 2500}
        for name in ("a", "huge"):
            await manager.get(name)
        assert [(spec.vram_limit or 0) // MIB for spec in system.specs] == [4096 - driver, 4096 - driver]
        assert system.alive() == "huge"  # it can use all of the budget
        assert manager.status("huge").held.vram == (2500 + driver) * MIB
        async with manager.use("huge"):
            await manager.get("b")
            assert (system.specs[-1].vram_limit or 0) // MIB == 4096 - 2500 - 2 * driver
            with pytest.raises(
                ModelNotReadyError, match=r"of GPU memory and the budget is 4\.0 GiB; held by huge 3\.0"
            ):
                await manager.get("c")

    run(tmp_path, test, budget=64 << 30, vram=4 << 30)
