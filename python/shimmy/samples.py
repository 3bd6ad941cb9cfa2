"""Several answers to one prompt: their seeds, and which is the best."""

from __future__ import annotations

from collections.abc import Sequence

from shimmy.output import TokenLogprob

MAX_SAMPLES = 128


def nth_seed(seed: int, index: int) -> int:
    """The seed of the answer at `index`: counts up from the first one's, around within 32 bits."""
    return (seed + index) % 2**32


def mean_logprob(logprobs: Sequence[TokenLogprob]) -> float:
    """The log-probability per token, by which best_of ranks; 0.0 of an empty answer."""
    return sum(one.logprob for one in logprobs) / len(logprobs) if logprobs else 0.0
