"""Outputs of text requests as OpenAI's legacy completion, whole or in chunks."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

import msgspec

from shimmy.output import RequestOutput, TokenLogprob, Usage
from shimmy.server.chat_answer import finish_reason_of, usage_of
from shimmy.server.generation import Identity
from shimmy.server.schemas.completion import Completion, CompletionChoice, LegacyLogprobs

_ENCODER = msgspec.json.Encoder()


class LogprobsWriter:
    """The logprobs of one choice in the legacy shape; offsets count on from call to call."""

    def __init__(self) -> None:
        self._offset = 0
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def write(self, logprobs: Sequence[TokenLogprob]) -> LegacyLogprobs:
        out = LegacyLogprobs([], [], [], [])
        for one in logprobs:
            out.tokens.append(one.piece.decode("utf-8", "replace"))
            out.token_logprobs.append(one.logprob)
            out.top_logprobs.append({piece.decode("utf-8", "replace"): value for _, piece, value in one.top})
            out.text_offset.append(self._offset)
            self._offset += len(self._decoder.decode(one.piece))
        return out


def completion(identity: Identity, outputs: Sequence[RequestOutput], *, logprobs: bool) -> bytes:
    """The whole answer as JSON; each output holds all of one choice."""
    choices = [
        CompletionChoice(
            index=index,
            text=output.text,
            logprobs=LogprobsWriter().write(output.logprobs) if logprobs else None,
            finish_reason=finish_reason_of(output),
        )
        for index, output in enumerate(outputs)
    ]
    usage = usage_of(output.usage for output in outputs)
    return _ENCODER.encode(Completion(**identity._asdict(), choices=choices, usage=usage))


class CompletionChunkWriter:
    """Turns the outputs of one answer's streams into server-sent events."""

    def __init__(self, identity: Identity, n_choices: int, *, logprobs: bool, include_usage: bool) -> None:
        head = {
            "id": identity.id,
            "object": "text_completion",
            "created": identity.created,
            "model": identity.model,
            "system_fingerprint": identity.system_fingerprint,
        }
        self._head = b"data: " + _ENCODER.encode(head)[:-1] + b',"choices":['
        self._logprobs = [LogprobsWriter() if logprobs else None for _ in range(n_choices)]
        self._usages: list[Usage | None] = []
        self._include_usage = include_usage

    def write(self, index: int, output: RequestOutput) -> bytes:
        """The chunk of one output of choice `index`; the last one of all ends with usage."""
        writer = self._logprobs[index]
        if not (output.text or output.finished or output.logprobs):
            return b""
        choice = CompletionChoice(
            index=index,
            text=output.text,
            logprobs=writer.write(output.logprobs) if writer is not None and output.logprobs else None,
            finish_reason=finish_reason_of(output),
        )
        chunk = self._head + _ENCODER.encode(choice) + b"]}\n\n"
        if output.finished:
            self._usages.append(output.usage)
            if self._include_usage and len(self._usages) == len(self._logprobs):
                chunk += self._head + b'],"usage":' + _ENCODER.encode(usage_of(self._usages)) + b"}\n\n"
        return chunk
