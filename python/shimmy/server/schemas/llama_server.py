"""Routes that llama-server has and editors know: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.server.schemas.chat import MAX_MESSAGES, MAX_TOOLS, MessageIn, ToolIn, TopLogprob
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.native import NativeUsage
from shimmy.server.schemas.sampling import Count, Int32
from shimmy.server.schemas.timings import Timings


class TokenizeRequest(msgspec.Struct, kw_only=True):
    """llama-server's `content`, or vLLM's `prompt` or `messages`."""

    model: ModelName | None = None
    content: str | None = None
    add_special: bool | None = None
    """False when absent."""
    parse_special: bool | None = None
    """True when absent."""
    with_pieces: bool | None = None
    prompt: str | None = None
    add_special_tokens: bool | None = None
    """True when absent."""
    messages: Annotated[list[MessageIn], Meta(max_length=MAX_MESSAGES)] | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=MAX_TOOLS)] | None = None


class TokenPiece(msgspec.Struct):
    id: int
    piece: str | list[int]
    """Its text, or its bytes where these are none by themselves."""


class TokenList(msgspec.Struct, kw_only=True):
    tokens: list[int | TokenPiece]
    """Pieces where with_pieces asked for them."""
    count: int
    max_model_len: int


class DetokenizeRequest(msgspec.Struct, kw_only=True):
    model: ModelName | None = None
    tokens: list[Count]


class Detokenized(msgspec.Struct, kw_only=True):
    content: str
    prompt: str
    """The same under vLLM's name."""


class TemplateRequest(msgspec.Struct, kw_only=True):
    model: ModelName | None = None
    messages: Annotated[list[MessageIn], Meta(max_length=MAX_MESSAGES)]
    tools: Annotated[list[ToolIn], Meta(max_length=MAX_TOOLS)] | None = None
    chat_template_kwargs: dict[str, Any] | None = None


class RawCompletionRequest(GenerationFields, kw_only=True):
    """POST /completion."""

    model: ModelName | None = None
    prompt: str | list[Any]
    n_predict: Int32 | None = None
    """Negative: until the context is full."""
    max_tokens: Count | None = None
    """Where `n_predict` is left out."""
    stream: bool | None = None
    n_probs: Annotated[int, Meta(ge=0, le=20)] | None = None
    return_tokens: bool | None = None


class TokenProbability(TopLogprob):
    id: int
    top_logprobs: list[TopLogprob]


class RawCompletion(msgspec.Struct, kw_only=True):
    """The whole answer, or a part of it; the fields from `model` on are those of the last part."""

    index: int = 0
    content: str
    tokens: list[int] = []
    stop: bool
    completion_probabilities: list[TokenProbability] | UnsetType = UNSET
    model: str | UnsetType = UNSET
    tokens_predicted: int | UnsetType = UNSET
    tokens_evaluated: int | UnsetType = UNSET
    tokens_cached: int | UnsetType = UNSET
    truncated: bool | UnsetType = UNSET
    """Something of prompt or answer left the context."""
    stop_type: str | UnsetType = UNSET
    """eos, word or limit."""
    stopping_word: str | UnsetType = UNSET
    timings: Timings | UnsetType = UNSET
    usage: NativeUsage | UnsetType = UNSET
    """For requests with a context_policy or with cache_diagnostics."""


class SlotState(msgspec.Struct, kw_only=True):
    """No answer tells an `id_slot`: which place a request gets is the engine's choice, and may change."""

    id: int
    n_ctx: int
    is_processing: bool
    request: str | UnsetType = UNSET
    """Of the caller's own requests, whose answer has begun: its id in /v1/requests, and its tokens so far."""
    n_decoded: int | UnsetType = UNSET


class ExtraFile(msgspec.Struct, kw_only=True):
    text: str
    filename: str | None = None


class InfillRequest(GenerationFields, kw_only=True):
    """POST /infill."""

    input_prefix: str
    input_suffix: str
    model: ModelName | None = None
    prompt: str | None = None
    """What was typed behind the prefix."""
    input_extra: Annotated[list[ExtraFile], Meta(max_length=256)] | None = None
    n_predict: Int32 | None = None
    max_tokens: Count | None = None
    """Where `n_predict` is left out."""
    stream: bool | None = None


class RenderedTemplate(msgspec.Struct, kw_only=True):
    prompt: str


class ModelChoice(msgspec.Struct, kw_only=True):
    """The parameters of /props and /slots."""

    model: ModelName | None = None
    """May be left out where one model only is meant."""


class DefaultSettings(msgspec.Struct, kw_only=True):
    n_ctx: int


class Modalities(msgspec.Struct, kw_only=True):
    vision: bool = False
    audio: bool = False


class Props(msgspec.Struct, kw_only=True):
    default_generation_settings: DefaultSettings
    total_slots: int
    model_alias: str
    chat_template: str
    """Empty for a model without one."""
    modalities: Modalities
    build_info: str
