"""Outputs of a chat request as OpenAI's chat completion, whole or in chunks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET

from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta, Usage
from shimmy.server.generation import Identity
from shimmy.server.schemas.chat import (
    ChatCompletion,
    Choice,
    ChunkChoice,
    Delta,
    FunctionOut,
    Logprobs,
    MessageOut,
    PromptTokensDetails,
    TokenLogprobOut,
    ToolCallDeltaOut,
    ToolCallOut,
    TopLogprob,
    UsageOut,
)

_ENCODER = msgspec.json.Encoder()


def usage_of(usages: Iterable[Usage | None]) -> UsageOut:
    """The sum over all choices of one answer."""
    prompt = cached = completion = 0
    for usage in usages:
        if usage is not None:
            prompt += usage.prompt_tokens
            cached += usage.cached_tokens
            completion += usage.completion_tokens
    return UsageOut(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=PromptTokensDetails(cached_tokens=cached),
    )


def finish_reason_of(output: RequestOutput) -> str | None:
    """OpenAI's word for it; it has none for a request that was cancelled from our side."""
    return "stop" if output.finish_reason == "cancelled" else output.finish_reason


def logprobs_of(logprobs: Sequence[TokenLogprob]) -> Logprobs:
    return Logprobs(
        [
            TokenLogprobOut(
                one.piece.decode("utf-8", "replace"),
                one.logprob,
                list(one.piece),
                [TopLogprob(piece.decode("utf-8", "replace"), value, list(piece)) for _, piece, value in one.top],
            )
            for one in logprobs
        ]
    )


def chat_completion(identity: Identity, output: RequestOutput, *, logprobs: bool) -> bytes:
    """The whole answer as JSON; `output` holds all of it."""
    calls = _calls_of(output.tool_calls)
    message = MessageOut(
        content=output.text if output.text or not calls else None,
        tool_calls=calls or UNSET,
        reasoning_content=output.reasoning or UNSET,
    )
    choice = Choice(
        message=message,
        logprobs=logprobs_of(output.logprobs) if logprobs else None,
        finish_reason=finish_reason_of(output) or "stop",
    )
    return _ENCODER.encode(ChatCompletion(**identity._asdict(), choices=[choice], usage=usage_of([output.usage])))


def _calls_of(deltas: Sequence[ToolCallDelta]) -> list[ToolCallOut]:
    calls: dict[int, ToolCallOut] = {}
    for delta in deltas:
        call = calls.setdefault(delta.index, ToolCallOut(id="", function=FunctionOut(name="")))
        call.id += delta.id or ""
        call.function.arguments += delta.arguments
        if delta.name is not None:
            call.function.name = delta.name
    return [calls[index] for index in sorted(calls)]


class ChunkWriter:
    """Turns the outputs of one stream into server-sent events, one write per output."""

    def __init__(self, identity: Identity, *, include_usage: bool) -> None:
        head = {
            "id": identity.id,
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": identity.model,
            "system_fingerprint": identity.system_fingerprint,
        }
        self._head = b"data: " + _ENCODER.encode(head)[:-1] + b',"choices":['
        self._include_usage = include_usage
        self._begun = False
        self._logprobs: list[TokenLogprob] = []

    def write(self, output: RequestOutput) -> bytes:
        """The chunks of one output; the first call begins with the role, the last one ends with finish and usage."""
        deltas: list[Delta] = []
        if not self._begun:
            self._begun = True
            deltas.append(Delta(role="assistant", content=""))
        if output.reasoning:
            deltas.append(Delta(reasoning_content=output.reasoning))
        if output.text:
            deltas.append(Delta(content=output.text))
        deltas += [Delta(tool_calls=[_delta_of(call)]) for call in output.tool_calls]
        choices = [ChunkChoice(delta=delta) for delta in deltas]
        if output.finished:
            choices.append(ChunkChoice(delta=Delta(), finish_reason=finish_reason_of(output)))
        # Tokens whose text is still held back, or has none, show theirs on the next chunk.
        self._logprobs += output.logprobs
        if self._logprobs and (output.finished or output.text or output.reasoning or output.tool_calls):
            choices[-1 if not output.text else _index_of_text(choices)].logprobs = logprobs_of(self._logprobs)
            self._logprobs = []
        parts = [self._head + _ENCODER.encode(choice) + b"]}\n\n" for choice in choices]
        if output.finished and self._include_usage:
            parts.append(self._head + b'],"usage":' + _ENCODER.encode(usage_of([output.usage])) + b"}\n\n")
        return b"".join(parts)


def _index_of_text(choices: Sequence[ChunkChoice]) -> int:
    return next(index for index, choice in enumerate(choices) if choice.delta.content)


def _delta_of(call: ToolCallDelta) -> ToolCallDeltaOut:
    if call.id is None and call.name is None:
        return ToolCallDeltaOut(index=call.index, function=FunctionOut(arguments=call.arguments))
    return ToolCallDeltaOut(
        index=call.index,
        id=call.id or UNSET,
        type="function",
        function=FunctionOut(name=call.name or UNSET, arguments=call.arguments),
    )
