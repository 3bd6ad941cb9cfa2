"""ModelManager over scripted engines."""

from __future__ import annotations

import asyncio
import random
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from fake_registry import FakeEntry, FakeRegistry
from scripted_engine import ScriptedEngine

from shimmy.errors import EngineDeadError, ModelLoadError, ModelNotFoundError, ModelNotReadyError, TemplateError
from shimmy.model_info import LoadSpec
from shimmy.models import crash_history
from shimmy.models.manager import ModelManager
from shimmy.request import GenerateRequest


class Starter:
    """Counts loads; `error` is raised by the next ones, `gate` holds them back. `entered`: one has begun."""

    def __init__(self) -> None:
        self.engines: list[ScriptedEngine] = []
        self.error: Exception | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.entered = asyncio.Event()
        self.cancelled = False

    async def __call__(self, spec: LoadSpec, progress: Callable[[float], None] | None) -> ScriptedEngine:
        if progress is not None:
            progress(0.5)
        self.entered.set()
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        if self.error is not None:
            raise self.error
        self.engines.append(ScriptedEngine(spec.name))
        return self.engines[-1]


def run(test: Callable[[ModelManager, Starter], Awaitable[None]]) -> None:
    async def body() -> None:
        starter = Starter()
        manager = ModelManager(FakeRegistry(FakeEntry("m", "m.gguf"), FakeEntry("other", "o.gguf")), starter)
        await test(manager, starter)
        await manager.close()

    asyncio.run(body())


def test_the_first_use_loads_and_the_rest_share() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        assert manager.status("m").state == "unloaded"
        clients = await asyncio.gather(*(manager.get("m") for _ in range(10)))
        assert len(starter.engines) == 1
        assert len(set(map(id, clients))) == 1
        async with manager.use("m") as client:
            assert client is clients[0]
            status = manager.status("m")
            assert (status.state, status.in_use, status.progress) == ("loaded", 1, 1.0)
            assert status.last_used is not None
            assert status.info is client.info
        assert manager.status("m").in_use == 0
        await manager.get("other")
        assert [status.name for status in manager.statuses()] == ["m", "other"]

    run(test)


def test_status_while_loading() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        starter.gate.clear()
        waiting = asyncio.ensure_future(manager.get("m"))
        await starter.entered.wait()
        status = manager.status("m")
        assert (status.state, status.progress) == ("loading", 0.5)
        starter.gate.set()
        await waiting

    run(test)


def test_a_dead_client_is_replaced() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        await manager.get("m")
        starter.engines[0].alive = False
        assert manager.status("m").state == "dead"
        assert manager.loaded("m") is None
        await manager.get("m")
        assert len(starter.engines) == 2
        assert manager.status("m").state == "loaded"

    run(test)


@pytest.mark.parametrize("error", [ModelLoadError("bad magic"), TemplateError("bad magic"), OSError("bad magic")])
def test_a_failed_load_is_told_and_tried_again(error: Exception) -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        starter.error = error
        results = await asyncio.gather(manager.get("m"), manager.get("m"), return_exceptions=True)
        for result in results:
            assert isinstance(result, ModelLoadError)
            assert "bad magic" in str(result)
        status = manager.status("m")
        assert status.state == "failed"
        assert "bad magic" in (status.load_error or "")
        starter.error = None
        await manager.get("m")
        assert manager.status("m").load_error is None

    run(test)


def test_a_caller_that_leaves_does_not_stop_the_load() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        starter.gate.clear()
        leaving = asyncio.ensure_future(manager.get("m"))
        staying = asyncio.ensure_future(manager.get("m"))
        await asyncio.sleep(0.01)
        leaving.cancel()
        await asyncio.sleep(0.01)
        starter.gate.set()
        assert (await staying).info is starter.engines[0].info

    run(test)


def test_unknown_names_are_the_registry_s_error() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        with pytest.raises(ModelNotFoundError, match="available: m, other"):
            await manager.get("nope")
        with pytest.raises(ModelNotFoundError):
            manager.status("nope")

    run(test)


def test_unloading_waits_for_those_who_use_it() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        assert await manager.unload("m") is False
        async with manager.use("m"):
            unloading = asyncio.create_task(manager.unload("m"))
            await asyncio.sleep(0)
            assert not unloading.done()
            assert starter.engines[0].alive
            assert manager.status("m").state == "unloaded"
            async with manager.use("m"):  # a new one beside the old
                assert len(starter.engines) == 2
        assert await unloading is True
        assert [engine.alive for engine in starter.engines] == [False, True]
        assert manager.status("m").in_use == 0
        with pytest.raises(ModelNotFoundError):
            await manager.unload("nothing")

    run(test)


def test_whoever_asked_to_unload_may_go_away() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        async with manager.use("m") as client:
            unloading = asyncio.create_task(manager.unload("m"))
            await asyncio.sleep(0)
            unloading.cancel()
            await asyncio.gather(unloading, return_exceptions=True)
            assert client.alive
        await asyncio.sleep(0.01)
        assert not client.alive

    run(test)


def test_a_model_whose_file_is_gone_can_still_be_unloaded() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        client = await manager.get("m")
        manager.registry._entries.pop("m")  # type: ignore[attr-defined]
        assert manager.loaded("m") is client
        assert await manager.unload("m") is True
        assert not client.alive

    run(test)


def test_unloading_waits_for_the_load() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        starter.gate.clear()
        using = asyncio.create_task(manager.get("m"))
        await asyncio.sleep(0)
        unloading = asyncio.create_task(manager.unload("m"))
        await asyncio.sleep(0)
        starter.gate.set()
        await using
        assert await unloading is True
        assert manager.status("m").state == "unloaded"

    run(test)


def test_closing_ends_what_is_being_unloaded() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        async with manager.use("m"):
            unloading = asyncio.create_task(manager.unload("m"))
            await asyncio.sleep(0)
            await manager.close()
            assert not starter.engines[0].alive
        assert await unloading is True

    run(test)


def test_close_ends_clients_and_loads() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        await manager.get("m")
        starter.gate.clear()
        starter.entered.clear()
        loading = asyncio.ensure_future(manager.get("other"))
        await starter.entered.wait()
        await manager.close()
        await manager.close()
        assert starter.cancelled
        assert not starter.engines[0].alive
        with pytest.raises(ModelNotReadyError, match="shutting down"):
            await loading
        with pytest.raises(ModelNotReadyError, match="shutting down"):
            await manager.get("m")

    run(test)


def test_loads_and_unloads_race_with_requests() -> None:
    """Every request is answered whole, or told to come again, or ended by force; nothing hangs or is left."""

    async def test(manager: ModelManager, starter: Starter) -> None:
        chance = random.Random(5)

        async def ask(number: int) -> str:
            request = GenerateRequest(request_id=f"r{number}", prompt=f"slow {chance.randint(1, 4)}")
            try:
                async with manager.use(chance.choice(("m", "other"))) as client, client.stream(request) as outputs:
                    return [output async for output in outputs][-1].finish_reason or ""
            except (ModelNotReadyError, EngineDeadError) as error:
                return type(error).__name__

        async def act(number: int) -> str | bool | None:
            await asyncio.sleep(chance.uniform(0, 1))
            name = chance.choice(("m", "other"))
            match chance.randrange(6):
                case 0:
                    return await manager.unload(name, force=chance.random() < 0.3)
                case 1 if starter.engines:
                    chance.choice(starter.engines[-3:]).alive = False
                    return None
                case 2:
                    with suppress(ModelNotReadyError):
                        await manager.get(name)
                    return None
                case _:
                    return await ask(number)

        crash_history.ALLOWED, allowed = 1_000_000, crash_history.ALLOWED
        try:
            results = await asyncio.wait_for(asyncio.gather(*(act(number) for number in range(400))), 30)
        finally:
            crash_history.ALLOWED = allowed
        assert {result for result in results if isinstance(result, str)} <= {
            "stop",
            "ModelNotReadyError",
            "EngineDeadError",
        }
        assert results.count("stop") > 100
        assert all(status.in_use == 0 for status in manager.statuses())
        await manager.unload("m")
        await manager.unload("other")
        assert not any(engine.alive or engine.running for engine in starter.engines)

    run(test)


def test_a_search_frees_what_changed_or_went() -> None:
    async def test(manager: ModelManager, starter: Starter) -> None:
        registry: FakeRegistry = manager.registry
        kept, changed = await manager.get("m"), await manager.get("other")
        await manager.rescan()
        registry._entries["other"] = FakeEntry("other", "o.gguf", created=1_800_000_000)
        async with manager.use("other"):
            await manager.rescan()
            await asyncio.sleep(0.01)
            assert (kept.alive, changed.alive) == (True, True)
        await asyncio.sleep(0.01)
        assert (kept.alive, changed.alive) == (True, False)
        assert (await manager.get("other")).alive
        del registry._entries["m"]
        await manager.rescan()
        await asyncio.sleep(0.01)
        assert not kept.alive

    run(test)
