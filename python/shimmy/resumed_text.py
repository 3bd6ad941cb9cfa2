"""The text of an answer that goes on behind tokens which it already has."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from shimmy import _core
from shimmy.output import Usage
from shimmy.request import GenerateRequest
from shimmy.stop_search import StopSearch


class ResumedOutput(NamedTuple):
    """As the `_core.Output` it is made of."""

    tokens: list[int]
    text: str
    logprobs: list[tuple[float, list[tuple[int, float]]]]
    """Of the last tokens, as many as there are."""
    prompt_logprobs: list[tuple[float, list[tuple[int, float]]]]
    finish_reason: _core.FinishReason
    stop_string: str | None
    stop_token: int | None
    usage: _core.Usage


class ResumedText:
    """Decodes tokens and finds stop strings for a request with `answered`.

    The engine takes those tokens for the prompt's, and would begin with no text: a character or a stop string that
    began before them would be lost. It is given no stop strings, and the same rules apply here.
    """

    def __init__(
        self, tokenizer: _core.Tokenizer, request: GenerateRequest, stop: Sequence[str], preserved: Sequence[int]
    ) -> None:
        self.n_answered = len(request.answered)
        self._before = list(request.answered)
        self._detokenizer = _core.Detokenizer(tokenizer, set(preserved))
        self._stop = StopSearch(stop)
        self._min_tokens = request.min_tokens
        self._n_tokens = 0
        self._ended_at: int | None = None

    def take(self, output: _core.Output) -> ResumedOutput:
        """The engine's output with its text, the first one with the tokens from before. At a stop string it ends, and
        the engine knows nothing of that.
        """
        ended = output.finish_reason != _core.FinishReason.NONE
        tokens, self._before = [*self._before, *output.tokens], []
        texts: list[str] = []
        n_taken, stop = 0, None
        while n_taken < len(tokens) and stop is None:
            shown, stop = self._push(tokens[n_taken])
            texts.append(shown)
            n_taken += 1
        if ended and stop is None:
            shown, stop = self._stop.push(self._detokenizer.flush())
            texts += (shown, "" if stop is not None else self._stop.flush())
        if stop is not None:
            self._ended_at = self._n_tokens
        n_dropped = len(tokens) - n_taken
        return ResumedOutput(
            tokens=tokens[:n_taken],
            text="".join(texts),
            logprobs=output.logprobs[: max(0, len(output.logprobs) - n_dropped)],
            prompt_logprobs=output.prompt_logprobs,
            finish_reason=output.finish_reason if stop is None else _core.FinishReason.STOP,
            stop_string=stop,
            stop_token=output.stop_token if stop is None else None,
            usage=output.usage,
        )

    def _push(self, token: int) -> tuple[str, str | None]:
        self._n_tokens += 1
        text = self._detokenizer.push(token)
        if self._n_tokens < self._min_tokens:
            return self._stop.flush() + text, None
        return self._stop.push(text)

    def count(self, usage: Usage) -> Usage:
        """The engine's usage, in which what was answered before counts as the prompt's, as that of the whole answer."""
        prompt_tokens = usage.prompt_tokens - self.n_answered
        whole = usage.completion_tokens + self.n_answered
        return msgspec.structs.replace(
            usage,
            prompt_tokens=prompt_tokens,
            cached_tokens=min(usage.cached_tokens, prompt_tokens),
            completion_tokens=whole if self._ended_at is None else self._ended_at,
        )
