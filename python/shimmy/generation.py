"""One request on its way through the native engine: what went in, and how its outputs are read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shimmy import _core
from shimmy.errors import DecodeError, EngineDeadError, OutOfMemoryError
from shimmy.fitted_prompt import FittedPrompt
from shimmy.output import CacheDiagnosis, RequestOutput, TokenLogprob, ToolCallDelta, Usage
from shimmy.reasoning_count import ReasoningCount
from shimmy.request import GenerateRequest

if TYPE_CHECKING:
    from collections.abc import Callable

    from shimmy.kv_store.trial import Trial
    from shimmy.rendered_prompt import BegunParser

_FINISH_REASONS = {
    _core.FinishReason.STOP.value: "stop",
    _core.FinishReason.LENGTH.value: "length",
    _core.FinishReason.CANCELLED.value: "cancelled",
    _core.FinishReason.DEADLINE.value: "deadline",
}
_FAILED = _core.FinishReason.FAILED.value
_COUNTED = frozenset(Usage.__struct_fields__) - {"cache_miss", "cache_diagnosis", "context", "reasoning_tokens"}


class Generation:
    """A prepared request. `convert` is called with its outputs, in order, by one thread."""

    def __init__(
        self,
        request: GenerateRequest,
        fitted: FittedPrompt,
        sampling: _core.SamplingParams,
        stop: list[str],
        preserved_tokens: list[int],
        parser: _core.ChatParser | BegunParser | None,
        grammar: _core.Grammar | None = None,
        diagnose: Callable[[GenerateRequest, FittedPrompt, str, int], CacheDiagnosis] | None = None,
    ) -> None:
        self.request = request
        self.fitted = fitted
        self.sampling = sampling
        self.stop = stop
        self.preserved_tokens = preserved_tokens
        self.grammar = grammar
        self.trial: Trial | None = None
        """Of the stored prefix that was brought back for it, until it has an output."""
        self._parser = parser
        self._diagnose = diagnose if request.cache_diagnostics else None
        self._diagnosis: CacheDiagnosis | None = None
        self._reasoning = ReasoningCount()
        self._n_scored = 1  # the prompt's first token has no log-probability
        self._begun = False

    def convert(self, output: _core.Output, piece: Callable[[int], bytes], death: str) -> RequestOutput:
        """The engine's output in the terms of the request. `death` is the engine's, empty while it lives.

        Raises EngineDeadError, DecodeError or OutOfMemoryError for one that FAILED.
        """
        if output.finish_reason.value == _FAILED:
            if death:
                raise EngineDeadError(death)
            raise OutOfMemoryError(output.error) if output.no_memory else DecodeError(output.error)
        return self._convert(output, piece)

    def end_trial(self) -> None:
        if self.trial is not None:
            self.trial.end()
            self.trial = None

    def _convert(self, output: _core.Output, piece: Callable[[int], bytes]) -> RequestOutput:
        finish_reason = _FINISH_REASONS.get(output.finish_reason.value)
        text, reasoning, tool_calls = output.text, "", []
        if self._parser is not None:
            delta = self._parser.feed(output.text, finish_reason is not None)
            text, reasoning = delta.content, delta.reasoning
            tool_calls = [ToolCallDelta(call.index, call.arguments, call.id, call.name) for call in delta.tool_calls]
            if finish_reason == "stop" and self._parser.has_tool_calls:
                finish_reason = "tool_calls"
        tokens = output.tokens
        if self._parser is not None:
            n_calls = sum(len(call.arguments) for call in tool_calls) + len(tool_calls) if tool_calls else 0
            self._reasoning.add(len(tokens), len(reasoning), len(text) + n_calls)
        begins = bool(tokens) and not self._begun
        self._begun = self._begun or begins
        return RequestOutput(
            request_id=self.request.request_id,
            text=text,
            reasoning=reasoning,
            tool_calls=tool_calls,
            token_ids=tokens,
            logprobs=self._logprobs(output, piece) if self.request.logprobs is not None else [],
            prompt_logprobs=self._prompt_logprobs(output, piece) if self.request.prompt_logprobs is not None else [],
            finish_reason=finish_reason,
            stop_reason=None if finish_reason is None else _stop_reason(output),
            usage=self._usage(output.usage) if begins or finish_reason is not None else None,
        )

    def _logprobs(self, output: _core.Output, piece: Callable[[int], bytes]) -> list[TokenLogprob]:
        scores = output.logprobs
        return _logprobs(output.tokens[len(output.tokens) - len(scores) :], scores, piece)

    def _prompt_logprobs(self, output: _core.Output, piece: Callable[[int], bytes]) -> list[TokenLogprob]:
        scores = output.prompt_logprobs
        first, self._n_scored = self._n_scored, self._n_scored + len(scores)
        return _logprobs(self.fitted.tokens[first : self._n_scored], scores, piece)

    def _usage(self, usage: _core.Usage) -> Usage:
        context = self.fitted.use
        if context is not None:
            context = msgspec.structs.replace(context, shifts=usage.context_shifts, shifted=usage.shifted_tokens)
        miss = usage.cache_miss.name.lower()
        if self._diagnose is not None and usage.cache_diverged_at >= 0:
            self._diagnosis = self._diagnose(self.request, self.fitted, miss, usage.cache_diverged_at)
            self._diagnose = None  # it stays what it is
        return Usage(
            **{name: getattr(usage, name) for name in _COUNTED},
            reasoning_tokens=self._reasoning.n_tokens,
            cache_miss=miss,
            cache_diagnosis=self._diagnosis,
            context=context,
        )


def _stop_reason(output: _core.Output) -> str | int | None:
    return output.stop_token if output.stop_string is None else output.stop_string


def _logprobs(
    tokens: list[int], scores: list[tuple[float, list[tuple[int, float]]]], piece: Callable[[int], bytes]
) -> list[TokenLogprob]:
    return [
        TokenLogprob(token, piece(token), logprob, [(other, piece(other), value) for other, value in top])
        for token, (logprob, top) in zip(tokens, scores, strict=True)
    ]
