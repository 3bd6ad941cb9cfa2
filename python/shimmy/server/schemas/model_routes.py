"""shimmy's routes about models: what comes in and what goes out."""

from __future__ import annotations

import msgspec
from msgspec import UNSET, UnsetType

from shimmy.model_info import DeviceUse
from shimmy.server.schemas.model_name import ModelName


class LoadRequest(msgspec.Struct, kw_only=True):
    """POST /api/models/load and unload; the name may stand in the path instead."""

    model: ModelName | None = None
    name: ModelName | None = None
    keep_alive: str | float | None = None
    """How long it stays loaded when nobody uses it, as Ollama's: seconds, or "5m"; negative: for ever. Of a load."""


class ModelLine(msgspec.Struct, kw_only=True):
    name: str
    size_bytes: int
    model_type: str
    """chat, base, embedding, rerank, or virtual: a name that means one of several models."""
    parameter_count: str
    """Such as "8B"."""
    source: str
    architecture: str | None
    quantization: str | None
    context_length: int | None
    adapters: list[str]
    aliases: list[str]
    """Other names for it."""
    state: str
    """unloaded, loading, loaded, failed or dead; of a virtual name the best of its models."""
    capabilities: list[str]
    """chat, completion, embedding, rerank, tools, thinking, insert."""
    chooses: str | UnsetType = UNSET
    """Of a virtual name: auto, fallback or split."""
    models: list[str] | UnsetType = UNSET
    """Of a virtual name: those it may mean."""


class ModelLines(msgspec.Struct):
    models: list[ModelLine]


class Discovered(msgspec.Struct):
    discovered: int
    models: list[ModelLine]


class Loaded(msgspec.Struct, kw_only=True):
    message: str
    model: str
    status: str
    load_seconds: float | None = None


class Loading(msgspec.Struct, kw_only=True):
    """An event of a load under way. `progress` is 0 to 1."""

    model: str
    status: str
    progress: float


class ModelState(msgspec.Struct, kw_only=True):
    """Times are seconds since the epoch."""

    model: str
    status: str
    loaded: bool
    progress: float
    in_use: int
    last_used: float | None
    error: str | None
    pinned: bool = False
    """Neither time nor other models unload it."""
    expires_at: float | None = None
    """When it is unloaded if nobody uses it any more; null: never, or it is not loaded."""
    memory_bytes: int | None = None
    """What its process takes, as measured last: a part only of pages that it shares with others."""
    vram_bytes: int | None = None
    """What its load took of the GPUs, besides their drivers."""
    vram_limit: int | None = None
    """What was left for it of the budget for GPU memory; null: there is none. Layers beyond it are not on GPUs."""
    size_bytes: int | None = None
    n_ctx: int | None = None
    backend: str | None = None
    devices: list[str] = []
    n_layer: int | None = None
    n_gpu_layers: int | None = None
    """Layers whose weights are on GPUs, of n_layer + 1: the output layer counts as one."""
    n_partial_layers: int | None = None
    """Of them, those with weights that stayed in the host's memory."""
    memory: list[DeviceUse] = []
    """What model and KV cache take of each device, and of the host, in bytes."""
    adapters: list[str] = []
    running: int | None = None
    """Requests that hold a sequence now; of a loaded model, as `waiting` and the cells."""
    waiting: int | None = None
    kv_cells_used: int | None = None
    kv_cells_total: int | None = None
    tokens_per_second: float | None = None
    """Of completions, of all requests together, over about the last two seconds of work."""


class UnloadQuery(msgspec.Struct, kw_only=True):
    """The parameters of DELETE /api/models/{name}."""

    force: bool = False
    """Also when requests run on it, which fail."""
