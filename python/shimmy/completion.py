"""A whole answer, as `LLM.generate` and `LLM.chat` return it."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from shimmy.output import RequestOutput, TokenLogprob, Usage


class ToolCall(msgspec.Struct, frozen=True):
    """A call of a function that the model asks for. `arguments` is JSON text."""

    id: str
    name: str
    arguments: str


class Completion(msgspec.Struct, kw_only=True, frozen=True):
    """Everything that one request produced."""

    text: str
    reasoning: str
    tool_calls: list[ToolCall]
    token_ids: list[int]
    logprobs: list[TokenLogprob]
    prompt_logprobs: list[TokenLogprob]
    finish_reason: str
    stop_reason: str | int | None
    usage: Usage

    @classmethod
    def collect(cls, outputs: Iterable[RequestOutput]) -> Completion:
        """Join the outputs of a stream that ran to its end."""
        seen = list(outputs)
        last = seen[-1]
        calls: dict[int, ToolCall] = {}
        for part in (part for output in seen for part in output.tool_calls):
            call = calls.get(part.index, ToolCall("", "", ""))
            calls[part.index] = ToolCall(part.id or call.id, part.name or call.name, call.arguments + part.arguments)
        return cls(
            text="".join(output.text for output in seen),
            reasoning="".join(output.reasoning for output in seen),
            tool_calls=[calls[index] for index in sorted(calls)],
            token_ids=[token for output in seen for token in output.token_ids],
            logprobs=[logprob for output in seen for logprob in output.logprobs],
            prompt_logprobs=[logprob for output in seen for logprob in output.prompt_logprobs],
            finish_reason=last.finish_reason or "",
            stop_reason=last.stop_reason,
            usage=last.usage or Usage(),
        )
