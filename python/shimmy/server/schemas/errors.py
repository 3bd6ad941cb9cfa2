"""What goes out when a request fails, in the three shapes that clients know."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType


class OpenAiProblem(msgspec.Struct, kw_only=True):
    message: str
    type: str
    param: str | None
    """The field that is wrong."""
    code: str | None
    n_prompt_tokens: int | UnsetType = UNSET
    """Both numbers of a prompt that is too long."""
    n_ctx: int | UnsetType = UNSET


class OpenAiError(msgspec.Struct, kw_only=True):
    error: OpenAiProblem


class AnthropicProblem(msgspec.Struct, kw_only=True):
    type: str
    message: str


class AnthropicError(msgspec.Struct, kw_only=True):
    type: str = "error"
    error: AnthropicProblem
    request_id: str | None


class NativeError(msgspec.Struct, kw_only=True):
    """Ollama's and shimmy's own."""

    error: str
