"""Policy: the search for the fastest setup within a time. Pure: it sees seconds and knows no model.

One group of settings after the other: each alternative in a duel with the best setup so far, in interleaved rounds. At
the end what was adopted has to beat the defaults once more as a whole, on every workload; otherwise the defaults stay.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from statistics import median
from typing import Literal, Protocol

import msgspec

from shimmy.errors import ShimmyError
from shimmy.tuning.duel import MIN_GAIN, MOST_ROUNDS, Duel, Gain
from shimmy.tuning.setup import Group, Setup

Outcome = Literal["better", "no gain", "mixed", "no time", "busy", "impossible"]
Tell = Callable[[float, str], object]
"""Takes the share of the time that is used, 0 to 1, and what is tried now."""

CONFIRMING = 0.2
"""The last duel may take this share of the time beyond it."""
MOST_RESERVED = 0.4
"""Of the time, at most, for that duel."""
MOST_BUSY = 0.15
"""Above this share of all cores in use by others, what fits a quiet machine cannot be told."""
QUIET_MIN_GAIN = 0.06
"""What such settings have to gain in a round."""


class UnmeasurableError(ShimmyError):
    """A setup does not run here; the message says why."""


class Bench(Protocol):
    """Where setups are timed."""

    def seconds(self, setup: Setup, workload: str) -> float:
        """Seconds for a token of a workload, once. Raises UnmeasurableError."""

    def clock(self) -> float:
        """Seconds."""

    def others(self) -> float:
        """Seconds for which other processes have had all cores, since some moment; 0 where that is not known."""


class Axis(msgspec.Struct, frozen=True):
    """One group of settings: the alternatives to the default, by name, and the workloads that decide between them."""

    group: Group
    alternatives: dict[str, Setup]
    workloads: tuple[str, ...]
    needs_quiet: bool = False
    """Whether what is best while others are busy may be wrong later. It has to gain more, since others may come."""


class Trial(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What came of one alternative."""

    group: Group | Literal["all"]
    name: str
    outcome: Outcome
    rounds: int = 0
    gains: dict[str, Gain] = {}
    """By workload, over what was best before; of the trial "all": over the defaults."""
    reason: str = ""


class Findings(msgspec.Struct, frozen=True, kw_only=True):
    """The end of a search. `best` is Setup() when nothing is proven faster."""

    best: Setup
    trials: list[Trial]
    samples: dict[str, list[float]]
    """Seconds per token of the defaults, by workload."""
    busy: float
    """Share of all cores that others had meanwhile."""


class Search:
    """One search. None of `workloads` may get slower, except for those in `may_lose`, which decide nothing either;
    `extras` are timed only for an axis that they decide.
    """

    def __init__(
        self,
        bench: Bench,
        workloads: Sequence[str],
        seconds: float,
        tell: Tell | None = None,
        *,
        extras: Sequence[str] = (),
        may_lose: Collection[str] = (),
    ) -> None:
        self._bench = bench
        self._workloads = tuple(workloads)
        self._extras = tuple(extras)
        self._may_lose = frozenset(may_lose)
        self._start = bench.clock()
        self._others = bench.others()
        self._seconds = seconds
        self._end = self._start + seconds
        self._tell = tell or (lambda share, text: None)
        self._samples: dict[str, list[float]] = {}
        self._cost: dict[str, float] = {}  # of timing a workload once, in seconds of the clock

    def run(self, axes: Iterable[Axis]) -> Findings:
        """Raises UnmeasurableError when the defaults themselves do not run."""
        best = Setup()
        trials: list[Trial] = []
        deciding: dict[str, None] = {}  # workloads of what was adopted, in order
        for name in (*self._workloads, *self._workloads):  # the first time, contexts are made
            self._time(best, name)
        for axis in axes:
            for name, alternative in axis.alternatives.items():
                trial = self._try(axis, name, best, best.replaced(axis.group, alternative))
                trials.append(trial)
                if trial.outcome == "better":
                    best = best.replaced(axis.group, alternative)
                    deciding.update(dict.fromkeys(self._known(axis)))
        if best != Setup():
            trials.append(self._confirm(best, list(deciding)))
            best = best if trials[-1].outcome == "better" else Setup()
        return Findings(best=best, trials=trials, samples=self._samples, busy=self._busy(self._start, self._others))

    def _known(self, axis: Axis) -> list[str]:
        known = {*self._workloads, *self._extras} - self._may_lose
        return [name for name in axis.workloads if name in known]

    def _try(self, axis: Axis, name: str, best: Setup, challenger: Setup) -> Trial:
        start, others = self._bench.clock(), self._bench.others()
        duel = Duel(self._known(axis), min_gain=QUIET_MIN_GAIN if axis.needs_quiet else MIN_GAIN)
        reserved = min(MOST_ROUNDS * self._round_cost(self._workloads), MOST_RESERVED * self._seconds)
        limit = self._end - reserved
        trial = self._duel(duel, axis.group, name, best, challenger, self._known(axis), limit)
        if trial.outcome == "better" and axis.needs_quiet and (busy := self._busy(start, others)) > MOST_BUSY:
            reason = f"others had {busy:.0%} of the cores"
            return msgspec.structs.replace(trial, outcome="busy", reason=reason)
        return trial

    def _confirm(self, best: Setup, deciding: list[str]) -> Trial:
        guards = [name for name in self._workloads if name not in deciding]
        limit = self._end + CONFIRMING * self._seconds
        duel = Duel(deciding, guards, may_lose=self._may_lose)
        return self._duel(duel, "all", best.text(), Setup(), best, [*deciding, *guards], limit)

    def _duel(
        self,
        duel: Duel,
        group: Group | Literal["all"],
        name: str,
        before: Setup,
        after: Setup,
        workloads: Sequence[str],
        limit: float,
    ) -> Trial:
        def ended(outcome: Outcome, reason: str = "") -> Trial:
            gains = duel.gains()
            return Trial(group=group, name=name, outcome=outcome, rounds=duel.n_rounds, gains=gains, reason=reason)

        if not workloads:
            return ended("impossible", "nothing that it would change can be measured")
        while (verdict := duel.verdict) == "open":
            if self._bench.clock() + self._round_cost(workloads) > limit:
                return ended("no time")
            self._say(f"{group}: {name}, round {duel.n_rounds + 1}")
            order = (before, after) if duel.n_rounds % 2 == 0 else (after, before)
            times: dict[Setup, dict[str, float]] = {before: {}, after: {}}
            for workload in workloads:
                for setup in order:
                    try:
                        times[setup][workload] = self._time(setup, workload)
                    except UnmeasurableError as error:
                        return ended("impossible", error.message)
            duel.add(times[before], times[after])
        lost = duel.lost_workloads
        return ended(verdict, f"slower: {', '.join(lost)}" if verdict == "mixed" else "")

    def _time(self, setup: Setup, workload: str) -> float:
        start = self._bench.clock()
        seconds = self._bench.seconds(setup, workload)
        passed = self._bench.clock() - start
        self._cost[workload] = min(passed, self._cost.get(workload, passed))
        if setup == Setup():
            self._samples.setdefault(workload, []).append(seconds)
        return seconds

    def _round_cost(self, workloads: Iterable[str]) -> float:
        return sum(2 * self._cost.get(name, 0.0) for name in workloads)

    def _busy(self, start: float, others: float) -> float:
        passed = self._bench.clock() - start
        return max(0.0, (self._bench.others() - others) / passed) if passed > 0 else 0.0

    def _say(self, text: str) -> None:
        share = (self._bench.clock() - self._start) / ((1 + CONFIRMING) * max(self._seconds, 1e-9))
        self._tell(min(1.0, share), text)


def spread(samples: Sequence[float]) -> float:
    """How far timings of one thing lie apart: the median distance from their median, as a share of it."""
    if not samples:
        return 0.0
    middle = median(samples)
    return median(abs(one - middle) for one in samples) / middle
