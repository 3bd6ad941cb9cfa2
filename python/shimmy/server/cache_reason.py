"""What made a conversation leave the prefix cache, by what its tenant asked for before."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from shimmy.engine_client import OutputStream
from shimmy.output import CacheDiagnosis, RequestOutput
from shimmy.request import ChatPrompt
from shimmy.server.request_tracker import TrackedRequest

_RENDERED = ("message", "system", "template")
"""Reasons that the model's process gives for a prompt that is not what was cached."""


class ExplainedStream:
    """An `OutputStream` whose usage says more about the cache."""

    def __init__(self, stream: OutputStream, explain: Callable[[CacheDiagnosis], CacheDiagnosis]) -> None:
        self._stream = stream
        self._explain = explain
        self._told: CacheDiagnosis | None = None

    def cancel(self) -> None:
        self._stream.cancel()

    def __aiter__(self) -> ExplainedStream:
        return self

    async def __anext__(self) -> RequestOutput:
        output = await self._stream.__anext__()
        if output.usage is None or output.usage.cache_diagnosis is None:
            return output
        self._told = self._told or self._explain(output.usage.cache_diagnosis)
        usage = msgspec.structs.replace(output.usage, cache_diagnosis=self._told)
        return msgspec.structs.replace(output, usage=usage)


def explained(found: CacheDiagnosis, request: TrackedRequest, others: Iterable[TrackedRequest]) -> CacheDiagnosis:
    """`found` with the reason that `others`, the requests that are remembered, give."""
    prompt = request.request.prompt
    if not isinstance(prompt, ChatPrompt):
        return found
    earlier = [
        (other, other.request.prompt)
        for other in others
        if other is not request
        and other.request.tenant == request.request.tenant
        and isinstance(other.request.prompt, ChatPrompt)
    ]
    if found.reason == "new":
        return msgspec.structs.replace(found, reason=_why_new(request, prompt, earlier))
    if found.reason not in _RENDERED:
        return found
    same = [before for other, before in earlier if other.model == request.model and _lora(other) == _lora(request)]
    best = max(same, key=lambda before: _n_common(before.messages, prompt.messages), default=None)
    if best is None or found.message is None or _n_common(best.messages, prompt.messages) <= found.message:
        return found
    # The message is what it was then, and yet its tokens are others.
    return msgspec.structs.replace(found, reason="template" if _tools(best) == _tools(prompt) else "tools")


def _why_new(request: TrackedRequest, prompt: ChatPrompt, earlier: Sequence[tuple[TrackedRequest, ChatPrompt]]) -> str:
    known = [other for other, before in earlier if _n_common(before.messages, prompt.messages) > 0]
    if any(other.model == request.model and _lora(other) == _lora(request) for other in known):
        return "evicted"
    if any(other.model == request.model for other in known):
        return "adapter"
    return "model" if known else "new"


def _n_common(one: Sequence[dict[str, Any]], other: Sequence[dict[str, Any]]) -> int:
    n = 0
    for a, b in zip(one, other, strict=False):
        if a != b:
            break
        n += 1
    return n


def _lora(request: TrackedRequest) -> dict[str, float]:
    return request.request.lora


def _tools(prompt: ChatPrompt) -> tuple[Any, ...]:
    return prompt.tools, prompt.tool_choice, prompt.tool_name, prompt.parallel_tool_calls
