"""How an answer goes on at another engine than it began at: what its reader has, and what there is to ask for."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Generic, TypeVar

import msgspec

from shimmy.output import RequestOutput, ToolCallDelta, Usage
from shimmy.request import GenerateRequest

Part = TypeVar("Part", str, list[int])

_OF_THE_FIRST = (
    "prompt_tokens",
    "cached_tokens",
    "cache_diverged_at",
    "cache_miss",
    "cache_diagnosis",
    "queue_seconds",
    "prefill_seconds",
)
_LEAST_DEADLINE = 1e-3


class DivergedError(Exception):
    """An answer is not told as its reader knows it."""


class Answer:
    """What the reader of one answer has got of it."""

    def __init__(self, request: GenerateRequest) -> None:
        self.request = request
        self.token_ids: list[int] = []
        self.texts: list[str] = []
        self.thoughts: list[str] = []
        self.arguments: dict[int, list[str]] = {}
        """Of its tool calls, by their index."""
        self.n_prompt_logprobs = 0
        self._usage: Usage | None = None
        self._began = time.monotonic()
        self._first_token: float | None = None

    def note(self, output: RequestOutput) -> None:
        """Take what the reader gets."""
        if output.token_ids and self._first_token is None:
            self._first_token = time.monotonic()
        self.token_ids += output.token_ids
        self.texts.append(output.text)
        self.thoughts.append(output.reasoning)
        for delta in output.tool_calls:
            self.arguments.setdefault(delta.index, []).append(delta.arguments)
        self.n_prompt_logprobs += len(output.prompt_logprobs)
        self._usage = self._usage or output.usage

    def seconds_left(self) -> float | None:
        """Until its deadline, at least a millisecond; None when it has none."""
        deadline = self.request.deadline
        return None if deadline is None else max(_LEAST_DEADLINE, deadline - (time.monotonic() - self._began))

    def rest(self) -> GenerateRequest:
        """What to ask another engine for: the answer behind its tokens."""
        request, deadline = self.request, self.seconds_left()
        if not self.token_ids:
            return msgspec.structs.replace(request, deadline=deadline)
        return msgspec.structs.replace(request, deadline=deadline, answered=list(self.token_ids), prompt_logprobs=None)

    def usage(self, last: Usage) -> Usage:
        """That of the whole answer, by what its first and its last engine said of it."""
        if self._usage is None:
            return last
        took = 0.0 if self._first_token is None else time.monotonic() - self._first_token
        return msgspec.structs.replace(
            last,
            **{name: getattr(self._usage, name) for name in _OF_THE_FIRST},
            completion_tokens=max(last.completion_tokens, len(self.token_ids)),
            decode_seconds=took,
        )


class _Known(Generic[Part]):
    """Of one part of an answer, what its reader has and another engine says once more."""

    def __init__(self, part: Part) -> None:
        self._part: Part = part
        self._at = 0

    def new_in(self, piece: Part) -> Part:
        n = min(len(piece), len(self._part) - self._at)
        if piece[:n] != self._part[self._at : self._at + n]:
            raise DivergedError
        self._at += n
        return piece[n:]


class Retelling:
    """Takes what a reader has out of the outputs of another engine, which tells an answer from its beginning."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._token_ids = _Known(list(answer.token_ids))
        self._text = _Known("".join(answer.texts))
        self._reasoning = _Known("".join(answer.thoughts))
        self._arguments = {index: _Known("".join(parts)) for index, parts in answer.arguments.items()}
        self._n_prompt_logprobs = answer.n_prompt_logprobs

    def new_in(self, output: RequestOutput) -> RequestOutput | None:
        """The output without what is known, None when nothing is left. DivergedError when it says something else."""
        token_ids = self._token_ids.new_in(output.token_ids)
        n_known, self._n_prompt_logprobs = (
            self._n_prompt_logprobs,
            max(0, self._n_prompt_logprobs - len(output.prompt_logprobs)),
        )
        usage = output.usage
        if usage is not None:
            usage = self._answer.usage(usage) if output.finished or self._answer.token_ids else usage
        new = RequestOutput(
            request_id=output.request_id,
            text=self._text.new_in(output.text),
            reasoning=self._reasoning.new_in(output.reasoning),
            tool_calls=self._calls(output.tool_calls),
            token_ids=token_ids,
            logprobs=output.logprobs[max(0, len(output.logprobs) - len(token_ids)) :],
            prompt_logprobs=output.prompt_logprobs[n_known:],
            finish_reason=output.finish_reason,
            stop_reason=output.stop_reason,
            usage=usage,
        )
        told = new.finished or new.token_ids or new.text or new.reasoning or new.tool_calls or new.prompt_logprobs
        return new if told else None

    def _calls(self, deltas: Sequence[ToolCallDelta]) -> list[ToolCallDelta]:
        """A call keeps the id that it had first."""
        new = []
        for delta in deltas:
            if (known := self._arguments.get(delta.index)) is not None:
                delta = ToolCallDelta(delta.index, known.new_in(delta.arguments))
                if not delta.arguments:
                    continue
            new.append(delta)
        return new
