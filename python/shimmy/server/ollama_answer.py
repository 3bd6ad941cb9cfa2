"""Outputs of a request as Ollama's lines."""

from __future__ import annotations

import contextlib
import secrets
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from datetime import datetime, timezone
from typing import Protocol, TypeAlias

import msgspec
from msgspec import UNSET

from shimmy.engine_client import EngineClient
from shimmy.errors import TemplateError
from shimmy.output import RequestOutput, ToolCallDelta, Usage
from shimmy.request import ChatPrompt
from shimmy.server.chat_answer import arguments_of, calls_of, logprobs_of
from shimmy.server.native_answer import asked_usage, nanoseconds
from shimmy.server.schemas.ollama import FunctionUseOut, OllamaLine, OllamaMessageOut, ToolUseOut

MEDIA_TYPE = "application/x-ndjson"

_ENCODER = msgspec.json.Encoder()
_DONE_REASONS = {"tool_calls": "stop", "deadline": "length", "cancelled": "stop"}


def now() -> str:
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


class Shape(Protocol):
    """Where a line carries what was said: chat and generate differ in that alone."""

    def __call__(self, line: OllamaLine, text: str, thinking: str, calls: list[ToolUseOut]) -> None: ...


def chat_shape(line: OllamaLine, text: str, thinking: str, calls: list[ToolUseOut]) -> None:
    line.message = OllamaMessageOut(content=text, thinking=thinking or UNSET, tool_calls=calls or UNSET)


def generate_shape(line: OllamaLine, text: str, thinking: str, calls: list[ToolUseOut]) -> None:
    line.response = text
    line.thinking = thinking or UNSET


def loaded(model: str, shape: Shape, reason: str) -> bytes:
    """The answer to an empty request, which loads ("load") or unloads ("unload")."""
    line = OllamaLine(model=model, created_at=now(), done=True, done_reason=reason)
    shape(line, "", "", [])
    return _ENCODER.encode(line)


class LineWriter:
    """Turns the outputs of one request into lines, or a whole answer into one. Calls come whole, as Ollama's do.
    `context`, when it is set, is told by the last line.
    """

    def __init__(self, model: str, shape: Shape, load_seconds: float) -> None:
        self._model = model
        self._shape = shape
        self._load_seconds = load_seconds
        self._calls: list[ToolCallDelta] = []
        self.context: list[int] | None = None

    def write(self, output: RequestOutput) -> bytes:
        """The lines of one output; the last one of all has no text of its own."""
        self._calls += output.tool_calls
        lines: list[OllamaLine] = []
        calls = self._whole_calls() if output.finished else []
        if output.text or output.reasoning or output.logprobs or calls:
            line = self._line(output, done=False)
            self._shape(line, output.text, output.reasoning, calls)
            lines.append(line)
        if output.finished:
            last = self._line(None, done=True)
            self._shape(last, "", "", [])
            self._end(last, output)
            lines.append(last)
        return b"".join(_ENCODER.encode(line) + b"\n" for line in lines)

    def whole(self, output: RequestOutput) -> bytes:
        """The answer that is not streamed."""
        self._calls += output.tool_calls
        line = self._line(output, done=True)
        self._shape(line, output.text, output.reasoning, self._whole_calls())
        self._end(line, output)
        return _ENCODER.encode(line)

    def _line(self, output: RequestOutput | None, *, done: bool) -> OllamaLine:
        scores = logprobs_of(output.logprobs).content if output and output.logprobs else UNSET
        return OllamaLine(model=self._model, created_at=now(), logprobs=scores, done=done)

    def _whole_calls(self) -> list[ToolUseOut]:
        return [
            ToolUseOut(
                id=call.id or f"call_{secrets.token_hex(6)}",
                function=FunctionUseOut(index=index, name=call.function.name or "", arguments=arguments_of(call)),
            )
            for index, call in enumerate(calls_of(self._calls))
        ]

    def _end(self, line: OllamaLine, output: RequestOutput) -> None:
        usage = output.usage or Usage()
        reason = output.finish_reason or "stop"
        line.done_reason = _DONE_REASONS.get(reason, reason)
        spent = self._load_seconds + usage.queue_seconds + usage.prefill_seconds + usage.decode_seconds
        line.total_duration = nanoseconds(spent)
        line.load_duration = nanoseconds(self._load_seconds)
        line.prompt_eval_count = usage.prompt_tokens
        line.prompt_eval_duration = nanoseconds(usage.prefill_seconds)
        line.eval_count = usage.completion_tokens
        line.eval_duration = nanoseconds(usage.decode_seconds)
        line.usage = asked_usage(usage)
        if self.context is not None:
            line.context = self.context


Remembering: TypeAlias = Callable[[AsyncIterator[RequestOutput], LineWriter], AsyncGenerator[RequestOutput, None]]
"""The same outputs; before the last one the writer gets the tokens to go on from."""


async def remembering_text(
    client: EngineClient, prompt: list[int], outputs: AsyncIterator[RequestOutput], writer: LineWriter
) -> AsyncGenerator[RequestOutput, None]:
    """Those of `prompt` with the answer behind it."""
    parts: list[str] = []
    async for output in outputs:
        parts.append(output.text)
        if output.finished:
            writer.context = [*prompt, *await client.tokenize("".join(parts), add_special=False)]
        yield output


async def remembering(
    client: EngineClient, conversation: ChatPrompt, outputs: AsyncIterator[RequestOutput], writer: LineWriter
) -> AsyncGenerator[RequestOutput, None]:
    """Those of the conversation with the answer in it.

    It is without the reasoning, as any conversation that goes on. A template that takes no answer as the last message
    leaves it out.
    """
    parts: list[str] = []
    async for output in outputs:
        parts.append(output.text)
        if output.finished:
            answer = {"role": "assistant", "content": "".join(parts)}
            whole = msgspec.structs.replace(
                conversation, messages=[*conversation.messages, answer], add_generation_prompt=False
            )
            with contextlib.suppress(TemplateError):
                writer.context = await client.tokenize(whole)
        yield output
