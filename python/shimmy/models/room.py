"""Keeping the loaded models within their memory: who has to go before one comes, and when they have grown."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping

import msgspec

from shimmy.errors import ModelNotReadyError, ModelTooLargeError
from shimmy.model_info import LoadSpec
from shimmy.models.entry import ModelEntry
from shimmy.models.memory import Estimate, Memory, place
from shimmy.models.residency import NOTHING, Refusal, Resident, make_room, total
from shimmy.models.slot import Lease, Slot

_RETRY_SECONDS = 5.0
_TRIM_SECONDS = 30.0

logger = logging.getLogger("shimmy.models")


class Room:
    """Of the models in `slots`, and of those that are `leaving` but not gone. `detach` unloads an idle one; its task
    ends when the memory is free. Without `memory` everything fits.
    """

    def __init__(
        self,
        memory: Memory | None,
        slots: Mapping[str, Slot],
        leaving: Mapping[Lease, asyncio.Task[None]],
        detach: Callable[[Slot], asyncio.Task[None]],
    ) -> None:
        self._memory = memory
        self._slots = slots
        self._leaving = leaving
        self._detach = detach
        self._placing = asyncio.Lock()
        self._unchecked: asyncio.Task[Lease] | None = None  # the last load that is held to a limit and reserves nothing
        self._trimming: asyncio.Future[None] | None = None
        self._trimmed = time.monotonic()

    async def place(self, slot: Slot, entry: ModelEntry) -> LoadSpec:
        """How to load it within the budgets; `slot` has reserved what it needs, and whoever had to make way is gone.

        Raises what `ModelEntry.load_spec` raises, ModelTooLargeError when it can never fit, and ModelNotReadyError when
        it could once others are not used any more.
        """
        spec = entry.load_spec()
        cost = None if self._memory is None else await self._memory.cost(entry, spec)
        slot.estimate, slot.untold = None, None
        if self._memory is None:
            return spec
        while cost is None and self._unchecked is not None and not self._unchecked.done():
            await asyncio.wait({self._unchecked})  # what it leaves is not known before, and nor may be its GPU
            cost = await self._memory.cost(entry, spec)
        if cost is None:
            slot.untold = (entry, spec)
            limited = self._memory.limited(spec, total(self.residents()))
            self._unchecked = None if limited.vram_limit is None else slot.loading
            return limited
        async with self._placing:
            await self._measure(self._memory)
            # Who is closing is gone in a moment, and would cost this one its context. Not those with requests: this
            # load may be for one of them.
            while closing := [one for lease, one in self._leaving.items() if not lease.holders and not one.done()]:
                await asyncio.wait(closing)
            # Nothing is awaited until they are detached: who is idle now stays so.
            placement = place(cost, spec, self.residents(), self._memory.budget(self._own()))
            if isinstance(placement, Refusal):
                raise _refused(entry.name, placement)
            slot.reserved = placement.need
            slot.estimate = Estimate(
                need=placement.need, mtime=entry.model.mtime, asked=spec, cost=cost, spilled=placement.spilled
            )
            going = []
            for name in placement.evict:
                logger.info("%s makes way for %s", name, entry.name)
                going.append(self._detach(self._slots[name]))
            await asyncio.gather(*map(asyncio.shield, going))
        return placement.spec

    async def has_place(self, entry: ModelEntry) -> bool:
        """Whether it could be loaded now without anybody making way."""
        if self._memory is None:
            return True
        spec = entry.load_spec()
        cost = await self._memory.cost(entry, spec)
        if cost is None:
            return True
        await self._measure(self._memory)
        placement = place(cost, spec, self.residents(), self._memory.budget(self._own()))
        return not isinstance(placement, Refusal) and not placement.evict

    async def measure_new(self, slot: Slot, lease: Lease) -> None:
        """Compare what was loaded with its estimate; others make up for what it takes beyond that, soon."""
        if self._memory is None:
            return
        loaded = [one.client.info for one in self._leases() if one is not lease and one.client.health == "loaded"]
        self._memory.learn_drivers([*loaded, lease.client.info])
        await self._measure_one(self._memory, lease)
        if slot.estimate is not None:
            self._memory.learn(lease.name, slot.estimate, lease.held)
        elif slot.untold is not None:
            await self._memory.learn_first(*slot.untold, lease.client.info, lease.held)
        self._begin_trim(self._memory)

    def trim_sometimes(self) -> None:
        """To be called when a model becomes idle: what models keep of earlier prompts grows while they work."""
        if self._memory is not None and time.monotonic() - self._trimmed > _TRIM_SECONDS:
            self._begin_trim(self._memory)

    def residents(self) -> list[Resident]:
        """Everything that takes memory now, or is about to."""
        found = [
            Resident(name=lease.name, holds=lease.held, last_used=0, busy="being unloaded") for lease in self._leaving
        ]
        for name, slot in self._slots.items():
            lease = slot.lease
            holds = slot.reserved if lease is None else lease.held
            if lease is None and holds == NOTHING:
                continue
            busy = "being loaded"
            if lease is not None and slot.loading is None:
                busy = "" if slot.idle else "in use"
            last_used = max(slot.last_used or 0.0, slot.loaded_at)
            found.append(Resident(name=name, holds=holds, last_used=last_used, busy=busy, pinned=slot.stay.pinned))
        return found

    def _begin_trim(self, memory: Memory) -> None:
        self._trimmed = time.monotonic()
        if self._trimming is None or self._trimming.done():
            self._trimming = asyncio.ensure_future(self._trim(memory))

    async def _trim(self, memory: Memory) -> None:
        """Unload idle ones while all together hold more than the budget, but never the one that was used last."""
        async with self._placing:
            if any(slot.lease is None and slot.reserved != NOTHING for slot in self._slots.values()):
                return  # what is being loaded would count twice; its own load trims again
            await self._measure(memory)
            residents = self.residents()
            latest = max((one.last_used for one in residents), default=0.0)
            residents = [
                msgspec.structs.replace(one, busy=one.busy or "used last") if one.last_used == latest else one
                for one in residents
            ]
            going = make_room(NOTHING, residents, memory.budget(self._own()))
            if isinstance(going, Refusal):  # it stays too much whoever goes
                going = tuple(one.name for one in residents if one.movable)
            for name in going:
                logger.info("%s is unloaded: together the models hold more than their budget", name)
                self._detach(self._slots[name])

    async def _measure(self, memory: Memory) -> None:
        for lease in self._leases():
            await self._measure_one(memory, lease)

    async def _measure_one(self, memory: Memory, lease: Lease) -> None:
        if lease.client.health == "loaded":
            held = await memory.held(lease.client.pid, lease.client.info)
            lease.held, lease.own = held or (lease.held, lease.own)

    def _own(self) -> float:
        return sum(lease.own for lease in self._leases())

    def _leases(self) -> list[Lease]:
        return [*(slot.lease for slot in self._slots.values() if slot.lease is not None), *self._leaving]


def _refused(name: str, refusal: Refusal) -> ModelTooLargeError | ModelNotReadyError:
    reason = f"model {name!r} cannot be loaded: {refusal.describe()}"
    if refusal.permanent:
        budget = "--vram-budget, or fewer --gpu-layers" if refusal.lacks_gpu_memory else "--memory-budget"
        return ModelTooLargeError(f"{reason}; a smaller context, or a larger {budget}, may help")
    return ModelNotReadyError(reason, _RETRY_SECONDS)
