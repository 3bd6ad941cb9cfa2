"""Outputs of a request as Anthropic's message, whole or as its stream of events."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import UNSET

from shimmy.output import RequestOutput, ToolCallDelta, Usage
from shimmy.server import sse
from shimmy.server.chat_answer import arguments_of, calls_of, usage_of
from shimmy.server.schemas.anthropic import Block, Message, MessageUsage, ModelInfoOut, ModelPage
from shimmy.server.schemas.models import ModelObject
from shimmy.server.timings import timings_of

_ENCODER = msgspec.json.Encoder()
_STOP_REASONS = {"stop": "end_turn", "tool_calls": "tool_use", "deadline": "max_tokens", "cancelled": "end_turn"}


def new_id(prefix: str) -> str:
    return f"{prefix}_{secrets.token_hex(12)}"


def tool_use_id(message_id: str, index: int) -> str:
    """The id of a message's call, the same wherever it is told."""
    return f"toolu_{message_id.removeprefix('msg_')}{index:02d}"


def message(
    message_id: str, model: str, output: RequestOutput, max_tokens: int, session_id: str | None = None
) -> bytes:
    """The whole answer as JSON."""
    blocks: list[Block] = []
    if output.reasoning:
        blocks.append(Block(type="thinking", thinking=output.reasoning, signature=""))
    if output.text:
        blocks.append(Block(type="text", text=output.text))
    for index, call in enumerate(calls_of(output.tool_calls)):
        name = call.function.name or ""
        block_id = tool_use_id(message_id, index)
        blocks.append(Block(type="tool_use", id=block_id, name=name, input=arguments_of(call)))
    reason, stopped_by = stop_reason_of(output, max_tokens)
    usage = _usage(output.usage)
    return _ENCODER.encode(
        Message(
            id=message_id,
            model=model,
            content=blocks,
            stop_reason=reason,
            stop_sequence=stopped_by,
            usage=usage,
            session_id=session_id or UNSET,
            timings=timings_of([output.usage]),
        )
    )


def stop_reason_of(output: RequestOutput, max_tokens: int) -> tuple[str, str | None]:
    """Anthropic's word for why it ended, and the stop sequence that did."""
    if isinstance(output.stop_reason, str):
        return "stop_sequence", output.stop_reason
    if output.finish_reason == "length":
        full = output.usage is not None and output.usage.completion_tokens < max_tokens
        return "model_context_window_exceeded" if full else "max_tokens", None
    return _STOP_REASONS[output.finish_reason or "stop"], None


def model_info(model: ModelObject) -> ModelInfoOut:
    created = datetime.fromtimestamp(model.created, timezone.utc).isoformat().replace("+00:00", "Z")
    return ModelInfoOut(id=model.id, display_name=model.id, created_at=created)


def model_page(models: Sequence[ModelObject]) -> ModelPage:
    """All models on one page."""
    return ModelPage(
        data=[model_info(model) for model in models],
        first_id=models[0].id if models else None,
        last_id=models[-1].id if models else None,
    )


class EventWriter:
    """Turns the outputs of one request into named server-sent events. Blocks follow each other: one is closed before
    the next is opened.
    """

    def __init__(self, message_id: str, model: str, max_tokens: int, session_id: str | None = None) -> None:
        self._id = message_id
        self._session_id = session_id
        self._model = model
        self._max_tokens = max_tokens
        self._index = -1
        self._open: str | int | None = None  # text, thinking, or the number of a tool call
        self._begun = False

    def write(self, output: RequestOutput) -> bytes:
        """The events of one output; the first call begins the message, the last one ends it."""
        events: list[bytes] = []
        if not self._begun:
            self._begun = True
            events.append(self._start(output))
        if output.reasoning:
            events += self._enter("thinking", Block(type="thinking", thinking="", signature=""))
            events.append(self._delta({"type": "thinking_delta", "thinking": output.reasoning}))
        if output.text:
            events += self._enter("text", Block(type="text", text=""))
            events.append(self._delta({"type": "text_delta", "text": output.text}))
        for call in output.tool_calls:
            events += self._call(call)
        if output.finished:
            events += self._end(output)
        return b"".join(events)

    def _start(self, output: RequestOutput) -> bytes:
        usage = _usage(output.usage)
        usage.output_tokens = usage.output_tokens_details.thinking_tokens = 0
        empty = Message(
            id=self._id,
            model=self._model,
            content=[],
            stop_reason=None,
            stop_sequence=None,
            usage=usage,
            session_id=self._session_id or UNSET,
        )
        return _event("message_start", message=empty)

    def _call(self, call: ToolCallDelta) -> list[bytes]:
        events: list[bytes] = []
        if self._open != call.index:
            block = Block(type="tool_use", id=tool_use_id(self._id, call.index), name=call.name or "", input={})
            events = self._enter(call.index, block)
        if call.arguments:
            events.append(self._delta({"type": "input_json_delta", "partial_json": call.arguments}))
        return events

    def _enter(self, kind: str | int, block: Block) -> list[bytes]:
        if self._open == kind:
            return []
        events = self._leave()
        self._open = kind
        self._index += 1
        return [*events, _event("content_block_start", index=self._index, content_block=block)]

    def _leave(self) -> list[bytes]:
        if self._open is None:
            return []
        signature = [self._delta({"type": "signature_delta", "signature": ""})] if self._open == "thinking" else []
        self._open = None
        return [*signature, _event("content_block_stop", index=self._index)]

    def _delta(self, delta: dict[str, str]) -> bytes:
        return _event("content_block_delta", index=self._index, delta=delta)

    def _end(self, output: RequestOutput) -> list[bytes]:
        reason, stopped_by = stop_reason_of(output, self._max_tokens)
        delta = {"stop_reason": reason, "stop_sequence": stopped_by}
        usage, timings = _usage(output.usage), timings_of([output.usage])
        end = _event("message_delta", delta=delta, usage=usage, timings=timings)
        return [*self._leave(), end, _event("message_stop")]


def _event(kind: str, **fields: Any) -> bytes:
    return sse.named_event(kind, _ENCODER.encode({"type": kind, **fields}))


def _usage(usage: Usage | None) -> MessageUsage:
    return MessageUsage.of(usage_of([usage]))
