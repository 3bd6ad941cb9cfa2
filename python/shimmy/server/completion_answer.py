"""Outputs of text requests as OpenAI's legacy completion, whole or in chunks."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import msgspec

from shimmy.output import RequestOutput, TokenLogprob, Usage
from shimmy.server.chat_answer import context_member, finish_reason_of, timings_member, usage_of
from shimmy.server.echo import Echo
from shimmy.server.generation import Identity
from shimmy.server.schemas.chat import UsageOut
from shimmy.server.schemas.completion import Completion, CompletionChoice, LegacyLogprobs
from shimmy.server.schemas.timings import Timings

_ENCODER = msgspec.json.Encoder()


class LogprobsWriter:
    """The logprobs of one choice in the legacy shape; offsets count on from call to call."""

    def __init__(self) -> None:
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write_prompt(self, echo: Echo, scored: Sequence[TokenLogprob]) -> LegacyLogprobs:
        """The tokens of an echoed prompt; nothing precedes the first that could predict it."""
        offsets = echo.offsets(scored)
        out = self.write(scored)
        self._offset = len(echo.text)
        self._decoder.reset()
        first = echo.first_token or echo.text[: offsets[1] if scored else None]
        return LegacyLogprobs([first, *out.tokens], [None, *out.token_logprobs], [None, *out.top_logprobs], offsets)

    def write(self, logprobs: Sequence[TokenLogprob]) -> LegacyLogprobs:
        out = LegacyLogprobs([], [], [], [])
        for one in logprobs:
            token = one.piece.decode("utf-8", "replace")
            top: dict[str, float] = {}
            for _, piece, value in one.top:  # best first; two pieces may look the same when neither is UTF-8
                top.setdefault(piece.decode("utf-8", "replace"), value)
            if top:
                top.setdefault(token, one.logprob)
            out.tokens.append(token)
            out.token_logprobs.append(one.logprob)
            out.top_logprobs.append(top)
            out.text_offset.append(self._offset)
            self._offset += len(self._decoder.decode(one.piece))
        return out


def completion(
    identity: Identity,
    outputs: Sequence[RequestOutput],
    echoes: Sequence[Echo],
    usage: UsageOut,
    timings: Timings,
    *,
    logprobs: bool,
) -> bytes:
    """The whole answer as JSON; each output holds all of one choice, which begins with its echo."""
    choices = [
        CompletionChoice(
            index=index,
            text=echo.text + output.text,
            logprobs=_whole_logprobs(output, echo) if logprobs else None,
            finish_reason=finish_reason_of(output),
        )
        for index, (output, echo) in enumerate(zip(outputs, echoes, strict=True))
    ]
    return _ENCODER.encode(Completion(**identity._asdict(), choices=choices, usage=usage, timings=timings))


def _whole_logprobs(output: RequestOutput, echo: Echo) -> LegacyLogprobs:
    writer = LogprobsWriter()
    if echo.n_scored < 0:
        return writer.write(output.logprobs)
    return _joined(writer.write_prompt(echo, output.prompt_logprobs), writer.write(output.logprobs))


def _joined(first: LegacyLogprobs, second: LegacyLogprobs) -> LegacyLogprobs:
    return LegacyLogprobs(
        first.tokens + second.tokens,
        first.token_logprobs + second.token_logprobs,
        first.top_logprobs + second.top_logprobs,
        first.text_offset + second.text_offset,
    )


class CompletionChunkWriter:
    """Turns the outputs of one answer's streams into server-sent events. `echoes` has one for each choice."""

    def __init__(
        self,
        identity: Identity,
        echoes: Sequence[Echo],
        choices_per_prompt: int,
        *,
        logprobs: bool,
        include_usage: bool,
    ) -> None:
        head = {
            "id": identity.id,
            "object": "text_completion",
            "created": identity.created,
            "model": identity.model,
            "system_fingerprint": identity.system_fingerprint,
        }
        self._head = b"data: " + _ENCODER.encode(head)[:-1] + b',"choices":['
        self._echoes: list[Echo | None] = list(echoes)
        self._prompts: list[list[TokenLogprob]] = [[] for _ in echoes]
        self._logprobs = [LogprobsWriter() if logprobs else None for _ in echoes]
        self._usages: list[Usage | None] = [None] * len(echoes)
        self._n_open = len(echoes)
        self._choices_per_prompt = choices_per_prompt
        self._include_usage = include_usage

    def write(self, index: int, output: RequestOutput) -> bytes:
        """The chunk of one output of choice `index`, its first with the echo; the last one of all ends with usage."""
        echo, scores = self._begin(index, output)
        writer = self._logprobs[index]
        if writer is not None and output.logprobs:
            new = writer.write(output.logprobs)
            scores = new if scores is None else _joined(scores, new)
        if not (echo.text or output.text or output.finished or scores):
            return b""
        choice = CompletionChoice(
            index=index, text=echo.text + output.text, logprobs=scores, finish_reason=finish_reason_of(output)
        )
        chunk = self._head + _ENCODER.encode(choice) + b"]"
        if not output.finished:
            return chunk + b"}\n\n"
        self._usages[index] = output.usage
        self._n_open -= 1
        timings = b"" if self._n_open else timings_member(self._usages, self._choices_per_prompt)
        if not self._include_usage:
            return chunk + context_member(output) + timings + b"}\n\n"
        if self._n_open == 0:
            usage = usage_of(self._usages, self._choices_per_prompt)
            chunk += b"}\n\n" + self._head + b'],"usage":' + _ENCODER.encode(usage) + timings
        return chunk + b"}\n\n"

    def _begin(self, index: int, output: RequestOutput) -> tuple[Echo, LegacyLogprobs | None]:
        """The echo and its scores, once: with the output that completes the scores, before the first token."""
        echo, writer, scored = self._echoes[index], self._logprobs[index], self._prompts[index]
        scored += output.prompt_logprobs
        if echo is None or (writer is not None and len(scored) < echo.n_scored and not output.finished):
            return Echo(), None
        self._echoes[index] = None
        if writer is None or echo.n_scored < 0:
            return echo, None
        return echo, writer.write_prompt(echo, scored)
