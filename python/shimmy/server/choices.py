"""Several answers to one prompt: how many are computed, and which of them the client gets."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.output import RequestOutput
from shimmy.request import GenerateRequest
from shimmy.samples import MAX_SAMPLES, mean_logprob, nth_seed


def check_count(value: int | None, name: str, n_prompts: int = 1) -> int:
    """`value`, 1 when absent: the number of answers to each of `n_prompts`. InvalidRequestError beyond MAX_SAMPLES."""
    count = 1 if value is None else value
    if count < 1:
        raise InvalidRequestError(f"{name} must be at least 1", name)
    if count * n_prompts > MAX_SAMPLES and count > 1:
        raise InvalidRequestError(f"{name} must be at most {MAX_SAMPLES // n_prompts} here, got {count}", name)
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
            sampling=request.sampling if seed is None else {**request.sampling, "seed": nth_seed(seed, index)},
        )
        for index in range(count)
    ]


def best(outputs: Sequence[RequestOutput], n: int) -> list[RequestOutput]:
    """The `n` of whole answers to one prompt with the highest log-probability per token, best first."""
    return sorted(outputs, key=lambda output: mean_logprob(output.logprobs), reverse=True)[:n]
