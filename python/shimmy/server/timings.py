"""How long an answer took, for the last event of every protocol that has no such fields of its own."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import UNSET

from shimmy.output import Usage
from shimmy.server.schemas.timings import Timings


def timings_of(usages: Sequence[Usage | None], choices_per_prompt: int = 1) -> Timings:
    """Of all choices of one answer, those to one prompt beside each other. A prompt counts once for them."""
    known = [usage for usage in usages if usage is not None]
    prompt = cached = 0
    for begin in range(0, len(usages), choices_per_prompt):
        group = [usage for usage in usages[begin : begin + choices_per_prompt] if usage is not None]
        if group:
            prompt += group[0].prompt_tokens
            cached += min(usage.cached_tokens for usage in group)
    computed, predicted = prompt - cached, sum(usage.completion_tokens for usage in known)
    prompt_seconds = max((usage.prefill_seconds for usage in known), default=0.0)
    predicted_seconds = max((usage.decode_seconds for usage in known), default=0.0)
    drafted = sum(usage.drafted_tokens for usage in known)
    return Timings(
        queue_ms=max((usage.queue_seconds for usage in known), default=0.0) * 1000,
        cache_n=cached,
        prompt_n=computed,
        prompt_ms=prompt_seconds * 1000,
        prompt_per_token_ms=_ratio(prompt_seconds * 1000, computed),
        prompt_per_second=_ratio(computed, prompt_seconds),
        predicted_n=predicted,
        predicted_ms=predicted_seconds * 1000,
        predicted_per_token_ms=_ratio(predicted_seconds * 1000, predicted),
        predicted_per_second=_ratio(predicted, predicted_seconds),
        draft_n=drafted or UNSET,
        draft_n_accepted=sum(usage.accepted_tokens for usage in known) if drafted else UNSET,
    )


def _ratio(amount: float, by: float) -> float:
    return amount / by if by else 0.0
