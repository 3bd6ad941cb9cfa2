"""POST /v1/chat/completions: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.output import CacheDiagnosis, ContextUse
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Count, Int32
from shimmy.server.schemas.timings import Timings

MAX_MESSAGES = 2048
MAX_TOOLS = 512


class ContentPart(msgspec.Struct):
    type: str
    text: str | None = None


class FunctionCallIn(msgspec.Struct):
    name: str
    arguments: str | dict[str, Any] | None = None
    """A JSON string; some clients send the object itself."""


class ToolCallIn(msgspec.Struct):
    function: FunctionCallIn
    id: str | None = None
    type: str | None = None


class MessageIn(msgspec.Struct):
    role: str
    content: str | list[ContentPart] | None = None
    name: str | None = None
    tool_calls: list[ToolCallIn] | None = None
    tool_call_id: str | None = None
    reasoning_content: str | None = None


class FunctionIn(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    description: str | None = None
    parameters: dict[str, Any] | None = None
    strict: bool | None = None


class ToolIn(msgspec.Struct):
    type: str
    function: FunctionIn | None = None


class ToolName(msgspec.Struct):
    name: str


class AllowedTool(msgspec.Struct):
    function: ToolName | None = None


class AllowedTools(msgspec.Struct):
    mode: str = "auto"
    """auto or required."""
    tools: list[AllowedTool] = []


class ToolChoice(msgspec.Struct):
    type: str
    function: ToolName | None = None
    allowed_tools: AllowedTools | None = None


class StreamOptions(msgspec.Struct):
    include_usage: bool | None = None


class ChatCompletionRequest(GenerationFields, kw_only=True):
    model: ModelName
    messages: Annotated[list[MessageIn], Meta(max_length=MAX_MESSAGES)]
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    n: int | None = None
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    n_predict: Int32 | None = None
    """llama-server's name of `max_tokens`, where that is left out. Negative: until the context is full."""
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Meta(ge=0, le=20)] | None = None
    tools: Annotated[list[ToolIn], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: str | ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    reasoning_effort: str | None = None
    """none turns thinking off where the template can; the others are for templates that know them."""
    chat_template_kwargs: dict[str, Any] | None = None
    continue_final_message: bool | None = None
    """The last message is an assistant's text, and the answer is what follows it, without another thought."""
    add_generation_prompt: bool | None = None
    """vLLM's clients turn it off together with `continue_final_message`, which needs no such thing here; it is true for
    all other requests.
    """


class TopLogprob(msgspec.Struct):
    token: str
    logprob: float
    bytes: list[int]


class TokenLogprobOut(TopLogprob):
    top_logprobs: list[TopLogprob]


class Logprobs(msgspec.Struct):
    content: list[TokenLogprobOut]
    refusal: None = None


class FunctionOut(msgspec.Struct):
    name: str | UnsetType = UNSET
    arguments: str = ""


class ToolCallOut(msgspec.Struct):
    id: str
    function: FunctionOut
    type: str = "function"


class MessageOut(msgspec.Struct, kw_only=True):
    role: str = "assistant"
    content: str | None
    refusal: None = None
    tool_calls: list[ToolCallOut] | UnsetType = UNSET
    reasoning_content: str | UnsetType = UNSET


class Choice(msgspec.Struct, kw_only=True):
    index: int = 0
    message: MessageOut
    logprobs: Logprobs | None
    finish_reason: str


class PromptTokensDetails(msgspec.Struct):
    """Beside OpenAI's own: why not more of the prompt came from the cache, where something could have."""

    cached_tokens: int
    audio_tokens: int = 0
    cache_write_tokens: int = 0
    """Always 0: what is computed is kept anyway, and nothing counts as written apart from that."""
    cache_miss: str | UnsetType = UNSET
    """empty, diverged, adapters, evicted, uncuttable or disabled."""
    cache_diverged_at: int | UnsetType = UNSET
    """Index of the first token that was computed anew."""
    cache_diagnosis: CacheDiagnosis | UnsetType = UNSET
    """For requests with cache_diagnostics."""


class CompletionTokensDetails(msgspec.Struct, kw_only=True):
    reasoning_tokens: int
    audio_tokens: int = 0
    accepted_prediction_tokens: int
    """Tokens of the completion that speculation had drafted."""
    rejected_prediction_tokens: int


class UsageOut(msgspec.Struct, kw_only=True):
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    prompt_tokens_details: PromptTokensDetails
    completion_tokens_details: CompletionTokensDetails
    context: ContextUse | UnsetType = UNSET
    """For requests with a context_policy other than error."""


class ChatCompletion(msgspec.Struct, kw_only=True):
    id: str
    object: str = "chat.completion"
    created: int
    model: str
    system_fingerprint: str
    choices: list[Choice]
    usage: UsageOut
    timings: Timings
    """No field of OpenAI's, as everywhere."""


class ToolCallDeltaOut(msgspec.Struct, kw_only=True):
    index: int
    id: str | UnsetType = UNSET
    type: str | UnsetType = UNSET
    function: FunctionOut


class Delta(msgspec.Struct, kw_only=True):
    role: str | UnsetType = UNSET
    content: str | UnsetType | None = UNSET
    reasoning_content: str | UnsetType = UNSET
    tool_calls: list[ToolCallDeltaOut] | UnsetType = UNSET


class ChunkChoice(msgspec.Struct, kw_only=True):
    index: int = 0
    delta: Delta
    logprobs: Logprobs | None = None
    finish_reason: str | None = None


class ChatCompletionChunk(msgspec.Struct, kw_only=True):
    """The data of one event of a streamed answer; after the last comes [DONE]."""

    id: str
    object: str = "chat.completion.chunk"
    created: int
    model: str
    system_fingerprint: str
    choices: list[ChunkChoice]
    usage: UsageOut | UnsetType = UNSET
    """Of the last chunk, which has no choices, where stream_options.include_usage asks for it."""
    timings: Timings | UnsetType = UNSET
    """Of the last chunk, with or without usage."""
