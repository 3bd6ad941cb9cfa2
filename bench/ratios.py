"""Confidence in a median of few, noisy ratios."""

from __future__ import annotations

import random
import statistics
from collections.abc import Sequence


def interval(values: Sequence[float], draws: int = 2000, seed: int = 7) -> tuple[float, float]:
    """The 95 % bootstrap percentile interval of the median of `values` (Efron 1979)."""
    rng = random.Random(seed)
    medians = sorted(statistics.median(rng.choices(values, k=len(values))) for _ in range(draws))
    return medians[int(draws * 0.025)], medians[int(draws * 0.975) - 1]
