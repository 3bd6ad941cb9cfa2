"""LoRA adapters: how requests name them, and the routes about them."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MAX_LORA = 64

Scale = Annotated[float, Meta(ge=-100, le=100)]
Scales = Annotated[dict[str, Scale], Meta(max_length=MAX_LORA)]


class NumberedScale(msgspec.Struct):
    """An adapter by its place in the model's list, as llama-server's clients name it."""

    id: Annotated[int, Meta(ge=0, le=2**31 - 1)]
    scale: Scale


NumberedScales = Annotated[list[NumberedScale], Meta(max_length=MAX_LORA)]


class AdapterLoad(msgspec.Struct, kw_only=True):
    """POST /api/models/{name}/adapters."""

    name: str | None = None
    """Of an adapter that the model has or that was found; with `path` what it is to be called."""
    path: str | None = None
    """A GGUF file in one of the folders that are searched for models, absolute or relative to one of them."""
    scale: Scale | None = None
    """The default scale from now on; null leaves it as it is."""


class AdapterScales(msgspec.Struct, kw_only=True):
    """PATCH /api/models/{name}/adapters."""

    scales: Scales
    """Adapter name -> default scale; 0: not applied. Adapters that are not named keep theirs."""


class AdapterLine(msgspec.Struct, kw_only=True):
    id: int
    name: str
    file: str
    """Its name, without the folder."""
    scale: float
    """The default: what requests get that name no adapter."""
    state: str
    """loaded, unloaded (the first request that names it loads it), or failed."""
    size_bytes: int | None
    error: str | None
    """Why the file as it is now could not be loaded; what was loaded of it before stays."""


class AdapterLines(msgspec.Struct, kw_only=True):
    model: str
    adapters: list[AdapterLine]


class NumberedAdapter(msgspec.Struct, kw_only=True):
    """One of GET /lora-adapters."""

    id: int
    path: str
    """The name of its file, without the folder."""
    scale: float


class ScalesSet(msgspec.Struct, kw_only=True):
    success: bool = True
