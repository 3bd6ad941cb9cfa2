"""Policy: is one setup faster than another, given rounds in which both were timed next to each other?

Pure. Noise on a shared machine comes in bursts, so no size of a difference is believed, only its sign, again and again:
a sign test (Dixon and Mood 1946) over paired rounds, which a burst can spoil one of but not all.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Mapping, Sequence
from typing import Literal

import msgspec

Verdict = Literal["better", "no gain", "mixed", "open"]

MIN_GAIN = 0.02
"""A round is won by more than this share unless said otherwise, and a workload lost by more than it."""
MOST_LOST = 0.05
"""A workload whose median falls by more than this share, and by more than its rounds explain, is lost."""
MOST_ROUNDS = 7
_STRAIGHT = 4
_ERROR_OF_MEDIAN = 1.86  # standard error of a median of normal values, times sqrt(n), in median absolute deviations
_STEP_MARGIN = math.log1p(MIN_GAIN)
_LOSS_MARGIN = math.log1p(MOST_LOST)


class Gain(msgspec.Struct, frozen=True):
    """How many times as fast, over the rounds: the median, and the least and the most."""

    median: float
    low: float
    high: float


class Duel:
    """A challenger against the setup that it would replace.

    Better: it wins the first 4 rounds, or 6 of 7, and loses no workload. Chance alone, with differences of either sign
    beyond the margin, gives that in 10 % of duels; a winner is duelled twice for that reason (see `search`).
    """

    def __init__(
        self,
        deciding: Sequence[str],
        guards: Sequence[str] = (),
        *,
        may_lose: Collection[str] = (),
        min_gain: float = MIN_GAIN,
    ) -> None:
        """Rounds are won by a mean gain over the workloads of `deciding` of more than `min_gain`; `guards` may only not
        be lost. Those in `may_lose` are timed, and that is all.
        """
        self._may_lose = frozenset(may_lose)
        self._win_margin = math.log1p(min_gain)
        self._deciding = tuple(deciding)
        self._ratios: dict[str, list[float]] = {name: [] for name in (*deciding, *guards)}
        self._scores: list[float] = []

    @property
    def n_rounds(self) -> int:
        return len(self._scores)

    def add(self, before: Mapping[str, float], after: Mapping[str, float]) -> None:
        """A round: the seconds that each workload took on the setup to replace, and on the challenger; all above 0."""
        for name, ratios in self._ratios.items():
            ratios.append(math.log(before[name] / after[name]))
        self._scores.append(statistics.fmean(self._ratios[name][-1] for name in self._deciding))

    @property
    def verdict(self) -> Verdict:
        """Open as long as another round could decide."""
        lost_rounds = sum(score <= self._win_margin for score in self._scores)
        if lost_rounds >= 2:
            return "no gain"
        if self.n_rounds < (_STRAIGHT if lost_rounds == 0 else MOST_ROUNDS):
            return "open"
        if not self.lost_workloads:
            return "better"
        return "mixed" if self.n_rounds >= MOST_ROUNDS else "open"

    @property
    def lost_workloads(self) -> list[str]:
        """Those that are slower in all rounds but one of seven, or by more than noise is likely to make them."""
        return [name for name, ratios in self._ratios.items() if name not in self._may_lose and self._lost(ratios)]

    def _lost(self, ratios: list[float]) -> bool:
        if not ratios:
            return False
        slower = sum(ratio < -_STEP_MARGIN for ratio in ratios)
        middle = statistics.median(ratios)
        deviation = statistics.median(abs(ratio - middle) for ratio in ratios)
        error = _ERROR_OF_MEDIAN * deviation / math.sqrt(len(ratios))
        return slower >= len(ratios) - len(ratios) // MOST_ROUNDS or middle < -max(_LOSS_MARGIN, 2 * error)

    def gains(self) -> dict[str, Gain]:
        """By workload; empty before the first round."""
        return {
            name: Gain(*(round(math.exp(one), 4) for one in (statistics.median(ratios), min(ratios), max(ratios))))
            for name, ratios in self._ratios.items()
            if ratios
        }
