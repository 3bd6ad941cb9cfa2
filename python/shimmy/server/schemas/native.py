"""POST /api/generate and GET /ws/generate: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.output import CacheDiagnosis, ContextUse
from shimmy.server.schemas.chat import MAX_MESSAGES, MessageIn
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Count

NATIVE_DEFAULTS: dict[str, Any] = {
    "temperature": 0.7,
    "top_p": 0.9,
    "top_k": 40,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
}


class NativeRequest(GenerationFields, kw_only=True):
    """Either `messages`, or a `prompt` that goes to the model as it is; with `system` the prompt becomes a message."""

    model: ModelName
    prompt: str | None = None
    messages: Annotated[list[MessageIn], Meta(max_length=MAX_MESSAGES)] | None = None
    system: str | None = None
    max_tokens: Count | None = None
    stream: bool | None = None
    """True when absent."""


class Control(msgspec.Struct):
    """A frame of a socket about the generation that runs. One with a `model` or something to answer is a request."""

    stop: bool | None = None
    temperature: float | None = None
    model: Any = None
    prompt: Any = None
    messages: Any = None

    @property
    def is_request(self) -> bool:
        return not (self.model is None and self.prompt is None and self.messages is None)


class NativeUsage(msgspec.Struct, kw_only=True):
    """Durations are in seconds."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    total_tokens: int
    cache_miss: str
    """Why not more of the prompt came from the cache; see `shimmy.output.Usage`."""
    cache_diverged_at: int
    """Index of the first token that was computed anew; -1: none but the last."""
    cache_diagnosis: CacheDiagnosis | UnsetType = UNSET
    context: ContextUse | UnsetType = UNSET
    queue_seconds: float
    prefill_seconds: float
    decode_seconds: float


class NativeResponse(msgspec.Struct, kw_only=True):
    """One line of NDJSON, or the whole answer. The fields after `done_reason` are Ollama's; durations in ns."""

    model: str
    created_at: str
    response: str
    thinking: str | UnsetType = UNSET
    done: bool
    done_reason: str | UnsetType = UNSET
    usage: NativeUsage | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
