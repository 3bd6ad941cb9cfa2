"""Ollama's API: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.server.schemas.adapters import NumberedScales, Scales
from shimmy.server.schemas.chat import MAX_MESSAGES, MAX_TOOLS, TokenLogprobOut, ToolIn
from shimmy.server.schemas.embedding import MAX_INPUTS
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.native import NativeUsage
from shimmy.server.schemas.sampling import Count, Int32

OLLAMA_DEFAULTS: dict[str, Any] = {
    "temperature": 0.8,
    "top_p": 0.9,
    "top_k": 40,
    "repeat_penalty": 1.1,
    "repeat_last_n": 64,
}


class Options(GenerationFields, kw_only=True):
    """Ollama's own, and every field of `GenerationFields`. Options of loading (num_ctx, num_gpu, ...) change nothing:
    a model is loaded once, as the server's settings say.
    """

    num_predict: Int32 | None = None
    """Negative: until the context is full."""
    num_keep: Int32 | None = None
    """Ollama's name for `n_keep`."""


class FunctionUse(msgspec.Struct):
    name: str
    arguments: dict[str, Any] | str | None = None


class ToolUse(msgspec.Struct):
    function: FunctionUse
    id: str | None = None


class OllamaMessage(msgspec.Struct, omit_defaults=True):
    role: str
    content: str | None = None
    images: list[str] | None = None
    thinking: str | None = None
    tool_calls: list[ToolUse] | None = None
    tool_name: str | None = None
    tool_call_id: str | None = None


class OllamaRequest(msgspec.Struct, kw_only=True):
    """What chat and generate share."""

    model: ModelName
    stream: bool | None = None
    """True when absent."""
    format: str | dict[str, Any] | None = None
    """json, or a JSON schema."""
    options: Options | None = None
    keep_alive: str | float | None = None
    truncate: bool | None = None
    """context_policy truncate_middle; together with `shift` both. Absent, nothing is dropped, unlike in Ollama."""
    shift: bool | None = None
    think: bool | str | None = None
    lora: Scales | NumberedScales | None = None
    """As in `options`, which it goes before."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None


class OllamaChatRequest(OllamaRequest, kw_only=True):
    messages: Annotated[list[OllamaMessage], Meta(max_length=MAX_MESSAGES)] | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=MAX_TOOLS)] | None = None


class OllamaGenerateRequest(OllamaRequest, kw_only=True):
    prompt: str | None = None
    suffix: str | None = None
    system: str | None = None
    template: str | None = None
    context: list[Count] | None = None
    raw: bool | None = None
    images: list[str] | None = None


class OllamaMarks(msgspec.Struct):
    """Fields of /api/generate that only Ollama's clients send."""

    options: msgspec.Raw | UnsetType = UNSET
    keep_alive: msgspec.Raw | UnsetType = UNSET
    context: msgspec.Raw | UnsetType = UNSET
    raw: msgspec.Raw | UnsetType = UNSET
    template: msgspec.Raw | UnsetType = UNSET
    suffix: msgspec.Raw | UnsetType = UNSET
    format: msgspec.Raw | UnsetType = UNSET
    think: msgspec.Raw | UnsetType = UNSET
    images: msgspec.Raw | UnsetType = UNSET
    truncate: msgspec.Raw | UnsetType = UNSET
    shift: msgspec.Raw | UnsetType = UNSET


class OllamaEmbedRequest(msgspec.Struct, kw_only=True):
    model: ModelName
    input: str | Annotated[list[str], Meta(max_length=MAX_INPUTS)] | None = None
    prompt: str | None = None
    """Of the older /api/embeddings."""
    truncate: bool | None = None
    """True cuts an input that is too long; else it is an error, also where nothing is said."""
    dimensions: Int32 | None = None
    keep_alive: str | float | None = None


class OllamaModelName(msgspec.Struct):
    model: ModelName | None = None
    name: ModelName | None = None
    verbose: bool | None = None


class FunctionUseOut(msgspec.Struct, kw_only=True):
    index: int
    name: str
    arguments: dict[str, Any]


class ToolUseOut(msgspec.Struct, kw_only=True):
    id: str
    function: FunctionUseOut


class OllamaMessageOut(msgspec.Struct, kw_only=True):
    role: str = "assistant"
    content: str
    thinking: str | UnsetType = UNSET
    tool_calls: list[ToolUseOut] | UnsetType = UNSET


class OllamaLine(msgspec.Struct, kw_only=True):
    """One line of an answer; chat has `message`, generate `response`. Durations are in nanoseconds."""

    model: str
    created_at: str
    message: OllamaMessageOut | UnsetType = UNSET
    response: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    logprobs: list[TokenLogprobOut] | UnsetType = UNSET
    done: bool
    done_reason: str | UnsetType = UNSET
    context: list[int] | UnsetType = UNSET
    total_duration: int | UnsetType = UNSET
    load_duration: int | UnsetType = UNSET
    prompt_eval_count: int | UnsetType = UNSET
    prompt_eval_duration: int | UnsetType = UNSET
    eval_count: int | UnsetType = UNSET
    eval_duration: int | UnsetType = UNSET
    usage: NativeUsage | UnsetType = UNSET
    """For requests with a context_policy or with cache_diagnostics; `context` is Ollama's, the tokens so far."""


class OllamaEmbeddings(msgspec.Struct, kw_only=True):
    model: str
    embeddings: list[list[float]]
    total_duration: int
    load_duration: int
    prompt_eval_count: int
    truncated: list[int] | UnsetType = UNSET
    """Of shimmy's own: the places of the inputs that were cut."""


class OllamaDetails(msgspec.Struct, kw_only=True):
    parent_model: str = ""
    format: str = "gguf"
    family: str
    families: list[str]
    parameter_size: str
    quantization_level: str
    context_length: int | UnsetType = UNSET


class OllamaModel(msgspec.Struct, kw_only=True):
    name: str
    model: str
    modified_at: str
    size: int
    digest: str
    """Names this version of the file; it is not the hash of its bytes."""
    details: OllamaDetails
    capabilities: list[str]


class OllamaProcess(msgspec.Struct, kw_only=True):
    name: str
    model: str
    size: int
    digest: str
    details: OllamaDetails
    expires_at: str
    size_vram: int
    context_length: int


class OllamaShow(msgspec.Struct, kw_only=True):
    modelfile: str = ""
    parameters: str = ""
    template: str = ""
    system: str | UnsetType = UNSET
    license: str | UnsetType = UNSET
    messages: list[OllamaMessage] | UnsetType = UNSET
    details: OllamaDetails
    model_info: dict[str, Any]
    capabilities: list[str]
    modified_at: str


class OllamaVersion(msgspec.Struct, kw_only=True):
    version: str


class OllamaModels(msgspec.Struct, kw_only=True):
    models: list[OllamaModel]


class OllamaProcesses(msgspec.Struct, kw_only=True):
    models: list[OllamaProcess]


class OllamaEmbedding(msgspec.Struct, kw_only=True):
    """Of the older /api/embeddings."""

    embedding: list[float]
