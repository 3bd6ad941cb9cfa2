"""Several answers to one prompt: how many are computed, and which of them the client gets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.output import RequestOutput
from shimmy.request import GenerateRequest

MAX_CHOICES = 128
_SEEDS = 0xFFFFFFFF  # the engine's own, which means random, is not among them


def check_count(value: int | None, name: str, n_prompts: int = 1) -> int:
    """`value`, 1 when absent: the number of answers to each of `n_prompts`. InvalidRequestError beyond MAX_CHOICES."""
    count = 1 if value is None else value
    if count < 1:
        raise InvalidRequestError(f"{name} must be at least 1", name)
    if count * n_prompts > MAX_CHOICES and count > 1:
        raise InvalidRequestError(f"{name} must be at most {MAX_CHOICES // n_prompts} here, got {count}", name)
    return count


def repeated(request: GenerateRequest, count: int) -> list[GenerateRequest]:
    """`count` requests for one prompt, which the engine computes once. A seed counts on, so that they differ."""
    if count == 1:
        return [request]
    seed = request.sampling.get("seed")
    return [
        msgspec.structs.replace(
            request,
            request_id=f"{request.request_id}-{index}",
            sampling=request.sampling if seed is None else {**request.sampling, "seed": (seed + index) % _SEEDS},
        )
        for index in range(count)
    ]


def best(outputs: Sequence[RequestOutput], n: int) -> list[RequestOutput]:
    """The `n` of whole answers to one prompt with the highest log-probability per token, best first."""
    return sorted(outputs, key=_mean_logprob, reverse=True)[:n]


def _mean_logprob(output: RequestOutput) -> float:
    scores = [one.logprob for one in output.logprobs]
    return sum(scores) / len(scores) if scores else 0.0
