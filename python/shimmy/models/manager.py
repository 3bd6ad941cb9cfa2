"""What is loaded: one engine per model, started on first use, and how long it stays."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from functools import partial

import msgspec

from shimmy.engine_client import EngineClient
from shimmy.errors import ModelLoadError, ModelNotFoundError, ModelNotReadyError, ShimmyError
from shimmy.model_info import EngineStats, ModelInfo
from shimmy.models.auto_name import Presence
from shimmy.models.entry import ModelEntry
from shimmy.models.memory import Memory
from shimmy.models.registry import Registry
from shimmy.models.residency import NOTHING, Bytes
from shimmy.models.room import Room
from shimmy.models.slot import Lease, Slot, State, identity_of
from shimmy.models.supervisor import Starter, Supervisor
from shimmy.runner import RunnerClient
from shimmy.settings import Settings

_STATS_SECONDS = 1.0
_SHY_SECONDS = 300.0
"""How long after a failed load `auto` takes another model first."""

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
    held: Bytes = NOTHING
    """What it takes of memory, as measured last; estimated where the system does not tell."""
    pinned: bool = False
    expires_at: float | None = None
    """Unix time at which it is unloaded if nobody uses it any more; infinity: never; None: it is not loaded."""


class ModelManager:
    """Leases loaded models by name. `start` loads one; the default gives each a process of its own. With `memory` they
    are loaded within its budgets only, and those unused for longest make way.
    """

    def __init__(self, registry: Registry, start: Starter = RunnerClient.start, memory: Memory | None = None) -> None:
        self.registry = registry
        self._start = start
        self._slots: dict[str, Slot] = {}
        self._leaving: dict[Lease, asyncio.Task[None]] = {}
        self._freeing: set[asyncio.Future[bool]] = set()
        self._room = Room(memory, self._slots, self._leaving, self._detach)
        self._closed = False
        registry.observe(self._presence)

    @asynccontextmanager
    async def use(self, name: str, keep_alive: float | None = None) -> AsyncIterator[EngineClient]:
        """A loaded model for the length of a block, loading it first when it is not. From its end on it stays for
        `keep_alive` seconds without use; None: as long as before.

        Concurrent callers share one load. Raises ModelNotFoundError, ModelLoadError (the next call tries again; as
        ModelTooLargeError when memory can never hold it), ModelNotReadyError once the manager is closed, while a model
        that kept crashing is put aside and while others that are used or pinned leave no memory, and EngineDeadError
        when one that crashed cannot be started again.
        """
        slot, lease = await self._loaded(name)
        while slot.lease is not lease:  # unloaded before this caller's turn came
            slot, lease = await self._loaded(name)
        slot.stay.ask(keep_alive)
        slot.hold(lease, +1)
        try:
            yield lease.client
        finally:
            slot.hold(lease, -1)
            if slot.idle:
                self._room.trim_sometimes()

    async def get(self, name: str, keep_alive: float | None = None) -> EngineClient:
        """The loaded model without a lease; see `use`. The client may be closed at any time."""
        slot, lease = await self._loaded(name)
        slot.stay.ask(keep_alive)
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

    async def _free(self, slot: Slot, *, force: bool = False) -> bool:
        if slot.loading is not None:
            await asyncio.wait({slot.loading})
        if slot.lease is None:
            return False
        await asyncio.shield(self._detach(slot, force=force))  # whoever asked may go away
        return True

    def _detach(self, slot: Slot, *, force: bool = False) -> asyncio.Task[None]:
        """Take a loaded model out of its slot, so that whoever comes next loads it anew."""
        lease, slot.lease = slot.lease, None
        assert lease is not None
        slot.stay.end()
        leaving = asyncio.ensure_future(self._leave(lease, force=force))
        self._leaving[lease] = leaving
        leaving.add_done_callback(lambda _: self._leaving.pop(lease))
        return leaving

    def _expire(self, slot: Slot) -> None:
        if slot.idle and not self._closed:
            assert slot.lease is not None
            logger.info("%s was not used for %.0f s and is unloaded", slot.lease.name, slot.stay.seconds)
            self._detach(slot)

    async def _leave(self, lease: Lease, *, force: bool) -> None:
        if not force:
            await lease.free.wait()
        await lease.client.close()

    async def rescan(self, settings: Settings | None = None) -> list[str]:
        """Have the registry search again, with other settings if they are given. An engine whose model is gone, or
        would be loaded otherwise by now, is freed once the requests that use it have ended; nobody waits for that, and
        who comes later gets a new one. One whose settings became wrong stays. Returns the names of those freed.

        Raises what `Registry.rescan` does; then everything stays.
        """
        await asyncio.to_thread(self.registry.rescan, settings)
        freed = []
        for name, slot in self._slots.items():
            self._configure(name, slot)
            if slot.state() == "unloaded" or self._is_as_loaded(name, slot):
                continue
            slot.error = None
            if slot.state() != "unloaded":
                freed.append(name)
                freeing = asyncio.ensure_future(self._free(slot))
                self._freeing.add(freeing)
                freeing.add_done_callback(self._freeing.discard)
        return freed

    def _is_as_loaded(self, engine: str, slot: Slot) -> bool:
        try:
            entry = self.registry.get(engine)
        except ModelNotFoundError:
            return False
        if entry.engine != engine:
            return False
        try:
            return slot.loaded_as == identity_of(entry)
        except (ShimmyError, OSError):
            return True

    async def has_place(self, name: str) -> bool:
        """Whether a model is loaded, or could be now without another one making way. Raises as `status`, and what
        `ModelEntry.load_spec` raises.
        """
        return self.loaded(name) is not None or await self._room.has_place(self.registry.get(name))

    def status(self, name: str) -> ModelStatus:
        """Raises ModelNotFoundError for a name that the registry does not have."""
        entry = self.registry.get(name)
        return _status(entry.name, self._slots.get(entry.engine) or Slot(_nothing))

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
        for slot in self._slots.values():
            slot.stay.end()
        leases = [slot.lease for slot in self._slots.values() if slot.lease is not None]
        await asyncio.gather(*(lease.client.close() for lease in [*leases, *self._leaving]))

    def adapter_faults(self, name: str) -> dict[str, str]:
        """Why files of adapters as they are now could not be loaded, by name. Raises as `status`."""
        slot = self._slot(name)
        return {} if slot is None or slot.lease is None else slot.lease.client.adapters.faults

    def _adapter_files(self, engine: str) -> dict[str, str]:
        """Name -> file; none of a model that is gone, whose engine keeps what it has."""
        try:
            adapters = self.registry.get(engine).adapters
        except ModelNotFoundError:
            return {}
        return {name: str(path) for name, path in adapters.items()}

    def _presence(self, entry: ModelEntry) -> Presence:
        slot = self._slots.get(entry.engine)
        if slot is None:
            return Presence("unloaded")
        if slot.loading is not None or slot.lease is not None:
            return Presence("loaded", None if slot.lease is None else slot.lease.client.info.n_ctx)
        shy = slot.error is not None and time.monotonic() < slot.failed_at + _SHY_SECONDS
        return Presence("failed" if shy else "unloaded")

    def _slot(self, name: str) -> Slot | None:
        """Also of a model whose file has gone since it was loaded. ModelNotFoundError for one that never was."""
        try:
            return self._slots.get(self.registry.get(name).engine)
        except ModelNotFoundError:
            if name not in self._slots:
                raise
            return self._slots[name]

    async def _loaded(self, name: str) -> tuple[Slot, Lease]:
        if self._closed:
            raise ModelNotReadyError("the server is shutting down")
        entry = self.registry.get(name)
        try:
            return await self._loaded_entry(entry)
        except (ModelLoadError, ModelNotReadyError) as error:
            if self._closed or not self.registry.fall_back(name, entry.name):
                raise
            logger.warning("%s: falling back behind %s: %s", name, entry.name, error.message)
            return await self._loaded(name)

    async def _loaded_entry(self, entry: ModelEntry) -> tuple[Slot, Lease]:
        slot = self._slots.get(entry.engine)
        if slot is None:
            slot = self._slots[entry.engine] = Slot(lambda: self._expire(self._slots[entry.engine]))
        slot.want(+1)
        try:
            if (lease := slot.lease) is not None:
                await lease.client.ready()
                return slot, lease
            if slot.loading is None:
                slot.progress = 0.0
                self._configure(entry.engine, slot)
                slot.loading = asyncio.ensure_future(self._load(slot, entry))
                slot.loading.add_done_callback(_retrieve)
            # A caller that goes away must not stop the load that others wait for.
            return slot, await asyncio.shield(slot.loading)
        finally:
            slot.want(-1)

    async def _load(self, slot: Slot, entry: ModelEntry) -> Lease:
        def on_progress(fraction: float) -> None:
            slot.progress = fraction

        try:
            slot.loaded_as = identity_of(entry)
            spec = await self._room.place(slot, entry)
            files = partial(self._adapter_files, entry.engine)
            client = await Supervisor.start(spec, self._start, on_progress, files)
            slot.lease = Lease(entry.engine, client, slot.reserved)
            await self._room.measure_new(slot, slot.lease)
        except asyncio.CancelledError:
            raise ModelNotReadyError("the server is shutting down") from None
        except ModelNotReadyError:
            raise
        except ModelLoadError as error:
            slot.error = error
            raise
        except (ShimmyError, OSError) as error:
            slot.error = ModelLoadError(f"model {entry.name!r} cannot be loaded: {error}")
            raise slot.error from error
        else:
            slot.error = None
            slot.progress = 1.0
            slot.loaded_at = time.time()
            return slot.lease
        finally:
            slot.loading = None
            if slot.lease is None:
                slot.failed_at = time.monotonic()
            slot.reserved = NOTHING
            slot.settle()

    def _configure(self, engine: str, slot: Slot) -> None:
        """How long it stays, by the settings of all the names that it answers for."""
        entries = [entry for entry in self.registry.entries() if entry.engine == engine]
        with suppress(ModelNotFoundError):
            entries.append(self.registry.get(engine))  # the embedded model need not be listed
        keep_alive = max((entry.settings.keep_alive_seconds for entry in entries), default=slot.stay.keep_alive)
        slot.stay.configure(keep_alive, pinned=any(entry.pinned for entry in entries))


def _nothing() -> None:
    """What happens to models that are not there when their time is over."""


def _retrieve(load: asyncio.Task[Lease]) -> None:
    """Look at the error of a load that nobody waits for any more, so that asyncio does not warn about it."""
    if not load.cancelled():
        load.exception()


def _status(name: str, slot: Slot) -> ModelStatus:
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
        held=NOTHING if slot.lease is None else slot.lease.held,
        pinned=slot.stay.pinned,
        expires_at=None if client is None else slot.stay.expires_at,
    )
