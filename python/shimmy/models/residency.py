"""Which models make way for another: pure functions of what each holds and how it is used."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import msgspec

from shimmy.byte_size import size_text


class Bytes(msgspec.Struct, frozen=True):
    """An amount of both kinds of memory; infinite where there is no limit."""

    ram: float = 0
    vram: float = 0

    def __add__(self, other: Bytes) -> Bytes:
        return Bytes(self.ram + other.ram, self.vram + other.vram)

    def __sub__(self, other: Bytes) -> Bytes:
        return Bytes(self.ram - other.ram, self.vram - other.vram)

    def fits(self, room: Bytes) -> bool:
        return self.ram <= room.ram and self.vram <= room.vram


NOTHING = Bytes()
UNLIMITED = Bytes(math.inf, math.inf)


class Resident(msgspec.Struct, frozen=True, kw_only=True):
    """A model that takes memory now."""

    name: str
    holds: Bytes
    last_used: float
    """Seconds of any clock."""
    busy: str = ""
    """What keeps it from being unloaded now, such as "in use"; empty: nothing."""
    pinned: bool = False

    @property
    def movable(self) -> bool:
        return not self.busy and not self.pinned


class Budget(msgspec.Struct, frozen=True):
    """What all models together may hold. `now` is less than `most` where other programs have taken of it."""

    most: Bytes = UNLIMITED
    now: Bytes = UNLIMITED


class Refusal(msgspec.Struct, frozen=True):
    """Why a model cannot be loaded."""

    need: Bytes
    budget: Budget
    holders: tuple[Resident, ...]
    """Those that stay."""

    @property
    def permanent(self) -> bool:
        """Whether waiting is of no use: it would not fit beside the pinned models alone."""
        return not self.need.fits(self.budget.most - total(one for one in self.holders if one.pinned))

    def describe(self) -> str:
        """For people, with the numbers: "it needs 5.0 GiB of memory and the budget is 8.0 GiB, ..."."""
        kind, of = ("vram", "GPU memory") if self.lacks_gpu_memory else ("ram", "memory")
        most, now = getattr(self.budget.most, kind), getattr(self.budget.now, kind)
        text = f"it needs {size_text(getattr(self.need, kind))} of {of} and the budget is {size_text(most)}"
        if now < most:
            text += f", of which other programs leave {size_text(max(now, 0))}"
        held = [
            f"{one.name} {size_text(getattr(one.holds, kind))} ({'pinned' if one.pinned else one.busy})"
            for one in self.holders
            if getattr(one.holds, kind) > 0
        ]
        return f"{text}; held by {', '.join(held)}" if held else text

    @property
    def lacks_gpu_memory(self) -> bool:
        """And nothing else."""
        return self._lacks("vram") and not self._lacks("ram")

    def _lacks(self, kind: str) -> bool:
        room: float = getattr(self.budget.now - total(self.holders), kind)
        return bool(getattr(self.need, kind) > room)


def total(residents: Iterable[Resident]) -> Bytes:
    """What they hold together."""
    held = NOTHING
    for one in residents:
        held += one.holds
    return held


def make_room(need: Bytes, residents: Sequence[Resident], budget: Budget) -> tuple[str, ...] | Refusal:
    """Whom to unload so that `need` fits beside the rest: those unused for longest, and none without need. Pinned and
    busy ones stay; a Refusal when that leaves too little.
    """
    room = budget.now - total(residents)
    going: list[Resident] = []
    for one in sorted((one for one in residents if one.movable), key=lambda one: one.last_used):
        if need.fits(room):
            break
        going.append(one)
        room += one.holds
    if not need.fits(room):
        return Refusal(need, budget, tuple(one for one in residents if not one.movable))
    for one in reversed(list(going)):
        if need.fits(room - one.holds):
            going.remove(one)
            room -= one.holds
    return tuple(one.name for one in going)
