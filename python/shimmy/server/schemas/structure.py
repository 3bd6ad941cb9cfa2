"""The fields of a request that say what its output has to look like, under every name that clients know them by."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shimmy.sampling_fields import SamplingFields

MAX_CHOICES = 4096

JsonSchema = str | dict[str, Any]
"""A schema; vLLM's clients also send it as text."""
Choices = Annotated[list[str], Meta(max_length=MAX_CHOICES)]


class JsonSchemaFormat(msgspec.Struct, kw_only=True):
    schema: dict[str, Any] | None = None
    strict: bool | None = None
    name: str | None = None


class ResponseFormat(msgspec.Struct, kw_only=True):
    """OpenAI's; `schema` beside `type` is llama-server's way to write it."""

    type: str
    json_schema: JsonSchemaFormat | None = None
    schema: dict[str, Any] | None = None


class StructuredOutputs(msgspec.Struct, kw_only=True):
    """vLLM's `structured_outputs`."""

    json: JsonSchema | None = None
    regex: str | None = None
    choice: Choices | None = None
    grammar: str | None = None
    """GBNF."""
    json_object: bool | None = None


class StructureFields(SamplingFields, kw_only=True):
    """At most one of them may be set."""

    response_format: ResponseFormat | None = None
    structured_outputs: StructuredOutputs | None = None
    guided_json: JsonSchema | None = None
    guided_regex: str | None = None
    guided_choice: Choices | None = None
    guided_grammar: str | None = None
    """GBNF, as `grammar`; the guided_ names are vLLM's older ones."""
    json_schema: dict[str, Any] | None = None
    grammar: str | None = None
    """GBNF; this and `json_schema` are llama-server's names."""
