"""What a search found for a model on a machine, as it is kept and shown."""

from __future__ import annotations

import hashlib

import msgspec

from shimmy.tuning.duel import Gain
from shimmy.tuning.search import Trial
from shimmy.tuning.setup import Setup


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """What a winner holds for: anything else may be fastest with other settings. Texts, for people too."""

    model: str
    """Architecture, shape and quantisation: other files of the same kind share their winner."""
    machine: str
    """Processor with its features, the CPUs that the process may use, and GPUs."""
    build: str
    placement: str = ""
    """Settings that say where weights lie; empty where only a CPU can compute."""

    @property
    def digest(self) -> str:
        """A name for a file."""
        return hashlib.sha256(msgspec.json.encode(self)).hexdigest()[:32]


class Speed(msgspec.Struct, frozen=True, kw_only=True):
    """One workload. Rates are in tokens per second."""

    default_rate: float
    spread: float
    """How far timings of the defaults lay apart, as a share: the median distance from their median."""
    gain: Gain | None = None
    """Tuned over default, in the last duel; None where nothing was adopted."""


class Winner(msgspec.Struct, frozen=True, kw_only=True):
    """The result of `shimmy tune`. `setup` may be empty: then the defaults are the fastest that is known."""

    identity: Identity
    setup: Setup
    created: str
    """RFC 3339, UTC."""
    seconds: float
    """That it took."""
    depth: int
    """Tokens before those of the deep workloads; 0: there are none."""
    long: bool = False
    """Whether only what was timed at depth counted."""
    busy: float
    """Share of all cores that other processes had meanwhile."""
    speeds: dict[str, Speed]
    trials: list[Trial]
