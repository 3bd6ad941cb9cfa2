"""Outputs of a native request as the three forms that /api/generate speaks."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Protocol

import msgspec
from msgspec import UNSET, UnsetType

from shimmy.output import RequestOutput, Usage
from shimmy.server import sse
from shimmy.server.schemas.native import NativeResponse, NativeUsage

_ENCODER = msgspec.json.Encoder()


def usage_of(usage: Usage | None) -> NativeUsage:
    usage = usage or Usage()
    return NativeUsage(
        prompt_tokens=usage.prompt_tokens,
        cached_tokens=usage.cached_tokens,
        completion_tokens=usage.completion_tokens,
        total_tokens=usage.prompt_tokens + usage.completion_tokens,
        cache_miss=usage.cache_miss,
        cache_diverged_at=usage.cache_diverged_at,
        cache_diagnosis=usage.cache_diagnosis or UNSET,
        context=usage.context or UNSET,
        queue_seconds=usage.queue_seconds,
        prefill_seconds=usage.prefill_seconds,
        decode_seconds=usage.decode_seconds,
    )


def asked_usage(usage: Usage) -> NativeUsage | UnsetType:
    """For protocols that have no place for it: only where the request asked for what is in it."""
    return usage_of(usage) if usage.context or usage.cache_diagnosis else UNSET


def native_response(model: str, output: RequestOutput) -> bytes:
    """One output, or a whole answer, as one JSON object."""
    response = NativeResponse(
        model=model,
        created_at=datetime.now(timezone.utc).isoformat(),
        response=output.text,
        thinking=output.reasoning or UNSET,
        done=output.finished,
    )
    if output.finished:
        usage = output.usage or Usage()
        response.done_reason = output.finish_reason or "stop"
        response.usage = usage_of(usage)
        response.total_duration = nanoseconds(usage.queue_seconds + usage.prefill_seconds + usage.decode_seconds)
        response.load_duration = 0
        response.prompt_eval_count = usage.prompt_tokens
        response.prompt_eval_duration = nanoseconds(usage.prefill_seconds)
        response.eval_count = usage.completion_tokens
        response.eval_duration = nanoseconds(usage.decode_seconds)
    return _ENCODER.encode(response)


def nanoseconds(seconds: float) -> int:
    return round(seconds * 1e9)


class PartWriter(Protocol):
    """How one media type writes the outputs of a stream."""

    media_type: str

    def write(self, output: RequestOutput) -> bytes: ...

    def write_error(self, error: bytes) -> bytes: ...


class LineWriter:
    """NDJSON: one object per output."""

    media_type = "application/x-ndjson"

    def __init__(self, model: str) -> None:
        self._model = model

    def write(self, output: RequestOutput) -> bytes:
        return native_response(self._model, output) + b"\n"

    def write_error(self, error: bytes) -> bytes:
        return error + b"\n"


class EventWriter:
    """Server-sent events: the plain text, then an event "usage" and [DONE]. Reasoning comes as event "thinking"."""

    media_type = sse.MEDIA_TYPE

    def write(self, output: RequestOutput) -> bytes:
        events = sse.text_event(output.reasoning, "thinking") if output.reasoning else b""
        if output.text:
            events += sse.text_event(output.text)
        if output.finished:
            last = {"done": True, "done_reason": output.finish_reason, "usage": usage_of(output.usage)}
            events += b"event: usage\n" + sse.json_event(_ENCODER.encode(last)) + sse.DONE
        return events

    def write_error(self, error: bytes) -> bytes:
        return b"event: error\n" + sse.json_event(error)
