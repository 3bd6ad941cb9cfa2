"""Ollama's routes that change what models there are: what comes in."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shimmy.server.schemas.model_name import ModelName

MAX_TEXT = 1024 * 1024


class PullRequest(msgspec.Struct, kw_only=True):
    model: ModelName | None = None
    name: ModelName | None = None
    insecure: bool | None = None
    stream: bool | None = None
    """True when absent."""


class CopyRequest(msgspec.Struct, kw_only=True):
    source: ModelName
    destination: ModelName


class MessageLine(msgspec.Struct):
    role: str
    content: str = ""


class CreateRequest(msgspec.Struct, kw_only=True):
    model: ModelName | None = None
    name: ModelName | None = None
    from_: ModelName | None = msgspec.field(name="from", default=None)
    files: dict[str, str] | None = None
    """File name -> digest of a blob that was sent before."""
    template: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    system: Annotated[str, Meta(max_length=MAX_TEXT)] | None = None
    license: str | list[str] | None = None
    parameters: dict[str, Any] | None = None
    messages: Annotated[list[MessageLine], Meta(max_length=256)] | None = None
    stream: bool | None = None
    """True when absent."""
    adapters: Any = None
    quantize: str | None = None
    quantization: str | None = None
    modelfile: str | None = None
    path: str | None = None
