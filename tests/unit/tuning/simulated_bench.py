"""A machine whose true speeds are known, with noise: what the search is tried on."""

from __future__ import annotations

import random
from collections.abc import Callable

from shimmy.tuning.search import UnmeasurableError
from shimmy.tuning.setup import Setup

Speed = Callable[[Setup, str], float]
"""True speed of a workload in a setup, as a multiple of the defaults'."""

SAMPLE_SECONDS = 0.25


class SimulatedBench:
    """Timings are spread by `noise` (sigma of their logarithm). Now and then another process takes half of the machine
    for a while, `bursts` of the time; `broken` setups do not run.
    """

    def __init__(
        self,
        speed: Speed,
        *,
        noise: float = 0.0,
        bursts: float = 0.0,
        seed: int = 0,
        broken: Callable[[Setup], bool] = lambda setup: False,
    ) -> None:
        self._speed = speed
        self._noise = noise
        self._bursts = bursts
        self._random = random.Random(seed)
        self._broken = broken
        self._now = 0.0
        self._taken = 0.0
        self._busy_until = 0.0
        self._next_burst = self._random.expovariate(1.0)
        self.timed: list[tuple[Setup, str]] = []

    def seconds(self, setup: Setup, workload: str) -> float:
        if self._broken(setup):
            raise UnmeasurableError("it does not run")
        self.timed.append((setup, workload))
        busy = self._is_busy()
        seconds = SAMPLE_SECONDS / self._speed(setup, workload)
        seconds *= (2.0 if busy else 1.0) * self._random.lognormvariate(0.0, self._noise)
        self._now += seconds
        self._taken += seconds / 2 if busy else 0.0
        return seconds

    def clock(self) -> float:
        return self._now

    def others(self) -> float:
        return self._taken

    def _is_busy(self) -> bool:
        if self._bursts and self._now >= self._next_burst:
            length = self._random.expovariate(0.5)
            self._busy_until = self._now + length
            self._next_burst = self._busy_until + length * (1 - self._bursts) / self._bursts
        return self._now < self._busy_until
