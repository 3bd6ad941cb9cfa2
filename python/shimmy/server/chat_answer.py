"""Outputs of a chat request as OpenAI's chat completion, whole or in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta, Usage
from shimmy.server.context_total import total_context
from shimmy.server.generation import Identity
from shimmy.server.schemas.chat import (
    ChatCompletion,
    Choice,
    ChunkChoice,
    CompletionTokensDetails,
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
from shimmy.server.timings import timings_of

_ENCODER = msgspec.json.Encoder()


def usage_of(usages: Sequence[Usage | None], choices_per_prompt: int = 1) -> UsageOut:
    """The sum over all choices of one answer, those to one prompt beside each other: it is counted once for them."""
    prompt = cached = completion = reasoning = drafted = accepted = 0
    missed: Usage | None = None
    groups: list[list[Usage]] = []
    for begin in range(0, len(usages), choices_per_prompt):
        group = [usage for usage in usages[begin : begin + choices_per_prompt] if usage is not None]
        if group:
            prompt += group[0].prompt_tokens
            # The others reuse what the first one computes.
            cached += min(usage.cached_tokens for usage in group)
            missed = missed or (group[0] if group[0].cache_miss != "none" else None)
        groups.append(group)
        completion += sum(usage.completion_tokens for usage in group)
        reasoning += sum(usage.reasoning_tokens for usage in group)
        drafted += sum(usage.drafted_tokens for usage in group)
        accepted += sum(usage.accepted_tokens for usage in group)
    return UsageOut(
        prompt_tokens=prompt,
        completion_tokens=completion,
        total_tokens=prompt + completion,
        prompt_tokens_details=_cache_details(cached, missed),
        completion_tokens_details=CompletionTokensDetails(
            reasoning_tokens=reasoning,
            accepted_prediction_tokens=accepted,
            rejected_prediction_tokens=drafted - accepted,
        ),
        context=total_context(groups) or UNSET,
    )


def _cache_details(cached: int, missed: Usage | None) -> PromptTokensDetails:
    """`missed` is of the first prompt that did not come from the cache as a whole."""
    if missed is None:
        return PromptTokensDetails(cached)
    return PromptTokensDetails(
        cached,
        cache_miss=missed.cache_miss,
        cache_diverged_at=missed.cache_diverged_at,
        cache_diagnosis=missed.cache_diagnosis or UNSET,
    )


_FINISH_REASONS = {"cancelled": "stop", "deadline": "length"}


def finish_reason_of(output: RequestOutput) -> str | None:
    """OpenAI's word for it; it has none for what our side cut off."""
    reason = output.finish_reason
    return None if reason is None else _FINISH_REASONS.get(reason, reason)


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


def chat_completion(identity: Identity, outputs: Sequence[RequestOutput], *, logprobs: bool) -> bytes:
    """The whole answer as JSON; each output holds all of one choice."""
    choices = [_choice(index, output, logprobs) for index, output in enumerate(outputs)]
    usages = [output.usage for output in outputs]
    usage, timings = usage_of(usages, len(outputs)), timings_of(usages, len(outputs))
    return _ENCODER.encode(ChatCompletion(**identity._asdict(), choices=choices, usage=usage, timings=timings))


def _choice(index: int, output: RequestOutput, logprobs: bool) -> Choice:
    calls = calls_of(output.tool_calls)
    message = MessageOut(
        content=output.text if output.text or not calls else None,
        tool_calls=calls or UNSET,
        reasoning_content=output.reasoning or UNSET,
    )
    return Choice(
        index=index,
        message=message,
        logprobs=logprobs_of(output.logprobs) if logprobs else None,
        finish_reason=finish_reason_of(output) or "stop",
    )


def calls_of(deltas: Sequence[ToolCallDelta]) -> list[ToolCallOut]:
    """The whole calls that the parts make, in their order."""
    calls: dict[int, ToolCallOut] = {}
    for delta in deltas:
        call = calls.setdefault(delta.index, ToolCallOut(id="", function=FunctionOut(name="")))
        call.id += delta.id or ""
        call.function.arguments += delta.arguments
        if delta.name is not None:
            call.function.name = delta.name
    return [calls[index] for index in sorted(calls)]


def arguments_of(call: ToolCallOut) -> dict[str, Any]:
    """The arguments as an object; what is none (cut off, or not enforced) stays readable under a name."""
    text = call.function.arguments
    try:
        return msgspec.json.decode(text or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, RecursionError):
        return {"_raw_arguments": text}


class ChunkWriter:
    """Turns the outputs of one answer's streams into server-sent events, one write per output."""

    def __init__(self, identity: Identity, n_choices: int, *, include_usage: bool) -> None:
        head = {
            "id": identity.id,
            "object": "chat.completion.chunk",
            "created": identity.created,
            "model": identity.model,
            "system_fingerprint": identity.system_fingerprint,
        }
        self._head = b"data: " + _ENCODER.encode(head)[:-1] + b',"choices":['
        self._include_usage = include_usage
        self._begun = [False] * n_choices
        self._around_text = [_around_text(index) for index in range(n_choices)]
        self._logprobs: list[list[TokenLogprob]] = [[] for _ in range(n_choices)]
        self._usages: list[Usage | None] = []
        """Of the choices that have ended."""

    def write(self, index: int, output: RequestOutput) -> bytes:
        """The chunks of one output of choice `index`; its first call begins with the role, its last one ends with the
        finish reason, and the last of all with usage.
        """
        if self._is_text_only(index, output):
            before, behind = self._around_text[index]
            return b"".join((self._head, before, _ENCODER.encode(output.text), behind))
        deltas: list[Delta] = []
        if not self._begun[index]:
            self._begun[index] = True
            deltas.append(Delta(role="assistant", content=""))
        if output.reasoning:
            deltas.append(Delta(reasoning_content=output.reasoning))
        if output.text:
            deltas.append(Delta(content=output.text))
        deltas += [Delta(tool_calls=[_delta_of(call)]) for call in output.tool_calls]
        choices = [ChunkChoice(index=index, delta=delta) for delta in deltas]
        if output.finished:
            choices.append(ChunkChoice(index=index, delta=Delta(), finish_reason=finish_reason_of(output)))
        # Tokens whose text is still held back, or has none, show theirs on the next chunk.
        held = self._logprobs[index]
        held += output.logprobs
        if held and (output.finished or output.text or output.reasoning or output.tool_calls):
            choices[-1 if not output.text else _index_of_text(choices)].logprobs = logprobs_of(held)
            self._logprobs[index] = []
        parts = [self._head + _ENCODER.encode(choice) + b"]}\n\n" for choice in choices]
        if output.finished:
            parts[-1:] = self._ended(parts[-1], output)
        return b"".join(parts)

    def _is_text_only(self, index: int, output: RequestOutput) -> bool:
        """As nearly all are: a chunk then differs from the others in its text alone."""
        if not self._begun[index] or not output.text or output.finish_reason is not None:
            return False
        return not (output.reasoning or output.tool_calls or output.logprobs or self._logprobs[index])

    def _ended(self, chunk: bytes, last: RequestOutput) -> list[bytes]:
        """The last chunk of a choice, and what follows the last one of all."""
        self._usages.append(last.usage)
        n_choices = len(self._begun)
        timings = b"" if len(self._usages) < n_choices else timings_member(self._usages, n_choices)
        if not self._include_usage:
            return [chunk.removesuffix(b"}\n\n"), context_member(last), timings, b"}\n\n"]
        if not timings:
            return [chunk]
        usage = _ENCODER.encode(usage_of(self._usages, n_choices))
        return [chunk, self._head, b'],"usage":', usage, timings, b"}\n\n"]


def _around_text(index: int) -> tuple[bytes, bytes]:
    """What of a chunk stands before and behind the text of choice `index`."""
    mark = "\0"
    choice = _ENCODER.encode(ChunkChoice(index=index, delta=Delta(content=mark)))
    before, _, behind = choice.partition(_ENCODER.encode(mark))
    return before, behind + b"]}\n\n"


def context_member(output: RequestOutput) -> bytes:
    """For the last chunk of a choice when no usage follows: what became of the prompt is told all the same."""
    context = output.usage.context if output.usage is not None else None
    return b"" if context is None else b',"context":' + _ENCODER.encode(context)


def timings_member(usages: Sequence[Usage | None], choices_per_prompt: int) -> bytes:
    """For the last chunk of all, where llama-server has it."""
    return b',"timings":' + _ENCODER.encode(timings_of(usages, choices_per_prompt))


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
