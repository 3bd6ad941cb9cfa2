"""POST /v1/messages and /v1/messages/count_tokens: what comes in and what goes out."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from shimmy.errors import InvalidRequestError
from shimmy.output import CacheDiagnosis, ContextUse
from shimmy.server.schemas.chat import MAX_MESSAGES, MAX_TOOLS, UsageOut
from shimmy.server.schemas.generation import MAX_STOP, GenerationFields
from shimmy.server.schemas.model_name import ModelName
from shimmy.server.schemas.sampling import Count
from shimmy.server.schemas.timings import Timings


class Source(msgspec.Struct):
    """Of a document."""

    type: str
    data: str | None = None


class BlockIn(msgspec.Struct):
    """A part of a message; `type` says which of the fields it has."""

    type: str
    text: str | None = None
    id: str | None = None
    name: str | None = None
    input: dict[str, Any] | None = None
    tool_use_id: str | None = None
    content: str | list[BlockIn] | dict[str, Any] | None = None
    is_error: bool | None = None
    thinking: str | None = None
    source: Source | str | None = None
    title: str | None = None


class TurnIn(msgspec.Struct):
    role: str
    content: str | list[BlockIn]


class CustomTool(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1)]
    type: str | None = None
    description: str | None = None
    input_schema: dict[str, Any] | None = None
    strict: bool | None = None


class ToolChoiceIn(msgspec.Struct):
    type: str
    name: str | None = None
    disable_parallel_tool_use: bool | None = None


class Thinking(msgspec.Struct):
    type: str
    budget_tokens: Annotated[int, Meta(ge=1024)] | None = None
    """Checked as Anthropic does, and not kept to: the engine does not end a thought. `max_tokens` bounds both."""


class OutputFormat(msgspec.Struct):
    type: str
    schema: dict[str, Any] | None = None


class OutputConfig(msgspec.Struct):
    effort: str | None = None
    format: OutputFormat | None = None


class Conversation(GenerationFields, kw_only=True):
    """What both routes take: everything that shapes the prompt. Fields of `GenerationFields` beyond Anthropic's own are
    shimmy's extensions.
    """

    model: ModelName
    messages: Annotated[list[TurnIn], Meta(max_length=MAX_MESSAGES)]
    system: str | list[BlockIn] | None = None
    tools: Annotated[list[CustomTool], Meta(max_length=MAX_TOOLS)] | None = None
    tool_choice: ToolChoiceIn | None = None
    thinking: Thinking | None = None
    output_config: OutputConfig | None = None
    session_id: Annotated[str, Meta(min_length=1, max_length=256)] | None = None
    """shimmy's extension: `messages` continue what this session holds, and are kept in it with the answer."""


class MessagesRequest(Conversation, kw_only=True):
    max_tokens: Count
    stop_sequences: Annotated[list[str], Meta(max_length=MAX_STOP)] | None = None
    stream: bool | None = None

    def stop_strings(self) -> list[str]:
        if "" in (self.stop_sequences or []):
            raise InvalidRequestError("stop_sequences must not hold an empty string", "stop_sequences")
        return super().stop_strings() + (self.stop_sequences or [])


class ThinkingTokens(msgspec.Struct):
    thinking_tokens: int


class MessageUsage(msgspec.Struct, kw_only=True):
    input_tokens: int
    """Those that were computed; the prompt is the sum of the three."""
    cache_creation_input_tokens: int = 0
    cache_read_input_tokens: int
    output_tokens: int
    output_tokens_details: ThinkingTokens
    cache_miss: str | UnsetType = UNSET
    """As `PromptTokensDetails`, and no field of Anthropic's: its `diagnostics` compare two requests by their ids."""
    cache_diverged_at: int | UnsetType = UNSET
    cache_diagnosis: CacheDiagnosis | UnsetType = UNSET
    context: ContextUse | UnsetType = UNSET

    @classmethod
    def of(cls, usage: UsageOut) -> MessageUsage:
        cached = usage.prompt_tokens_details.cached_tokens
        return cls(
            input_tokens=usage.prompt_tokens - cached,
            cache_read_input_tokens=cached,
            output_tokens=usage.completion_tokens,
            output_tokens_details=ThinkingTokens(usage.completion_tokens_details.reasoning_tokens),
            cache_miss=usage.prompt_tokens_details.cache_miss,
            cache_diverged_at=usage.prompt_tokens_details.cache_diverged_at,
            cache_diagnosis=usage.prompt_tokens_details.cache_diagnosis,
            context=usage.context,
        )


class Block(msgspec.Struct, kw_only=True, omit_defaults=True):
    """A part of the answer. `type` is text, thinking or tool_use."""

    type: str
    text: str | UnsetType = UNSET
    thinking: str | UnsetType = UNSET
    signature: str | UnsetType = UNSET
    id: str | UnsetType = UNSET
    name: str | UnsetType = UNSET
    input: dict[str, Any] | UnsetType = UNSET


class Message(msgspec.Struct, kw_only=True):
    id: str
    type: str = "message"
    role: str = "assistant"
    model: str
    content: list[Block]
    stop_reason: str | None
    stop_sequence: str | None
    usage: MessageUsage
    session_id: str | UnsetType = UNSET
    timings: Timings | UnsetType = UNSET
    """shimmy's extension; in a stream, of message_delta."""


class TokenCount(msgspec.Struct):
    input_tokens: int


class ModelInfoOut(msgspec.Struct, kw_only=True):
    type: str = "model"
    id: str
    display_name: str
    created_at: str
    """RFC 3339."""


class ModelPage(msgspec.Struct, kw_only=True):
    data: list[ModelInfoOut]
    has_more: bool = False
    first_id: str | None
    last_id: str | None


class MessageEvent(msgspec.Struct, kw_only=True):
    """The data of one event of a streamed answer; what else it has depends on `type`."""

    type: str
    """message_start, content_block_start, content_block_delta, content_block_stop, message_delta, message_stop, ping or
    error."""
