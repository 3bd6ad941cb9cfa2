"""Outputs of a request as llama-server's /completion answers them."""

from __future__ import annotations

import msgspec
from msgspec import UNSET

from shimmy.output import RequestOutput, Usage
from shimmy.server import sse
from shimmy.server.chat_answer import logprobs_of
from shimmy.server.native_answer import asked_usage
from shimmy.server.schemas.llama_server import RawCompletion, TokenProbability
from shimmy.server.timings import timings_of

_ENCODER = msgspec.json.Encoder()


def raw_completion(model: str, output: RequestOutput, *, tokens: bool) -> bytes:
    """The whole answer."""
    return _ENCODER.encode(_ended(_part(output, tokens), model, output))


def raw_event(model: str, output: RequestOutput, *, tokens: bool) -> bytes:
    """A part of a streamed answer; nothing for an output that says nothing. There is no [DONE]."""
    if not (output.text or output.finished or output.logprobs or (tokens and output.token_ids)):
        return b""
    part = _part(output, tokens)
    return sse.json_event(_ENCODER.encode(_ended(part, model, output) if output.finished else part))


def _part(output: RequestOutput, tokens: bool) -> RawCompletion:
    scores = [
        TokenProbability(scored.token, scored.logprob, scored.bytes, one.token, scored.top_logprobs)
        for one, scored in zip(output.logprobs, logprobs_of(output.logprobs).content, strict=True)
    ]
    return RawCompletion(
        content=output.text,
        tokens=output.token_ids if tokens else [],
        stop=output.finished,
        completion_probabilities=scores or UNSET,
    )


def _ended(part: RawCompletion, model: str, output: RequestOutput) -> RawCompletion:
    usage = output.usage or Usage()
    word = output.stop_reason if isinstance(output.stop_reason, str) else ""
    part.model = model
    part.tokens_predicted = usage.completion_tokens
    part.tokens_evaluated = usage.prompt_tokens
    part.tokens_cached = usage.cached_tokens
    part.truncated = usage.context is not None and usage.context.dropped + usage.context.shifted > 0
    part.stop_type = "word" if word else "eos" if output.finish_reason == "stop" else "limit"
    part.stopping_word = word
    part.timings = timings_of([usage])
    part.usage = asked_usage(usage)
    return part
