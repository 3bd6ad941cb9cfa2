"""What to load, and what was loaded: plain values that also travel to and from a runner process."""

from __future__ import annotations

from typing import Any, Literal

import msgspec

Tune = Literal["auto", "on", "off"]
"""What to do with measured settings (`shimmy tune`): use those stored; measure where none are; neither."""


class KvStoreSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where an engine keeps prefixes over its end."""

    folder: str
    """Shared with other models and other processes."""
    budget: int | None = None
    """Bytes of all that is in it; None: a tenth of what the disk has left, at most 4 GiB."""


class LoadSpec(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """Everything needed to start one engine.

    `model`, `context`, `engine` and `embedder` hold fields of `_core.ModelParams`, `_core.ContextParams`,
    `_core.EngineParams` and `_core.EmbedderParams`, only those that were set.
    """

    name: str
    path: str
    adapters: dict[str, str] = {}
    """LoRA adapters to load: name -> file. A request chooses by name."""
    draft: str | None = None
    """A GGUF file of a small model of the same vocabulary, which proposes tokens for speculation."""
    chat_template: str | None = None
    """Jinja source; None takes the model's own, then the family's."""
    gpu_backend: str = "auto"
    """The backend that must hold the layers, see `Placement`."""
    vram_limit: int | None = None
    """Bytes that it may take of all GPUs together, besides what drivers take; None: what is free of them."""
    model: dict[str, Any] = {}
    context: dict[str, Any] = {}
    engine: dict[str, Any] = {}
    embedder: dict[str, Any] = {}
    kv_store: KvStoreSpec | None = None
    """None: what is cached ends with the engine."""
    tune: Tune = "off"


class DeviceUse(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What a model takes of one device, or of the host's memory, as llama.cpp's accounting says. All in bytes."""

    name: str
    """As gpu-info shows it."""
    description: str = ""
    """The hardware's own name."""
    type: str = "cpu"
    """cpu, gpu or igpu."""
    backend: str = "CPU"
    weights: int = 0
    """Those mapped from the file too."""
    kv_cache: int = 0
    compute: int = 0
    """Buffers for what is computed."""
    memory_free: int = 0
    """Of the whole device, once the model was loaded."""
    memory_total: int = 0
    """Of the whole device; 0 when it does not tell."""

    @property
    def used(self) -> int:
        return self.weights + self.kv_cache + self.compute


class ModelInfo(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A loaded model as its engine reports it."""

    name: str
    path: str
    architecture: str
    description: str
    """llama.cpp's own words, for example "qwen3 0.6B Q4_K - Medium"."""
    n_params: int
    size_bytes: int
    n_ctx_train: int
    n_ctx: int
    """Tokens that one request may take, prompt and completion together; of a model that only embeds: one input."""
    n_seq_max: int
    n_vocab: int
    adapters: list[str] = []
    devices: list[str] = []
    backend: str = "CPU"
    """The backend that holds the weights: CPU, CUDA, Vulkan, ..."""
    n_layer: int = 0
    n_gpu_layers: int = 0
    """Layers whose weights are on GPUs, of n_layer + 1: the output layer counts as one."""
    n_partial_layers: int = 0
    """Of them, those with weights that stayed in the host's memory, experts for example."""
    memory: list[DeviceUse] = []
    """What model and KV cache take of each device, and of the host."""
    vram_bytes: int = 0
    """Of GPU memory that the load took."""
    vram_limit: int | None = None
    """Bytes that it was held to; None: what was free."""
    vram_total: int = 0
    """Memory of all GPUs that this build can use."""
    has_chat_template: bool = False
    """Whether the file brings one of its own; otherwise its family's is used."""
    can_generate: bool = True
    """False for encoders: they embed or rank only."""
    n_embd: int = 0
    """Width of embeddings."""
    pooling: str = ""
    """How the file says that embeddings are pooled; "rank" is a reranker. Empty when it says nothing."""
    fim_tokens: list[int] = []
    """Before a prefix, before a suffix and before the middle that is to be filled in; empty when it has none."""
    llama_cpp_commit: str = ""
    cpu_features: list[str] = []
    load_seconds: float = 0.0
    tuned: dict[str, Any] = {}
    """Options that it was loaded with because `shimmy tune` had measured that they are faster."""


class EngineStats(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """A snapshot of an engine's counters. Counts since start unless said otherwise."""

    running: int = 0
    """Requests holding a sequence now."""
    waiting: int = 0
    """Requests in the queue now."""
    kv_cells_used: int = 0
    kv_cells_total: int = 0
    steps: int = 0
    preemptions: int = 0
    """Times that a request gave its KV cells to others and was computed again."""
    requests_finished: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    drafted_tokens: int = 0
    """Proposed by speculation; of those, `accepted_tokens` came out."""
    accepted_tokens: int = 0
    computed_tokens: int = 0
    """That went through the model: prompts, completions and drafts."""
    completion_tokens: int = 0
    backend_rows: int = 0
    """Outputs whose token was found where the logits were computed (`backend_sampling`)."""
    tokens_per_second: float = 0.0
    """Of completions, lately: over about two seconds of steps that made some."""
    step_seconds: float = 0.0
    """Time spent in steps."""
    decode_seconds: float = 0.0
    """Time of it spent inside llama_decode."""
