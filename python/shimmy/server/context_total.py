"""What became of the prompts of one answer, together."""

from __future__ import annotations

from collections.abc import Sequence

from shimmy.output import ContextUse, Usage


def total_context(groups: Sequence[Sequence[Usage]]) -> ContextUse | None:
    """Each group is of the answers to one prompt, which counts once; every answer's shifts count. None where the
    context_policy is error.
    """
    answers = [[usage.context for usage in group if usage.context is not None] for group in groups]
    prompts = [uses[0] for uses in answers if uses]
    if not prompts:
        return None
    every = [use for uses in answers for use in uses]
    return ContextUse(
        policy=prompts[0].policy,
        prompt_tokens=sum(use.prompt_tokens for use in prompts),
        kept=sum(use.kept for use in prompts),
        dropped=sum(use.dropped for use in prompts),
        dropped_messages=sum(use.dropped_messages for use in prompts),
        shifts=sum(use.shifts for use in every),
        shifted=sum(use.shifted for use in every),
    )
