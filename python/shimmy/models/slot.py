"""The life of one model: what is loaded under its name, what loads, who uses it, how long it stays."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Literal, NamedTuple, TypeAlias

import msgspec

from shimmy.errors import ShimmyError
from shimmy.model_info import LoadSpec
from shimmy.models.entry import ModelEntry
from shimmy.models.memory import Estimate
from shimmy.models.residency import NOTHING, Bytes
from shimmy.models.stay import Stay
from shimmy.models.supervisor import Supervisor

State: TypeAlias = Literal["unloaded", "loading", "loaded", "failed", "dead"]


class Lease:
    """A client, how many use it, and what it takes."""

    def __init__(self, name: str, client: Supervisor, held: Bytes) -> None:
        self.name = name
        self.client = client
        self.held = held
        self.own = 0.0
        """Bytes of what it holds that are no pages of files."""
        self.holders = 0
        self.free = asyncio.Event()
        self.free.set()

    def hold(self, change: int) -> None:
        self.holders += change
        if self.holders:
            self.free.clear()
        else:
            self.free.set()


class Identity(NamedTuple):
    """What makes an engine another one: the file, and how it is loaded, but for adapters."""

    mtime: float
    spec: LoadSpec


def identity_of(entry: ModelEntry) -> Identity:
    """Raises as `load_spec`."""
    return Identity(entry.model.mtime, msgspec.structs.replace(entry.load_spec(), adapters={}))


class Slot:
    """Nothing, a load in flight, a client, or the error of the last load."""

    def __init__(self, leave: Callable[[], None]) -> None:
        self.stay = Stay(leave)
        self.wanted = 0
        """Callers that wait for it."""
        self.reserved = NOTHING
        """What a load in flight is going to take."""
        self.estimate: Estimate | None = None
        """Of the last load; None where that could not be told."""
        self.untold: tuple[ModelEntry, LoadSpec] | None = None
        """What that load was, then."""
        self.loading: asyncio.Task[Lease] | None = None
        self.loaded_as: Identity | None = None
        self.lease: Lease | None = None
        self.error: ShimmyError | None = None
        self.progress = 0.0
        self.in_use = 0
        self.last_used: float | None = None
        self.loaded_at = 0.0
        self.failed_at = 0.0
        """As time.monotonic tells it."""

    def state(self) -> State:
        if self.loading is not None:
            return "loading"
        if self.lease is not None:
            return self.lease.client.health
        return "failed" if self.error is not None else "unloaded"

    def hold(self, lease: Lease, change: int) -> None:
        lease.hold(change)
        self.in_use += change
        self.last_used = time.time()
        self.settle()

    def want(self, change: int) -> None:
        self.wanted += change
        self.settle()

    @property
    def idle(self) -> bool:
        return self.lease is not None and self.loading is None and not self.lease.holders and not self.wanted

    def settle(self) -> None:
        """Begin or end the time that it may be idle."""
        if self.idle:
            self.stay.begin()
        else:
            self.stay.interrupt()
