"""POST /v1/completions: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.server.schemas.chat import StreamOptions, UsageOut
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Count, Int32
from shimmy.server.schemas.timings import Timings


class CompletionRequest(GenerationFields, kw_only=True):
    model: ModelName
    prompt: str | list[str | int | list[Count]]
    """Text, token ids, or a list of either."""
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Count | None = None
    n_predict: Int32 | None = None
    """llama-server's name of `max_tokens`, where that is left out. Negative: until the context is full."""
    logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None


class LegacyLogprobs(msgspec.Struct):
    tokens: list[str]
    token_logprobs: list[float | None]
    """Null for the first token of an echoed prompt."""
    top_logprobs: list[dict[str, float] | None]
    text_offset: list[int]
    """In characters, from the beginning of the choice's text, echoed prompt included."""


class CompletionChoice(msgspec.Struct, kw_only=True):
    index: int
    text: str
    logprobs: LegacyLogprobs | None
    finish_reason: str | None


class Completion(msgspec.Struct, kw_only=True):
    id: str
    object: str = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageOut
    timings: Timings


class CompletionChunk(msgspec.Struct, kw_only=True):
    """The data of one event of a streamed answer; after the last comes [DONE]."""

    id: str
    object: str = "text_completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[CompletionChoice]
    usage: UsageOut | UnsetType = UNSET
    """Of the last chunk, which has no choices, where stream_options.include_usage asks for it."""
    timings: Timings | UnsetType = UNSET
    """Of the last chunk, with or without usage."""
