"""Medians of few, noisy rounds, and how far to trust them."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Sequence
from dataclasses import dataclass


def interval(values: Sequence[float], draws: int = 2000, seed: int = 7) -> tuple[float, float]:
    """The 95 % bootstrap percentile interval of the median of `values` (Efron 1979)."""
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975) - 1]


@dataclass(frozen=True)
class Estimate:
    """A median with its 95 % interval; of one round only, the interval is unknown (None)."""

    median: float
    low: float | None
    high: float | None
    n: int


def estimate(values: Sequence[float]) -> Estimate | None:
    """None when there are no values."""
    if not values:
        return None
    if len(values) == 1:
        return Estimate(values[0], None, None, 1)
    low, high = interval(values)
    return Estimate(statistics.median(values), low, high, len(values))


def paired_ratios(ours: Sequence[float | None], theirs: Sequence[float | None]) -> list[float]:
    """ours / theirs of each round that both finished; rounds with a zero below are left out."""
    pairs = zip(ours, theirs, strict=False)
    return [mine / peer for mine, peer in pairs if mine is not None and peer is not None and peer != 0]


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile, 0 < percent <= 100. Raises ValueError for no values."""
    if not values:
        raise ValueError("a percentile needs at least one value")
    return sorted(values)[max(0, math.ceil(len(values) * percent / 100) - 1)]
