"""POST /v1/responses: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.output import CacheDiagnosis, ContextUse
from shimmy.server.schemas.chat import MAX_MESSAGES, MAX_TOOLS, TopLogprob, UsageOut
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Count
from shimmy.server.schemas.timings import Timings


class PartIn(msgspec.Struct):
    type: str | None = None
    text: str | None = None
    refusal: str | None = None


class CustomFormat(msgspec.Struct):
    """What the input of a custom tool looks like; a grammar is shown to the model, not enforced."""

    type: str
    """text or grammar."""
    syntax: str | None = None
    """lark or regex."""
    definition: str | None = None


class ToolFlat(msgspec.Struct):
    """Of this API: the function's fields stand beside `type`. Hosted tools are left out."""

    type: str | None = None
    """function, custom or namespace."""
    name: str | None = None
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None
    format: CustomFormat | None = None
    """Of a custom tool."""
    tools: list[ToolFlat] | None = None
    """Of a namespace: functions and custom tools."""


class ItemIn(msgspec.Struct):
    """A message (also without `type`), a call, a call's output, reasoning that is sent back, more tools, or a reference
    to an item of a stored response (also without `type`). Reports of hosted calls are left out.
    """

    type: str | None = None
    id: str | None = None
    role: str | None = None
    content: str | list[PartIn] | None = None
    call_id: str | None = None
    name: str | None = None
    namespace: str | None = None
    arguments: str | dict[str, Any] | None = None
    """A JSON string; some clients send the object itself."""
    input: str | None = None
    """Of a custom tool's call."""
    output: str | list[PartIn] | dict[str, Any] | None = None
    summary: list[PartIn] | None = None
    tools: list[ToolFlat] | None = None
    """Of additional_tools."""


class ToolChoiceFlat(msgspec.Struct):
    type: str
    name: str | None = None
    namespace: str | None = None
    mode: str | None = None
    tools: list[ToolChoiceFlat] | None = None


class TextFormat(msgspec.Struct):
    type: str
    name: str | None = None
    schema: dict[str, Any] | None = None
    strict: bool | None = None


class TextConfig(msgspec.Struct):
    format: TextFormat | None = None


class Reasoning(msgspec.Struct):
    effort: str | None = None


class ResponsesRequest(GenerationFields, kw_only=True):
    """Fields of `GenerationFields` beyond OpenAI's own are shimmy's extensions."""

    model: ModelName
    input: str | Annotated[list[ItemIn], Meta(max_length=MAX_MESSAGES)] | None = None
    instructions: str | None = None
    previous_response_id: str | None = None
    max_output_tokens: Count | None = None
    tools: Annotated[list[ToolFlat], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoiceFlat | None = None
    parallel_tool_calls: bool | None = None
    text: TextConfig | None = None
    reasoning: Reasoning | None = None
    stream: bool | None = None
    store: bool | None = None
    """True when absent."""
    background: bool | None = None
    metadata: dict[str, str] | None = None
    include: list[str] | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    truncation: str | None = None
    """auto: what context_policy truncate_middle is."""
    conversation: str | dict[str, Any] | None = None


class TextLogprob(TopLogprob):
    top_logprobs: list[TopLogprob]


class OutputText(msgspec.Struct, kw_only=True):
    type: str = "output_text"
    text: str = ""
    annotations: list[Any] = []
    logprobs: list[TextLogprob] = []


class ReasoningText(msgspec.Struct, kw_only=True):
    type: str = "reasoning_text"
    text: str = ""


class MessageItem(msgspec.Struct, kw_only=True, tag_field="type", tag="message"):
    id: str
    role: str = "assistant"
    status: str
    content: list[OutputText]


class CallItem(msgspec.Struct, kw_only=True, tag_field="type", tag="function_call"):
    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    arguments: str
    status: str


class CustomCallItem(msgspec.Struct, kw_only=True, tag_field="type", tag="custom_tool_call"):
    id: str
    call_id: str
    name: str
    namespace: str | UnsetType = UNSET
    input: str
    status: str


class ReasoningItem(msgspec.Struct, kw_only=True, tag_field="type", tag="reasoning"):
    id: str
    summary: list[Any] = []
    content: list[ReasoningText]
    status: str


OutputItem = MessageItem | CallItem | CustomCallItem | ReasoningItem


class CachedTokens(msgspec.Struct):
    """As `PromptTokensDetails` of chat completions."""

    cached_tokens: int
    cache_write_tokens: int
    cache_miss: str | UnsetType = UNSET
    cache_diverged_at: int | UnsetType = UNSET
    cache_diagnosis: CacheDiagnosis | UnsetType = UNSET


class ReasoningTokens(msgspec.Struct):
    reasoning_tokens: int


class ResponseUsage(msgspec.Struct, kw_only=True):
    input_tokens: int
    input_tokens_details: CachedTokens
    output_tokens: int
    output_tokens_details: ReasoningTokens
    total_tokens: int
    context: ContextUse | UnsetType = UNSET

    @classmethod
    def of(cls, usage: UsageOut) -> ResponseUsage:
        return cls(
            input_tokens=usage.prompt_tokens,
            input_tokens_details=CachedTokens(
                usage.prompt_tokens_details.cached_tokens,
                usage.prompt_tokens_details.cache_write_tokens,
                usage.prompt_tokens_details.cache_miss,
                usage.prompt_tokens_details.cache_diverged_at,
                usage.prompt_tokens_details.cache_diagnosis,
            ),
            output_tokens=usage.completion_tokens,
            output_tokens_details=ReasoningTokens(usage.completion_tokens_details.reasoning_tokens),
            total_tokens=usage.total_tokens,
            context=usage.context,
        )


class ResponseError(msgspec.Struct):
    code: str
    message: str


class IncompleteDetails(msgspec.Struct):
    reason: str


class ResponseObject(msgspec.Struct, kw_only=True):
    id: str
    object: str = "response"
    created_at: int
    """Unix time in seconds."""
    completed_at: int | None = None
    status: str
    """queued, in_progress, completed, incomplete, failed or cancelled."""
    model: str
    output: list[OutputItem] = []
    error: ResponseError | None = None
    incomplete_details: IncompleteDetails | None = None
    instructions: str | None = None
    metadata: dict[str, str] = {}
    parallel_tool_calls: bool = True
    temperature: float | None = None
    top_p: float | None = None
    tool_choice: Any = "auto"
    tools: list[dict[str, Any]] = []
    """Those that the model may call: hosted ones are not among them."""
    previous_response_id: str | None = None
    max_output_tokens: int | None = None
    background: bool = False
    store: bool = True
    reasoning: dict[str, Any] = {}
    text: dict[str, Any] = {}
    truncation: str = "disabled"
    usage: ResponseUsage | None = None
    timings: Timings | UnsetType = UNSET
    """shimmy's extension, once it has ended with usage."""


class ResponseQuery(msgspec.Struct, kw_only=True):
    """The parameters of GET /v1/responses/{id}."""

    stream: bool | None = None
    starting_after: Count | None = None
    """With `stream`: the `sequence_number` of the last event that is known."""


class ResponseDeleted(msgspec.Struct, kw_only=True):
    id: str
    object: str = "response"
    deleted: bool = True


class InputTokens(msgspec.Struct, kw_only=True):
    object: str = "response.input_tokens"
    input_tokens: int


class InputItem(msgspec.Struct, kw_only=True, omit_defaults=True):
    """Of the stored input, in this API's form."""

    id: str
    type: str
    role: str | UnsetType = UNSET
    status: str | UnsetType = UNSET
    content: list[dict[str, str]] | UnsetType = UNSET
    call_id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    namespace: str | UnsetType = UNSET
    arguments: str | UnsetType = UNSET
    input: str | UnsetType = UNSET
    output: str | UnsetType = UNSET
    summary: list[Any] | UnsetType = UNSET


class ResponseEvent(msgspec.Struct, kw_only=True):
    """The data of one event of a streamed answer; what else it has depends on `type`."""

    type: str
    """response.created, response.output_text.delta, response.completed, ..."""
    sequence_number: int


class InputItems(msgspec.Struct, kw_only=True):
    object: str = "list"
    data: list[InputItem]
    """The newest first."""
    first_id: str | None
    last_id: str | None
    has_more: bool = False
