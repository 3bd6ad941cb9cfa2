"""What is asked of an engine: plain values that also travel to a runner process as msgpack."""

from __future__ import annotations

from typing import Any

import msgspec


class ChatPrompt(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A conversation, in OpenAI's chat completion shapes, for the model's chat template to render.

    `messages` and `tools` are the JSON objects of that API (roles system, developer, user, assistant, tool; content a
    string, a list of text parts, or null beside tool_calls).
    """

    messages: list[dict[str, Any]]
    tools: list[dict[str, Any]] = []
    tool_choice: str = "auto"
    """auto, required or none."""
    parallel_tool_calls: bool = True
    add_generation_prompt: bool = True
    enable_thinking: bool = True
    template_kwargs: dict[str, Any] = {}


class GenerateRequest(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """One generation.

    `prompt` is text (special tokens in it are parsed, BOS added as the model asks), token ids, or a conversation.
    `sampling` holds fields of `_core.SamplingParams`, only those that were set; unknown names and values out of range
    raise InvalidRequestError. `max_tokens` None means: until the context is full. `logprobs` is the number of
    alternatives per token (0-20); None turns them off. `lora` maps names of loaded adapters to scales.
    """

    request_id: str
    prompt: str | list[int] | ChatPrompt
    sampling: dict[str, Any] = {}
    max_tokens: int | None = None
    stop: list[str] = []
    stop_token_ids: list[int] = []
    ignore_eos: bool = False
    logprobs: int | None = None
    lora: dict[str, float] = {}
