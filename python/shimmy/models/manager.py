"""What is loaded: one engine per model, started on first use."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from shimmy.engine_client import EngineClient
from shimmy.errors import ModelLoadError, ModelNotFoundError, ModelNotReadyError, ShimmyError
from shimmy.model_info import EngineStats, ModelInfo
from shimmy.models.entry import ModelEntry
from shimmy.models.registry import Registry
from shimmy.models.supervisor import Starter, Supervisor
from shimmy.runner import RunnerClient

State: TypeAlias = Literal["unloaded", "loading", "loaded", "failed", "dead"]

_STATS_SECONDS = 1.0

logger = logging.getLogger("shimmy.models")


class ModelStatus(msgspec.Struct, kw_only=True, frozen=True):
    """One model as the manager sees it now."""

    name: str
    state: State
    load_error: str | None = None
    """Why it is failed or dead; None when it is loaded."""
    progress: float = 0.0
    """0 to 1 while loading, 1 when loaded."""
    in_use: int = 0
    """Leases held now."""
    last_used: float | None = None
    """Unix time in seconds at which the last lease began or ended; None before the first."""
    info: ModelInfo | None = None


class _Lease:
    """A client and how many use it."""

    def __init__(self, client: Supervisor) -> None:
        self.client = client
        self.holders = 0
        self.free = asyncio.Event()
        self.free.set()

    def hold(self, change: int) -> None:
        self.holders += change
        if self.holders:
            self.free.clear()
        else:
            self.free.set()


class _Identity(NamedTuple):
    """What makes an engine another one."""

    path: Path
    mtime: float
    template: str | None = None
    n_ctx: Any = None


class _Slot:
    """The life of one model: nothing, a load in flight, a client, or the error of the last load."""

    def __init__(self) -> None:
        self.loading: asyncio.Task[_Lease] | None = None
        self.loaded_as: _Identity | None = None
        self.lease: _Lease | None = None
        self.error: ShimmyError | None = None
        self.progress = 0.0
        self.in_use = 0
        self.last_used: float | None = None

    def state(self) -> State:
        if self.loading is not None:
            return "loading"
        if self.lease is not None:
            return self.lease.client.health
        return "failed" if self.error is not None else "unloaded"

    def hold(self, lease: _Lease, change: int) -> None:
        lease.hold(change)
        self.in_use += change
        self.last_used = time.time()


class ModelManager:
    """Leases loaded models by name. `start` loads one; the default gives each a process of its own."""

    def __init__(self, registry: Registry, start: Starter = RunnerClient.start) -> None:
        self.registry = registry
        self._start = start
        self._slots: dict[str, _Slot] = {}
        self._leaving: dict[_Lease, asyncio.Task[None]] = {}
        self._freeing: set[asyncio.Future[bool]] = set()
        self._closed = False

    @asynccontextmanager
    async def use(self, name: str) -> AsyncIterator[EngineClient]:
        """A loaded model for the length of a block, loading it first when it is not.

        Concurrent callers share one load. Raises ModelNotFoundError, ModelLoadError (the next call tries again),
        ModelNotReadyError once the manager is closed and while a model that kept crashing is put aside, and
        EngineDeadError when one that crashed cannot be started again.
        """
        slot, lease = await self._loaded(name)
        while slot.lease is not lease:  # unloaded before this caller's turn came
            slot, lease = await self._loaded(name)
        slot.hold(lease, +1)
        try:
            yield lease.client
        finally:
            slot.hold(lease, -1)

    async def get(self, name: str) -> EngineClient:
        """The loaded model without a lease; see `use`. The client may be closed at any time."""
        _, lease = await self._loaded(name)
        return lease.client

    def loaded(self, name: str) -> EngineClient | None:
        """The model without a lease when it is loaded now. Raises ModelNotFoundError as `status`."""
        slot = self._slot(name)
        lease = None if slot is None else slot.lease
        return lease.client if lease is not None and lease.client.health == "loaded" else None

    async def stats(self, name: str) -> EngineStats | None:
        """The counters of a loaded model; None when it is not loaded, hangs or is dying. Raises as `status`."""
        client = self.loaded(name)
        if client is None:
            return None
        try:
            return await asyncio.wait_for(client.stats(), _STATS_SECONDS)
        except (ShimmyError, asyncio.TimeoutError):
            return None

    async def unload(self, name: str, *, force: bool = False) -> bool:
        """Free a model once the requests that use it have ended; with `force` at once, which fails them. Later requests
        load it anew. False: it was not loaded.

        Raises ModelNotFoundError for a name that the registry does not have.
        """
        slot = self._slot(name)
        return slot is not None and await self._free(slot, force=force)

    async def _free(self, slot: _Slot, *, force: bool = False) -> bool:
        if slot.loading is not None:
            await asyncio.wait({slot.loading})
        if slot.lease is None:
            return False
        lease, slot.lease = slot.lease, None
        leaving = asyncio.ensure_future(self._leave(lease, force=force))
        self._leaving[lease] = leaving
        leaving.add_done_callback(lambda _: self._leaving.pop(lease))
        await asyncio.shield(leaving)  # whoever asked may go away
        return True

    async def _leave(self, lease: _Lease, *, force: bool) -> None:
        if not force:
            await lease.free.wait()
        await lease.client.close()

    async def rescan(self) -> None:
        """Have the registry search again. An engine whose model is gone, or is another one by now, is freed once the
        requests that use it have ended; nobody waits for that.

        Raises what `Registry.rescan` does; then everything stays.
        """
        await asyncio.to_thread(self.registry.rescan)
        for name, slot in self._slots.items():
            if slot.state() != "unloaded" and slot.loaded_as != self._loadable_as(name):
                freeing = asyncio.ensure_future(self._free(slot))
                self._freeing.add(freeing)
                freeing.add_done_callback(self._freeing.discard)

    def _loadable_as(self, engine: str) -> _Identity | None:
        try:
            entry = self.registry.get(engine)
        except ModelNotFoundError:
            return None
        return _identity(entry) if entry.engine == engine else None

    def status(self, name: str) -> ModelStatus:
        """Raises ModelNotFoundError for a name that the registry does not have."""
        entry = self.registry.get(name)
        return _status(entry.name, self._slots.get(entry.engine) or _Slot())

    def statuses(self) -> list[ModelStatus]:
        """Every model that was used since the start."""
        return [_status(name, slot) for name, slot in self._slots.items()]

    async def close(self) -> None:
        """End every model, whatever runs on it, and refuse new leases. Idempotent."""
        self._closed = True
        loads = [slot.loading for slot in self._slots.values() if slot.loading is not None]
        for load in loads:
            load.cancel()
        await asyncio.gather(*loads, return_exceptions=True)
        leases = [slot.lease for slot in self._slots.values() if slot.lease is not None]
        await asyncio.gather(*(lease.client.close() for lease in [*leases, *self._leaving]))

    def _slot(self, name: str) -> _Slot | None:
        """Also of a model whose file has gone since it was loaded. ModelNotFoundError for one that never was."""
        return self._slots.get(name) or self._slots.get(self.registry.get(name).engine)

    async def _loaded(self, name: str) -> tuple[_Slot, _Lease]:
        if self._closed:
            raise ModelNotReadyError("the server is shutting down")
        entry = self.registry.get(name)
        try:
            return await self._loaded_entry(entry)
        except ModelLoadError as error:
            if not self.registry.fall_back(name, entry.name):
                raise
            logger.warning("%s: falling back behind %s: %s", name, entry.name, error.message)
            return await self._loaded(name)

    async def _loaded_entry(self, entry: ModelEntry) -> tuple[_Slot, _Lease]:
        slot = self._slots.setdefault(entry.engine, _Slot())
        if (lease := slot.lease) is not None:
            await lease.client.ready()
            return slot, lease
        if slot.loading is None:
            slot.progress = 0.0
            slot.loaded_as = _identity(entry)
            slot.loading = asyncio.ensure_future(self._load(slot, entry))
            slot.loading.add_done_callback(_retrieve)
        # A caller that goes away must not stop the load that others wait for.
        return slot, await asyncio.shield(slot.loading)

    async def _load(self, slot: _Slot, entry: ModelEntry) -> _Lease:
        def on_progress(fraction: float) -> None:
            slot.progress = fraction

        try:
            slot.lease = _Lease(await Supervisor.start(entry.load_spec(), self._start, on_progress))
        except asyncio.CancelledError:
            raise ModelNotReadyError("the server is shutting down") from None
        except ModelLoadError as error:
            slot.error = error
            raise
        except (ShimmyError, OSError) as error:
            slot.error = ModelLoadError(f"model {entry.name!r} cannot be loaded: {error}")
            raise slot.error from error
        else:
            slot.error = None
            slot.progress = 1.0
            return slot.lease
        finally:
            slot.loading = None


def _identity(entry: ModelEntry) -> _Identity:
    if entry.record is None:
        return _Identity(entry.path, entry.model.mtime)
    return _Identity(entry.path, entry.model.mtime, entry.record.template, entry.record.parameters.get("num_ctx"))


def _retrieve(load: asyncio.Task[_Lease]) -> None:
    """Look at the error of a load that nobody waits for any more, so that asyncio does not warn about it."""
    if not load.cancelled():
        load.exception()


def _status(name: str, slot: _Slot) -> ModelStatus:
    client = None if slot.lease is None else slot.lease.client
    error = None if slot.error is None else slot.error.message
    return ModelStatus(
        name=name,
        state=slot.state(),
        load_error=error if client is None else client.trouble,
        progress=slot.progress if client is None else client.progress,
        in_use=slot.in_use,
        last_used=slot.last_used,
        info=None if client is None else client.info,
    )
