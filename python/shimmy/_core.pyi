"""
The native runtime of shimmy: llama.cpp's objects with checked arguments, and the engine on top of them.
"""

from __future__ import annotations
import collections.abc
import numpy
import numpy.typing
import os
import typing
import typing_extensions

__all__: list[str] = [
    "Batch",
    "CacheMiss",
    "ChatDelta",
    "ChatFormat",
    "ChatParser",
    "Context",
    "ContextParams",
    "DecodeStatus",
    "Detokenizer",
    "Device",
    "DeviceMemory",
    "EmbedOutput",
    "Embedder",
    "EmbedderParams",
    "EmbedderStats",
    "Engine",
    "EngineFit",
    "EngineParams",
    "EngineStats",
    "FinishReason",
    "GgufSummary",
    "Grammar",
    "GrammarCompiler",
    "GrammarMatcher",
    "KVCache",
    "LoraAdapter",
    "Model",
    "ModelParams",
    "Output",
    "RenderedChat",
    "Sampler",
    "SamplingParams",
    "Tokenizer",
    "ToolCallDelta",
    "Usage",
    "build_info",
    "check_schema",
    "devices",
    "fit_engine",
    "gbnf_to_lark",
    "llguidance_schema",
    "logprobs",
    "read_gguf",
    "set_log_callback",
]

class Device:
    """
    A device that models can run on.
    """
    def __repr__(self) -> str: ...
    @property
    def backend(self) -> str:
        """
        The backend that offers it: CPU, CUDA, Vulkan, ...
        """
    @property
    def description(self) -> str:
        """
        The hardware's own name.
        """
    @property
    def memory_free(self) -> int:
        """
        Bytes.
        """
    @property
    def memory_total(self) -> int:
        """
        Bytes.
        """
    @property
    def name(self) -> str:
        """
        As `ModelParams.devices` takes it, for example CPU or CUDA0.
        """
    @property
    def type(self) -> str:
        """
        cpu, gpu, igpu, accel or meta.
        """

class ModelParams:
    """
    How a model is loaded.
    """
    def __init__(
        self,
        *,
        n_gpu_layers: int = -1,
        gpu_margin_mib: int = 1024,
        devices: list[str] = [],
        rpc_servers: list[str] = [],
        split_mode: str = "layer",
        main_gpu: int = 0,
        tensor_split: list[float] = [],
        n_cpu_moe: int = 0,
        tensor_overrides: list[str] = [],
        use_mmap: bool = True,
        use_mlock: bool = False,
        use_extra_bufts: bool = True,
        both_layouts: bool = True,
        check_tensors: bool = False,
        vocab_only: bool = False,
    ) -> None:
        """
        Raises InvalidRequestError for unknown names and values of the wrong type.
        """
    def __repr__(self) -> str: ...
    @property
    def both_layouts(self) -> bool:
        """
        Map repacked weights too, where that computes prompts faster.
        """
    @both_layouts.setter
    def both_layouts(self, arg0: bool) -> None: ...
    @property
    def check_tensors(self) -> bool:
        """
        Validate every tensor's data while loading.
        """
    @check_tensors.setter
    def check_tensors(self, arg0: bool) -> None: ...
    @property
    def devices(self) -> list[str]:
        """
        Names from devices(); empty: all GPUs; CPU alone: no GPU.
        """
    @devices.setter
    def devices(self, arg0: collections.abc.Sequence[str]) -> None: ...
    @property
    def gpu_margin_mib(self) -> int:
        """
        Memory of each GPU that fitting leaves free.
        """
    @gpu_margin_mib.setter
    def gpu_margin_mib(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def main_gpu(self) -> int:
        """
        Index into devices, for split_mode none.
        """
    @main_gpu.setter
    def main_gpu(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_cpu_moe(self) -> int:
        """
        Experts of the first N layers stay with the CPU; -1: of all layers.
        """
    @n_cpu_moe.setter
    def n_cpu_moe(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_gpu_layers(self) -> int:
        """
        Layers to keep on GPUs; -1: as many as fit (LLM and the server find out; `Model` takes all), -2: all.
        """
    @n_gpu_layers.setter
    def n_gpu_layers(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def rpc_servers(self) -> list[str]:
        """
        host:port of RPC servers, whose devices are GPUs too.
        """
    @rpc_servers.setter
    def rpc_servers(self, arg0: collections.abc.Sequence[str]) -> None: ...
    @property
    def split_mode(self) -> str:
        """
        Over several GPUs: none, layer, row, tensor.
        """
    @split_mode.setter
    def split_mode(self, arg0: str) -> None: ...
    @property
    def tensor_overrides(self) -> list[str]:
        """
        PATTERN=BUFFER: weights whose names match the regular expression go to that device, for example CPU.
        """
    @tensor_overrides.setter
    def tensor_overrides(self, arg0: collections.abc.Sequence[str]) -> None: ...
    @property
    def tensor_split(self) -> list[float]:
        """
        Share of each GPU; empty: by free memory.
        """
    @tensor_split.setter
    def tensor_split(self, arg0: collections.abc.Sequence[typing.SupportsFloat | typing.SupportsIndex]) -> None: ...
    @property
    def use_extra_bufts(self) -> bool:
        """
        Repack weights for the CPU's matrix instructions.
        """
    @use_extra_bufts.setter
    def use_extra_bufts(self, arg0: bool) -> None: ...
    @property
    def use_mlock(self) -> bool:
        """
        Keep the weights from being swapped out.
        """
    @use_mlock.setter
    def use_mlock(self, arg0: bool) -> None: ...
    @property
    def use_mmap(self) -> bool:
        """
        Map the file instead of reading it.
        """
    @use_mmap.setter
    def use_mmap(self, arg0: bool) -> None: ...
    @property
    def vocab_only(self) -> bool:
        """
        Tokenizer and metadata only; no context can be made.
        """
    @vocab_only.setter
    def vocab_only(self, arg0: bool) -> None: ...

class ContextParams:
    """
    How a context is made.
    """
    def __init__(
        self,
        *,
        n_ctx: int = 0,
        n_batch: int = 2048,
        n_ubatch: int = 512,
        n_seq_max: int = 1,
        n_outputs_max: int = 0,
        n_threads: int = 0,
        n_threads_batch: int = 0,
        kv_unified: bool = True,
        embeddings: bool = False,
        offload_kqv: bool = True,
        op_offload: bool = True,
        switch_layout: bool = True,
        swa_full: bool = False,
        pooling: str = "",
        attention: str = "",
        flash_attn: str = "auto",
        type_k: str = "f16",
        type_v: str = "f16",
        rope_freq_base: float = 0.0,
        rope_freq_scale: float = 0.0,
        poll: int = 10,
    ) -> None:
        """
        Raises InvalidRequestError for unknown names and values of the wrong type.
        """
    def __repr__(self) -> str: ...
    @property
    def attention(self) -> str:
        """
        causal or non-causal; empty: as the model says.
        """
    @attention.setter
    def attention(self, arg0: str) -> None: ...
    @property
    def embeddings(self) -> bool:
        """
        Compute embeddings instead of logits only.
        """
    @embeddings.setter
    def embeddings(self, arg0: bool) -> None: ...
    @property
    def flash_attn(self) -> str:
        """
        auto, on or off.
        """
    @flash_attn.setter
    def flash_attn(self, arg0: str) -> None: ...
    @property
    def kv_unified(self) -> bool:
        """
        One pool of cells for all sequences (seq_cp shares cells) or one per sequence.
        """
    @kv_unified.setter
    def kv_unified(self, arg0: bool) -> None: ...
    @property
    def n_batch(self) -> int:
        """
        Most tokens in one decode call.
        """
    @n_batch.setter
    def n_batch(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_ctx(self) -> int:
        """
        KV cells; 0: what the model was trained with, as far as memory holds it.
        """
    @n_ctx.setter
    def n_ctx(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_outputs_max(self) -> int:
        """
        Most tokens with logits in one decode call; 0: n_batch.
        """
    @n_outputs_max.setter
    def n_outputs_max(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_seq_max(self) -> int:
        """
        Most sequences, 1 to 256.
        """
    @n_seq_max.setter
    def n_seq_max(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_threads(self) -> int:
        """
        Threads for decoding; 0: one per physical core.
        """
    @n_threads.setter
    def n_threads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_threads_batch(self) -> int:
        """
        Threads for prefill; 0: n_threads.
        """
    @n_threads_batch.setter
    def n_threads_batch(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def n_ubatch(self) -> int:
        """
        Most tokens computed at once.
        """
    @n_ubatch.setter
    def n_ubatch(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def offload_kqv(self) -> bool:
        """
        Keep the KV cache on the GPU when layers are there.
        """
    @offload_kqv.setter
    def offload_kqv(self, arg0: bool) -> None: ...
    @property
    def op_offload(self) -> bool:
        """
        Run large host operations on the GPU.
        """
    @op_offload.setter
    def op_offload(self, arg0: bool) -> None: ...
    @property
    def poll(self) -> int:
        """
        0-100: how long idle threads spin before they sleep, between operations of a step.
        """
    @poll.setter
    def poll(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def pooling(self) -> str:
        """
        Embeddings: none, mean, cls, last, rank; empty: as the model says.
        """
    @pooling.setter
    def pooling(self, arg0: str) -> None: ...
    @property
    def rope_freq_base(self) -> float:
        """
        0: as the model says.
        """
    @rope_freq_base.setter
    def rope_freq_base(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def rope_freq_scale(self) -> float:
        """
        0: as the model says.
        """
    @rope_freq_scale.setter
    def rope_freq_scale(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def swa_full(self) -> bool:
        """
        Full-size cache for sliding-window layers: any prefix can be reused.
        """
    @swa_full.setter
    def swa_full(self, arg0: bool) -> None: ...
    @property
    def switch_layout(self) -> bool:
        """
        Use both layouts of a model that has them; False: the repacked one only.
        """
    @switch_layout.setter
    def switch_layout(self, arg0: bool) -> None: ...
    @property
    def type_k(self) -> str:
        """
        KV cache types: f32 f16 bf16 q8_0 q5_1 q5_0 q4_1 q4_0 iq4_nl.
        """
    @type_k.setter
    def type_k(self, arg0: str) -> None: ...
    @property
    def type_v(self) -> str:
        """
        As type_k.
        """
    @type_v.setter
    def type_v(self, arg0: str) -> None: ...

class SamplingParams:
    """
    How tokens are chosen. Names are OpenAI's and llama-server's; by default nothing truncates or penalises.
    """
    def __init__(
        self,
        *,
        temperature: float = 1.0,
        top_k: int = 0,
        top_p: float = 1.0,
        min_p: float = 0.0,
        typical_p: float = 1.0,
        top_n_sigma: float = -1.0,
        min_keep: int = 1,
        repeat_penalty: float = 1.0,
        repeat_last_n: int = 64,
        frequency_penalty: float = 0.0,
        presence_penalty: float = 0.0,
        xtc_probability: float = 0.0,
        xtc_threshold: float = 0.1,
        dynatemp_range: float = 0.0,
        dynatemp_exponent: float = 1.0,
        dry_multiplier: float = 0.0,
        dry_base: float = 1.75,
        dry_allowed_length: int = 2,
        dry_penalty_last_n: int = -1,
        dry_sequence_breakers: list[str] = ["\n", ":", '"', "*"],
        mirostat: int = 0,
        mirostat_tau: float = 5.0,
        mirostat_eta: float = 0.1,
        adaptive_target: float = -1.0,
        adaptive_decay: float = 0.9,
        samplers: list[str] = [
            "penalties",
            "dry",
            "top_n_sigma",
            "top_k",
            "typical_p",
            "top_p",
            "min_p",
            "xtc",
            "temperature",
        ],
        logit_bias: dict[int, float] = {},
        seed: int | None = None,
    ) -> None:
        """
        Raises InvalidRequestError for unknown names and values of the wrong type.
        """
    def __repr__(self) -> str: ...
    @property
    def adaptive_decay(self) -> float:
        """
        How slowly adaptive-p forgets, 0 to 0.99.
        """
    @adaptive_decay.setter
    def adaptive_decay(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def adaptive_target(self) -> float:
        """
        Adaptive-p: aim at this probability; negative: off.
        """
    @adaptive_target.setter
    def adaptive_target(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def dry_allowed_length(self) -> int:
        """
        Repeated tokens that cost nothing.
        """
    @dry_allowed_length.setter
    def dry_allowed_length(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def dry_base(self) -> float:
        """
        Growth of the DRY penalty per repeated token.
        """
    @dry_base.setter
    def dry_base(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def dry_multiplier(self) -> float:
        """
        0: off.
        """
    @dry_multiplier.setter
    def dry_multiplier(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def dry_penalty_last_n(self) -> int:
        """
        0: off, -1: the whole context.
        """
    @dry_penalty_last_n.setter
    def dry_penalty_last_n(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def dry_sequence_breakers(self) -> list[str]:
        """
        Strings at which a repetition is taken to end.
        """
    @dry_sequence_breakers.setter
    def dry_sequence_breakers(self, arg0: collections.abc.Sequence[str]) -> None: ...
    @property
    def dynatemp_exponent(self) -> float:
        """
        How the temperature follows the entropy.
        """
    @dynatemp_exponent.setter
    def dynatemp_exponent(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def dynatemp_range(self) -> float:
        """
        Temperature varies by this much with the entropy; 0: off.
        """
    @dynatemp_range.setter
    def dynatemp_range(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def frequency_penalty(self) -> float:
        """
        -2 to 2.
        """
    @frequency_penalty.setter
    def frequency_penalty(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def logit_bias(self) -> dict[int, float]:
        """
        Token id -> added to its logit.
        """
    @logit_bias.setter
    def logit_bias(
        self,
        arg0: collections.abc.Mapping[
            typing.SupportsInt | typing.SupportsIndex, typing.SupportsFloat | typing.SupportsIndex
        ],
    ) -> None: ...
    @property
    def min_keep(self) -> int:
        """
        Truncating samplers keep at least this many.
        """
    @min_keep.setter
    def min_keep(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def min_p(self) -> float:
        """
        Keep tokens with at least min_p times the likeliest's probability; 0: off.
        """
    @min_p.setter
    def min_p(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def mirostat(self) -> int:
        """
        0: off, 1 or 2: replaces the truncating samplers.
        """
    @mirostat.setter
    def mirostat(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def mirostat_eta(self) -> float:
        """
        Learning rate.
        """
    @mirostat_eta.setter
    def mirostat_eta(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def mirostat_tau(self) -> float:
        """
        Target surprise, in bits.
        """
    @mirostat_tau.setter
    def mirostat_tau(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def presence_penalty(self) -> float:
        """
        -2 to 2.
        """
    @presence_penalty.setter
    def presence_penalty(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def repeat_last_n(self) -> int:
        """
        Tokens that penalties look back on; 0: none, -1: the whole context.
        """
    @repeat_last_n.setter
    def repeat_last_n(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def repeat_penalty(self) -> float:
        """
        1: off.
        """
    @repeat_penalty.setter
    def repeat_penalty(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def samplers(self) -> list[str]:
        """
        The order in which samplers run; those that are left out do not run. "infill" is known too.
        """
    @samplers.setter
    def samplers(self, arg0: collections.abc.Sequence[str]) -> None: ...
    @property
    def seed(self) -> int | None:
        """
        None: a random one.
        """
    @seed.setter
    def seed(self, arg0: typing.SupportsInt | typing.SupportsIndex | None) -> None: ...
    @property
    def temperature(self) -> float:
        """
        0: greedy.
        """
    @temperature.setter
    def temperature(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def top_k(self) -> int:
        """
        Keep the k likeliest; 0: off.
        """
    @top_k.setter
    def top_k(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def top_n_sigma(self) -> float:
        """
        Keep logits within n standard deviations of the highest; <= 0: off.
        """
    @top_n_sigma.setter
    def top_n_sigma(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def top_p(self) -> float:
        """
        Nucleus; 1: off.
        """
    @top_p.setter
    def top_p(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def typical_p(self) -> float:
        """
        Locally typical sampling; 1: off.
        """
    @typical_p.setter
    def typical_p(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def xtc_probability(self) -> float:
        """
        0: off.
        """
    @xtc_probability.setter
    def xtc_probability(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def xtc_threshold(self) -> float:
        """
        > 0.5: off.
        """
    @xtc_threshold.setter
    def xtc_threshold(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...

class EngineParams:
    """
    How the engine batches.
    """
    def __init__(
        self,
        *,
        max_num_seqs: int = 0,
        max_waiting: int = 512,
        max_waiting_tokens: int = 16777216,
        prefill_budget: int = 512,
        prefill_seconds: float = 0.5,
        prefix_cache: bool = True,
        cache_ram_mib: int = -1,
        deterministic: bool = False,
        max_draft: int = 16,
        adaptive_draft: bool = True,
        adaptive_threads: bool = True,
        sampling_threads: int = 0,
        backend_sampling: str = "auto",
    ) -> None:
        """
        Raises InvalidRequestError for unknown names and values of the wrong type.
        """
    def __repr__(self) -> str: ...
    @property
    def adaptive_draft(self) -> bool:
        """
        Draft only as much as pays by the measured cost of steps; False: all that is found.
        """
    @adaptive_draft.setter
    def adaptive_draft(self, arg0: bool) -> None: ...
    @property
    def adaptive_threads(self) -> bool:
        """
        Compute with fewer threads for as long as that is faster: other processes are busy.
        """
    @adaptive_threads.setter
    def adaptive_threads(self, arg0: bool) -> None: ...
    @property
    def backend_sampling(self) -> str:
        """
        Greedy requests get token ids from where the logits are computed: auto (GPUs that gain by it), on or off.
        """
    @backend_sampling.setter
    def backend_sampling(self, arg0: str) -> None: ...
    @property
    def cache_ram_mib(self) -> int:
        """
        Host memory for prefixes that left the KV cache; 0: none, -1: an eighth of what is free, at most 2,048.
        """
    @cache_ram_mib.setter
    def cache_ram_mib(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def deterministic(self) -> bool:
        """
        Greedy answers are equal to the last bit alone, beside others and after a cache hit; costs the speed of batching.
        """
    @deterministic.setter
    def deterministic(self, arg0: bool) -> None: ...
    @property
    def max_draft(self) -> int:
        """
        Most tokens that speculation proposes at once for a request, 0 to 64; 0: off.
        """
    @max_draft.setter
    def max_draft(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_num_seqs(self) -> int:
        """
        Most requests that hold a sequence at once, up to 256; 0: 16, and 64 where a GPU computes.
        """
    @max_num_seqs.setter
    def max_num_seqs(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_waiting(self) -> int:
        """
        Most requests in the queue; more: QueueFullError.
        """
    @max_waiting.setter
    def max_waiting(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_waiting_tokens(self) -> int:
        """
        Most prompt tokens in the queue; more: QueueFullError.
        """
    @max_waiting_tokens.setter
    def max_waiting_tokens(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def prefill_budget(self) -> int:
        """
        Most prompt tokens per step while others decode; alone a prompt may fill n_batch.
        """
    @prefill_budget.setter
    def prefill_budget(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def prefill_seconds(self) -> float:
        """
        As many of them as take about this long, by measured steps; 0: always the most.
        """
    @prefill_seconds.setter
    def prefill_seconds(self, arg0: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    @property
    def prefix_cache(self) -> bool:
        """
        Keep finished sequences and reuse their common prefix.
        """
    @prefix_cache.setter
    def prefix_cache(self, arg0: bool) -> None: ...
    @property
    def sampling_threads(self) -> int:
        """
        Threads that sample sequences of one step in parallel; 0: one per physical core.
        """
    @sampling_threads.setter
    def sampling_threads(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class EmbedderParams:
    """
    How an embedder batches and pools.
    """
    def __init__(
        self,
        *,
        max_num_seqs: int = 32,
        max_waiting: int = 16384,
        max_input_tokens: int = 0,
        batch_tokens: int = 512,
        pooling: str = "",
    ) -> None:
        """
        Raises InvalidRequestError for unknown names and values of the wrong type.
        """
    def __repr__(self) -> str: ...
    @property
    def batch_tokens(self) -> int:
        """
        Tokens computed at once; raised to max_input_tokens where inputs must not be cut.
        """
    @batch_tokens.setter
    def batch_tokens(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_input_tokens(self) -> int:
        """
        Longest input; 0: what the model was trained with, at most 2,048.
        """
    @max_input_tokens.setter
    def max_input_tokens(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_num_seqs(self) -> int:
        """
        Most inputs computed together, 1 to 256.
        """
    @max_num_seqs.setter
    def max_num_seqs(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def max_waiting(self) -> int:
        """
        Most inputs in the queue; more: QueueFullError.
        """
    @max_waiting.setter
    def max_waiting(self, arg0: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    @property
    def pooling(self) -> str:
        """
        none, mean, cls, last or rank; empty: the model's own, else last (causal) or mean.
        """
    @pooling.setter
    def pooling(self, arg0: str) -> None: ...

class GgufSummary:
    """
    What the header of a GGUF file says; 0 and empty where it says nothing.
    """
    @property
    def alignment(self) -> int:
        """
        Bytes.
        """
    @property
    def architecture(self) -> str: ...
    @property
    def block_count(self) -> int:
        """
        Layers.
        """
    @property
    def context_length(self) -> int:
        """
        Tokens it was trained with.
        """
    @property
    def embedding_length(self) -> int: ...
    @property
    def file_type(self) -> int:
        """
        llama.cpp's number for the quantisation mix.
        """
    @property
    def has_chat_template(self) -> bool: ...
    @property
    def kind(self) -> str:
        """
        model, vocab-only, adapter, projector, control-vector, imatrix or shard.
        """
    @property
    def n_kv(self) -> int:
        """
        Metadata entries.
        """
    @property
    def n_parameters(self) -> int:
        """
        Elements of all tensors in this file.
        """
    @property
    def n_tensors(self) -> int:
        """
        In this file.
        """
    @property
    def n_vocab(self) -> int:
        """
        Tokens.
        """
    @property
    def name(self) -> str:
        """
        general.name
        """
    @property
    def size_bytes(self) -> int:
        """
        Of this file.
        """
    @property
    def split_count(self) -> int:
        """
        Files the model is split into; 0: not split.
        """
    @property
    def split_no(self) -> int:
        """
        This file's place among them, from 0.
        """
    @property
    def version(self) -> int:
        """
        Of the format: 2 or 3.
        """

class Model:
    """
    A loaded GGUF model. Contexts and adapters keep it alive.
    """
    def __init__(
        self, path: os.PathLike[str] | str | bytes, params: ModelParams = ..., progress: typing.Any = None
    ) -> None:
        """
        Load a file, or a split model from its first part. `progress(fraction)` is called with 0.0 to 1.0; returning
        False stops the load. Raises ModelLoadError (damaged, incomplete or unsupported file, stopped load) and
        InvalidRequestError (parameters).
        """
    def __repr__(self) -> str: ...
    @property
    def architecture(self) -> str:
        """
        general.architecture, for example llama.
        """
    @property
    def both_layouts_bytes(self) -> int:
        """
        Of weights that are there in two layouts, see ModelParams.both_layouts.
        """
    @property
    def can_generate(self) -> bool:
        """
        Decoder-only with a cache: neither an encoder nor a diffusion model.
        """
    @property
    def chat_template(self) -> str | None:
        """
        Jinja source of the model's own template.
        """
    @property
    def description(self) -> str:
        """
        llama.cpp's words, for example "qwen3 0.6B Q4_K".
        """
    @property
    def devices(self) -> list[str]:
        """
        That layers may be on; empty: the CPU only.
        """
    @property
    def has_decoder(self) -> bool: ...
    @property
    def has_encoder(self) -> bool: ...
    @property
    def is_causal(self) -> bool:
        """
        Tokens attend to those before them only.
        """
    @property
    def is_recurrent(self) -> bool:
        """
        Recurrent or hybrid: states cannot be cut back.
        """
    @property
    def metadata(self) -> dict[str, str]:
        """
        Scalar GGUF values as text; arrays are left out.
        """
    @property
    def n_cls_out(self) -> int:
        """
        Width of the classification head, with pooling rank.
        """
    @property
    def n_ctx_train(self) -> int:
        """
        Tokens.
        """
    @property
    def n_embd(self) -> int: ...
    @property
    def n_embd_out(self) -> int:
        """
        Width of embeddings.
        """
    @property
    def n_head(self) -> int: ...
    @property
    def n_head_kv(self) -> int: ...
    @property
    def n_layer(self) -> int: ...
    @property
    def n_params(self) -> int: ...
    @property
    def n_swa(self) -> int:
        """
        Width of the sliding window of attention; 0: none.
        """
    @property
    def n_vocab(self) -> int: ...
    @property
    def offloaded_layers(self) -> int:
        """
        Layers on those, of n_layer + 1: the output layer counts as one.
        """
    @property
    def partly_offloaded_layers(self) -> int:
        """
        Of them, those with weights that stayed in the host's memory.
        """
    @property
    def path(self) -> str: ...
    @property
    def pooling(self) -> str:
        """
        none, mean, cls, last or rank; empty: the file says nothing.
        """
    @property
    def rerank_template(self) -> str | None:
        """
        Text of a reranker's prompt, with {query} and {document}.
        """
    @property
    def size_bytes(self) -> int:
        """
        Of all tensors.
        """

class Tokenizer:
    """
    Text to tokens and back. Thread-safe.
    """
    def __init__(self, model: Model) -> None:
        """
        Raises InvalidRequestError for a model without a vocabulary.
        """
    def decode(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        unparse_special: bool = False,
    ) -> str:
        """
        The text of `tokens`, invalid UTF-8 replaced. `unparse_special` writes control tokens out. Raises
        InvalidRequestError for ids that the vocabulary does not have.
        """
    def encode(self, text: typing.Any, *, add_special: bool = True, parse_special: bool = True) -> list[int]:
        """
        Token ids of `text` (str or bytes). `add_special` adds BOS/EOS as the model asks, `parse_special` turns the
        text of control tokens into those tokens. Raises InvalidRequestError over 64 MiB.
        """
    def is_control(self, token: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        Whether it renders as nothing.
        """
    def is_eog(self, token: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        Whether it ends a generation (EOS, EOT, ...).
        """
    def piece(self, token: typing.SupportsInt | typing.SupportsIndex, *, special: bool = False) -> bytes:
        """
        The bytes of one token, possibly part of a character; empty for a control token unless `special`.
        """
    @property
    def add_bos(self) -> bool: ...
    @property
    def add_eos(self) -> bool: ...
    @property
    def add_sep(self) -> bool:
        """
        Between the two texts of a pair.
        """
    @property
    def bos(self) -> int | None: ...
    @property
    def eog_tokens(self) -> list[int]:
        """
        Every token that ends a generation.
        """
    @property
    def eos(self) -> int | None: ...
    @property
    def eot(self) -> int | None: ...
    @property
    def fim_mid(self) -> int | None: ...
    @property
    def fim_pre(self) -> int | None: ...
    @property
    def fim_suf(self) -> int | None: ...
    @property
    def mask(self) -> int | None: ...
    @property
    def model(self) -> Model: ...
    @property
    def n_vocab(self) -> int: ...
    @property
    def nl(self) -> int | None: ...
    @property
    def pad(self) -> int | None: ...
    @property
    def sep(self) -> int | None: ...

class Detokenizer:
    """
    Turns a stream of tokens into text that never ends inside a character.
    """
    def __init__(
        self, tokenizer: Tokenizer, preserved: collections.abc.Set[typing.SupportsInt | typing.SupportsIndex] = set()
    ) -> None:
        """
        Control tokens render as nothing, except those in `preserved`. Raises InvalidRequestError for ids that the
        vocabulary does not have.
        """
    def flush(self) -> str:
        """
        What is held back, an unfinished character as U+FFFD. Starts anew.
        """
    def push(self, token: typing.SupportsInt | typing.SupportsIndex) -> str:
        """
        The text that `token` completes, possibly empty.
        """

class Batch:
    """
    Tokens for one decode or encode call.
    """
    def __init__(self) -> None: ...
    def __len__(self) -> int: ...
    def add(
        self,
        token: typing.SupportsInt | typing.SupportsIndex,
        pos: typing.SupportsInt | typing.SupportsIndex,
        seq_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [0],
        output: bool = False,
    ) -> int:
        """
        Append a token at position `pos` of the sequences `seq_ids`; `output` asks for its logits or embedding.
        Returns its index. Raises InvalidRequestError for empty `seq_ids`.
        """
    def clear(self) -> None: ...
    @property
    def n_outputs(self) -> int:
        """
        Tokens that ask for an output.
        """
    @property
    def positions(self) -> list[int]: ...
    @property
    def tokens(self) -> list[int]: ...

class KVCache:
    """
    The sequences in a context's memory. Positions are [p0, p1); -1 means the beginning or the end. Ids and
    ranges that do not exist raise InvalidRequestError.
    """
    def clear(self) -> None:
        """
        Remove every sequence.
        """
    def seq_add(
        self,
        seq_id: typing.SupportsInt | typing.SupportsIndex,
        p0: typing.SupportsInt | typing.SupportsIndex,
        p1: typing.SupportsInt | typing.SupportsIndex,
        delta: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        Shift positions by `delta`; needs can_shift. Cells that sequences share (seq_cp) move for all of them.
        """
    def seq_cp(
        self,
        src: typing.SupportsInt | typing.SupportsIndex,
        dst: typing.SupportsInt | typing.SupportsIndex,
        p0: typing.SupportsInt | typing.SupportsIndex = -1,
        p1: typing.SupportsInt | typing.SupportsIndex = -1,
    ) -> None:
        """
        Let `dst` share the cells of `src`; with kv_unified off whole sequences only, and `dst` is overwritten.
        """
    def seq_div(
        self,
        seq_id: typing.SupportsInt | typing.SupportsIndex,
        p0: typing.SupportsInt | typing.SupportsIndex,
        p1: typing.SupportsInt | typing.SupportsIndex,
        d: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        Divide positions by `d` >= 1; otherwise as seq_add.
        """
    def seq_keep(self, seq_id: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Remove every other sequence.
        """
    def seq_pos_max(self, seq_id: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        The last position held, -1 when the sequence is empty.
        """
    def seq_pos_min(self, seq_id: typing.SupportsInt | typing.SupportsIndex) -> int:
        """
        The first position held, -1 when the sequence is empty.
        """
    def seq_restore(self, dst: typing.SupportsInt | typing.SupportsIndex, state: typing_extensions.Buffer) -> list[int]:
        """
        Replace `dst` by a saved state and return its tokens. Raises InvalidRequestError for bytes that are damaged,
        of another model, or too many for the cache.
        """
    def seq_restore_file(
        self, path: os.PathLike[str] | str | bytes, dst: typing.SupportsInt | typing.SupportsIndex
    ) -> list[int]:
        """
        seq_restore from a file.
        """
    def seq_rm(
        self,
        seq_id: typing.SupportsInt | typing.SupportsIndex,
        p0: typing.SupportsInt | typing.SupportsIndex = -1,
        p1: typing.SupportsInt | typing.SupportsIndex = -1,
    ) -> bool:
        """
        Remove positions of a sequence (-1: of all). False when this model cannot cut a part out; nothing is changed
        then. A whole sequence can always be removed.
        """
    def seq_save(
        self,
        seq_id: typing.SupportsInt | typing.SupportsIndex,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    ) -> bytes:
        """
        The state of a sequence with the tokens it holds, framed with a checksum and the model's fingerprint. Raises
        InvalidRequestError between seq_add, seq_div or (kv_unified off) seq_cp and the next decode, which moves
        the cells.
        """
    def seq_save_file(
        self,
        path: os.PathLike[str] | str | bytes,
        seq_id: typing.SupportsInt | typing.SupportsIndex,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    ) -> None:
        """
        seq_save into a file, atomically.
        """
    @property
    def can_shift(self) -> bool: ...

class LoraAdapter:
    """
    A LoRA adapter, loaded for one model.
    """
    def __init__(self, model: Model, path: os.PathLike[str] | str | bytes) -> None:
        """
        Raises ModelLoadError when the file is damaged, no adapter, or made for another base model.
        """
    @property
    def invocation_tokens(self) -> list[int]:
        """
        Tokens of an aLoRA: it takes effect from their last occurrence in the prompt on. Otherwise empty.
        """
    @property
    def metadata(self) -> dict[str, str]:
        """
        Scalar GGUF values as text.
        """
    @property
    def model(self) -> Model: ...
    @property
    def path(self) -> str: ...

class DecodeStatus:
    """
    What llama_decode documents, one case each.

    Members:

      OK

      NO_KV_SLOT : No room in the KV cache; nothing was computed.

      ABORTED : Stopped by abort(); finished micro-batches stay in the cache.

      INVALID : Refused (positions out of order, ...); nothing was computed.

      NO_MEMORY : No memory to compute in; finished micro-batches stay in the cache.

      BROKEN : The backend gave up; the same. Worth another try.

      FAILED : Fatal; the context is of no further use.
    """

    ABORTED: typing.ClassVar[DecodeStatus]
    BROKEN: typing.ClassVar[DecodeStatus]
    FAILED: typing.ClassVar[DecodeStatus]
    INVALID: typing.ClassVar[DecodeStatus]
    NO_KV_SLOT: typing.ClassVar[DecodeStatus]
    NO_MEMORY: typing.ClassVar[DecodeStatus]
    OK: typing.ClassVar[DecodeStatus]
    __members__: typing.ClassVar[dict[str, DecodeStatus]]
    @typing.overload
    def __eq__(self, other: DecodeStatus) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: DecodeStatus) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Context:
    """
    A KV cache, compute buffers and the outputs of the last call.
    """
    def __init__(self, model: Model, params: ContextParams = ...) -> None:
        """
        Raises InvalidRequestError (parameters) or ModelLoadError (no memory, unsupported combination).
        """
    def abort(self) -> None:
        """
        Stop the call that runs now (CPU: at once), or the next one, with ABORTED. From any thread. A decode that
        moves cells (after seq_add, seq_div or, kv_unified off, seq_cp) runs to its end.
        """
    def decode(self, batch: Batch) -> DecodeStatus:
        """
        Compute a batch with the KV cache. Raises InvalidRequestError for ids, sequences, sizes and outputs that the
        context does not have, DecodeError once a call has FAILED. Releases the GIL.
        """
    def embeddings(self, i: typing.SupportsInt | typing.SupportsIndex = -1) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the embedding of token `i`, float32[n_embd]; needs embeddings=True and no pooling.
        """
    def embeddings_seq(self, seq_id: typing.SupportsInt | typing.SupportsIndex) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the pooled embedding of a sequence of the last batch, float32[n_embd]; pooling rank:
        float32[n_cls_out]. Pooling mean, cls and rank need the sequence in one batch of at most n_ubatch tokens.
        """
    def encode(self, batch: Batch) -> DecodeStatus:
        """
        Compute a batch without the KV cache: encoders and embedding models. Raises like decode.
        """
    def load_state(self, state: typing_extensions.Buffer) -> None:
        """
        Raises InvalidRequestError for bytes that are damaged or of another model, which change nothing, for those of
        other settings, which leave the cache empty, and when save_state would.
        """
    def logits(self, i: typing.SupportsInt | typing.SupportsIndex = -1) -> numpy.typing.NDArray[numpy.float32]:
        """
        A copy of the logits of token `i` of the last batch (negative: counted from the last output), float32[n_vocab].
        Raises InvalidRequestError when that token asked for no output or the last call was not OK.
        """
    def save_state(self) -> bytes:
        """
        The whole KV cache, framed and checksummed; logits and embeddings are not part of it. Raises
        InvalidRequestError between seq_add, seq_div or (kv_unified off) seq_cp and the next decode, which moves
        the cells.
        """
    def set_adapters(
        self, adapters: collections.abc.Sequence[tuple[LoraAdapter, typing.SupportsFloat | typing.SupportsIndex]]
    ) -> None:
        """
        Replace the adapters that apply from now on: (adapter, scale) pairs; none: []. Raises InvalidRequestError for
        an adapter of another model object and one named twice.
        """
    def set_n_threads(
        self,
        n_threads: typing.SupportsInt | typing.SupportsIndex,
        n_threads_batch: typing.SupportsInt | typing.SupportsIndex,
    ) -> None:
        """
        Threads of the following calls, for single tokens and for batches (llama_set_n_threads). Raises
        InvalidRequestError for counts that are not between 1 and the larger of the two that the context was made with.
        """
    @property
    def kv_cache(self) -> KVCache: ...
    @property
    def model(self) -> Model: ...
    @property
    def n_batch(self) -> int: ...
    @property
    def n_ctx(self) -> int:
        """
        Cells of all sequences.
        """
    @property
    def n_ctx_seq(self) -> int:
        """
        Cells that one sequence can take.
        """
    @property
    def n_outputs_max(self) -> int: ...
    @property
    def n_seq_max(self) -> int: ...
    @property
    def n_threads(self) -> int: ...
    @property
    def n_threads_batch(self) -> int: ...
    @property
    def n_ubatch(self) -> int: ...
    @property
    def pooling(self) -> str:
        """
        none, mean, cls, last or rank.
        """

class Sampler:
    """
    Chooses tokens from logits. One per sequence.
    """
    def __init__(self, tokenizer: Tokenizer, params: SamplingParams = ...) -> None:
        """
        Raises InvalidRequestError naming the field that is out of range.
        """
    def accept(self, token: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Take a token into the history that penalties, DRY and adaptive-p look back on (prompt tokens too).
        """
    def clone(self) -> Sampler:
        """
        A copy with the same history and random state, independent from now on.
        """
    def reset(self) -> None:
        """
        Forget the history and start the random numbers anew.
        """
    def sample(
        self,
        logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        *,
        banned: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    ) -> int:
        """
        The next token from float32[n_vocab] logits, NaN counting as -inf; none of `banned`. Does not accept it.
        Raises DecodeError when there is nothing to choose from or a logit is +inf.

        The row may be any array of the caller's, so that a logits processor is a function of it::

            row = context.logits().copy()
            row[digits] += 2.0
            row[forbidden] = -numpy.inf
            token = sampler.sample(row)

        It is only read, and without a copy when it is float32 and contiguous.
        """
    def set_history(self, tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> None:
        """
        Replace the history that penalties, DRY and adaptive-p look back on, oldest first, as when accepted tokens are
        taken back. Random numbers and mirostat's state stay as they are. Raises InvalidRequestError for a token that the
        vocabulary does not have.
        """
    def top(
        self,
        logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
        n: typing.SupportsInt | typing.SupportsIndex = 10,
    ) -> list[tuple[int, float]]:
        """
        The `n` likeliest of what all samplers leave, as (token, probability), best first. Changes no state.
        """
    @property
    def params(self) -> SamplingParams:
        """
        A copy.
        """
    @property
    def seed(self) -> int:
        """
        The seed in use, also when none was given.
        """

class ToolCallDelta:
    """
    A part of a tool call.
    """
    @property
    def arguments(self) -> str:
        """
        A fragment of JSON text; all fragments of a complete call make up an object.
        """
    @property
    def id(self) -> typing.Any:
        """
        str in the first part of a call, None later.
        """
    @property
    def index(self) -> int:
        """
        Which call of the answer, from 0.
        """
    @property
    def name(self) -> typing.Any:
        """
        The function's name in the first part of a call, None later.
        """

class ChatDelta:
    """
    What one piece of the model's output adds to its message.
    """
    def __bool__(self) -> bool:
        """
        Whether it adds anything.
        """
    @property
    def content(self) -> str:
        """
        Text of the answer.
        """
    @property
    def reasoning(self) -> str:
        """
        Text of the reasoning.
        """
    @property
    def tool_calls(self) -> list[ToolCallDelta]:
        """
        list[ToolCallDelta].
        """

class RenderedChat:
    """
    A conversation as its template renders it.
    """
    @property
    def generation_prompt(self) -> str:
        """
        The part of the prompt that opens the assistant's turn.
        """
    @property
    def grammar(self) -> str:
        """
        GBNF grammar of the tool calls, empty without tools.
        """
    @property
    def grammar_lazy(self) -> bool:
        """
        Whether the grammar applies from a trigger on only.
        """
    @property
    def preserved_tokens(self) -> list[str]:
        """
        Special tokens whose text the parser has to see.
        """
    @property
    def prompt(self) -> str:
        """
        The text to tokenize; special tokens in it are to be parsed.
        """
    @property
    def starts_with_bos(self) -> bool:
        """
        Whether the template wrote BOS itself, so that none is to be added.
        """
    @property
    def stops(self) -> list[str]:
        """
        Stop strings of this template, beside the model's end-of-generation tokens.
        """
    @property
    def supports_thinking(self) -> bool:
        """
        Whether reasoning is told from content.
        """
    @property
    def thinking_ends(self) -> list[str]:
        """
        The tags that close reasoning.
        """
    @property
    def thinking_start(self) -> str:
        """
        The tag that opens reasoning, empty when there is none.
        """
    @property
    def triggers(self) -> list[tuple[str, str]]:
        """
        list[tuple[str, str]]: kind (word, token, pattern, pattern_full) and value of what starts a lazy grammar.
        """

class ChatFormat:
    """
    A chat template with the dialect that its model answers in. Immutable.
    """
    def __init__(self, template_source: str, bos_token: str = "", eos_token: str = "") -> None:
        """
        Compile a Jinja template. The tokens are their texts. Takes some milliseconds: make one per model.

        Raises TemplateError when the template does not parse or is over a limit.
        """
    def render(
        self,
        messages: typing.Any,
        *,
        tools: typing.Any = "",
        tool_choice: str = "auto",
        parallel_tool_calls: bool = True,
        add_generation_prompt: bool = True,
        enable_thinking: bool = True,
        template_kwargs: typing.Any = "",
    ) -> RenderedChat:
        """
        Render a conversation. `messages`, `tools` and `template_kwargs` are JSON text (str or UTF-8 bytes) in the shapes of OpenAI's chat completions; `tool_choice` is auto, required or none.

        Raises InvalidRequestError naming the field that has the wrong shape, TemplateError when the template refuses the messages or runs over a limit.
        """
    @property
    def caps(self) -> dict[str, bool]:
        """
        dict[str, bool]: system_role, tools, tool_calls, parallel_tool_calls, thinking, preserve_reasoning, reasoning_effort, typed_content.
        """
    @property
    def source(self) -> str:
        """
        The template.
        """

class ChatParser:
    """
    Takes one answer of the model apart, while it is written, into content, reasoning and tool calls. For one thread at a time.
    """
    def __init__(self, prompt: RenderedChat) -> None: ...
    def feed(self, text: typing.Any, is_final: bool = False) -> ChatDelta:
        """
        Add a piece of output (str or bytes, cut anywhere); `is_final` says that it is the last. Returns what it adds to the message. Never raises on what the model wrote: text that is no valid call is content.
        """
    @property
    def has_tool_calls(self) -> bool:
        """
        After the last piece: whether there is a complete tool call.
        """

class Grammar:
    """
    A compiled grammar. Immutable.
    """

class GrammarCompiler:
    """
    Compiles what outputs have to look like, for one model. Thread-safe; make one per model.
    """
    def __init__(self, tokenizer: Tokenizer, library: str) -> None:
        """
        `library` is the path of llguidance's shared library (`shimmy.grammar.llguidance_library()`).

        Raises ModelLoadError when it cannot be loaded or is of a version that is not known to work.
        """
    def compile(
        self,
        kind: str,
        text: typing.Any = "",
        *,
        choices: collections.abc.Sequence[str] = [],
        any_whitespace: bool = True,
        lazy: bool = False,
        triggers: collections.abc.Sequence[tuple[str, str]] = [],
        prefill: str = "",
        preserved_tokens: collections.abc.Sequence[str] = [],
    ) -> Grammar:
        """
        A grammar from the text of a `json_schema`, `regex`, `lark` or `gbnf`, from the `choices` of a `choice`, or
        for any `json_object`. `any_whitespace`: JSON with a blank or an indented line break where it allows them, else none. A `lazy`
        one applies from the first of its `triggers` on, ("word" | "token" | "pattern" | "pattern_full", value) each. `prefill` is text that the
        grammar begins with and the prompt holds already. `preserved_tokens` names special tokens that count as their
        text.

        Blocks for 250 ms of CPU time at most. Raises InvalidRequestError naming the limit, keyword or line.
        """
    @property
    def n_cached(self) -> int:
        """
        Grammars in the cache (64 MiB, LRU).
        """
    @property
    def version(self) -> str:
        """
        llguidance's version.
        """

class GrammarMatcher:
    """
    Where one sequence stands in its grammar. For one thread at a time.
    """
    def __init__(self, grammar: Grammar) -> None: ...
    def accept(self, token: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Take the next token. Raises InvalidRequestError for one that is not allowed, DecodeError when llguidance gives up
        (its limits on work per step); the matcher is of no use after that.
        """
    def allows(self, token: typing.SupportsInt | typing.SupportsIndex) -> bool:
        """
        Whether the token may come next.
        """
    def clone(self) -> GrammarMatcher:
        """
        An independent copy.
        """
    def forced(self) -> list[int]:
        """
        Tokens that must come next, tokenized as the model would.
        """
    def mask(self, logits: numpy.typing.NDArray[numpy.float32]) -> None:
        """
        Set the logits (float32, at least n_vocab, changed in place) of tokens that may not come next to -inf.
        """
    def rollback(self, n_tokens: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Take back the last accepted tokens. Raises InvalidRequestError for more than there are.
        """
    def validate(self, tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]) -> int:
        """
        How many of the leading tokens may come next, one after the other.
        """
    @property
    def accepting(self) -> bool:
        """
        Whether the output may end here.
        """
    @property
    def awaiting(self) -> bool:
        """
        Whether the trigger of a lazy grammar has not come yet.
        """
    @property
    def n_tokens(self) -> int:
        """
        Tokens that were accepted.
        """
    @property
    def stopped(self) -> bool:
        """
        Whether nothing but an end-of-generation token may come.
        """

class FinishReason:
    """
    Members:

      NONE : Not finished.

      STOP : An end token, a stop token or a stop string.

      LENGTH : max_tokens, or the end of the context.

      CANCELLED

      DEADLINE : Its time ran out.

      FAILED : `error` says why.
    """

    CANCELLED: typing.ClassVar[FinishReason]
    DEADLINE: typing.ClassVar[FinishReason]
    FAILED: typing.ClassVar[FinishReason]
    LENGTH: typing.ClassVar[FinishReason]
    NONE: typing.ClassVar[FinishReason]
    STOP: typing.ClassVar[FinishReason]
    __members__: typing.ClassVar[dict[str, FinishReason]]
    @typing.overload
    def __eq__(self, other: FinishReason) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: FinishReason) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class CacheMiss:
    """
    Why the prompt token at cache_diverged_at was not reused.

    Members:

      NONE : All was reused that may be; the last prompt token is always computed.

      EMPTY : Nothing is cached for this tenant with these adapters.

      DIVERGED : It differs from the best cached prefix, or that one ends.

      ADAPTERS : The same tokens are cached for other adapters of this tenant.

      EVICTED : It was cached, and had to give way.

      UNCUTTABLE : It is cached, but the model cannot cut it there, or copying would not pay.

      DISABLED : prefix_cache is off, or the request does not allow it.
    """

    ADAPTERS: typing.ClassVar[CacheMiss]
    DISABLED: typing.ClassVar[CacheMiss]
    DIVERGED: typing.ClassVar[CacheMiss]
    EMPTY: typing.ClassVar[CacheMiss]
    EVICTED: typing.ClassVar[CacheMiss]
    NONE: typing.ClassVar[CacheMiss]
    UNCUTTABLE: typing.ClassVar[CacheMiss]
    __members__: typing.ClassVar[dict[str, CacheMiss]]
    @typing.overload
    def __eq__(self, other: CacheMiss) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: CacheMiss) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Usage:
    """
    Token counts and durations (seconds) of a request.
    """
    @property
    def accepted_tokens(self) -> int:
        """
        Of those, that came out.
        """
    @property
    def cache_diverged_at(self) -> int:
        """
        Index of the first prompt token that was not reused; -1: all that may be were.
        """
    @property
    def cache_miss(self) -> CacheMiss:
        """
        Why that one was not.
        """
    @property
    def cached_tokens(self) -> int:
        """
        Prompt tokens whose KV cells were reused.
        """
    @property
    def completion_tokens(self) -> int: ...
    @property
    def context_shifts(self) -> int: ...
    @property
    def decode_seconds(self) -> float:
        """
        First token to last.
        """
    @property
    def drafted_tokens(self) -> int:
        """
        Proposed by speculation.
        """
    @property
    def prefill_seconds(self) -> float:
        """
        First prefill chunk to first token.
        """
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def queue_seconds(self) -> float:
        """
        Arrival to first prefill chunk.
        """
    @property
    def shifted_tokens(self) -> int:
        """
        That left the context by them.
        """

class Output:
    """
    What one step added to one request.
    """
    @property
    def error(self) -> str:
        """
        Why it FAILED.
        """
    @property
    def finish_reason(self) -> FinishReason: ...
    @property
    def id(self) -> int: ...
    @property
    def logprobs(self) -> list[tuple[float, list[tuple[int, float]]]]:
        """
        One (logprob, [(token, logprob), ...]) per token, if asked for.
        """
    @property
    def no_memory(self) -> bool:
        """
        It FAILED for want of memory to compute in.
        """
    @property
    def prompt_logprobs(self) -> list[tuple[float, list[tuple[int, float]]]]:
        """
        The same of the prompt's tokens from the second on, as they are computed.
        """
    @property
    def stop_string(self) -> str | None:
        """
        The stop string that ended it.
        """
    @property
    def stop_token(self) -> int | None:
        """
        The one of stop_token_ids that ended it.
        """
    @property
    def text(self) -> str:
        """
        Never a stop string or a part of one.
        """
    @property
    def tokens(self) -> list[int]: ...
    @property
    def usage(self) -> Usage:
        """
        So far, with tokens; final once finished.
        """

class DeviceMemory:
    """
    What is taken of one device, or of the host. All in bytes.
    """
    @property
    def backend(self) -> str:
        """
        CPU, CUDA, Vulkan, ...
        """
    @property
    def compute(self) -> int:
        """
        Buffers for what is computed.
        """
    @property
    def description(self) -> str:
        """
        The hardware's own name.
        """
    @property
    def kv_cache(self) -> int:
        """
        And states of recurrent layers.
        """
    @property
    def memory_free(self) -> int:
        """
        Now, of the whole device.
        """
    @property
    def memory_total(self) -> int:
        """
        Of the whole device; 0: it does not tell.
        """
    @property
    def name(self) -> str:
        """
        As in Device.
        """
    @property
    def type(self) -> str:
        """
        cpu, gpu or igpu.
        """
    @property
    def weights(self) -> int:
        """
        Those mapped from the file too.
        """

class EngineFit:
    """
    How much of a model an engine can put onto GPUs.
    """
    @property
    def fits(self) -> bool:
        """
        False: not one layer does, so n_gpu_layers is 0.
        """
    @property
    def memory(self) -> list[DeviceMemory]:
        """
        As it would be taken; empty without a GPU.
        """
    @property
    def n_cpu_moe(self) -> int:
        """
        For ModelParams.
        """
    @property
    def n_ctx(self) -> int:
        """
        For ContextParams.
        """
    @property
    def n_gpu_layers(self) -> int:
        """
        For ModelParams; of n_layer + 1.
        """
    @property
    def n_layer(self) -> int: ...

class EngineStats:
    """
    Counters of an engine, since its start unless said otherwise.
    """
    @property
    def accepted_tokens(self) -> int:
        """
        Of those, that came out.
        """
    @property
    def backend_rows(self) -> int:
        """
        Outputs whose token was found where the logits were computed.
        """
    @property
    def cached_tokens(self) -> int: ...
    @property
    def completion_tokens(self) -> int: ...
    @property
    def computed_tokens(self) -> int:
        """
        That went through the model: prompts, completions and drafts.
        """
    @property
    def decode_seconds(self) -> float:
        """
        Of that, inside llama_decode.
        """
    @property
    def drafted_tokens(self) -> int:
        """
        Proposed by speculation.
        """
    @property
    def forks(self) -> int:
        """
        Requests that began on another sequence's cells.
        """
    @property
    def kv_cells_total(self) -> int: ...
    @property
    def kv_cells_used(self) -> int:
        """
        Now, by running requests and kept prefixes.
        """
    @property
    def preemptions(self) -> int: ...
    @property
    def prompt_tokens(self) -> int: ...
    @property
    def requests_finished(self) -> int: ...
    @property
    def running(self) -> int:
        """
        Requests holding a sequence now.
        """
    @property
    def step_seconds(self) -> float:
        """
        Spent in steps.
        """
    @property
    def steps(self) -> int: ...
    @property
    def tokens_per_second(self) -> float:
        """
        Of completions, lately: over about two seconds of steps that made some.
        """
    @property
    def waiting(self) -> int:
        """
        Requests queued now.
        """

class Engine:
    """
    Continuous batching: many requests share one context, one step at a time.
    """
    def __init__(
        self, model: Model, context: ContextParams = ..., params: EngineParams = ..., draft: Model | None = None
    ) -> None:
        """
        Makes its own context. `draft`: a small model of the same vocabulary that proposes tokens. Raises InvalidRequestError (parameters) and ModelLoadError (no memory).
        """
    def add_request(
        self,
        prompt: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        sampling: SamplingParams = ...,
        *,
        max_tokens: typing.SupportsInt | typing.SupportsIndex | None = None,
        min_tokens: typing.SupportsInt | typing.SupportsIndex = 0,
        stop: collections.abc.Sequence[str] = [],
        stop_token_ids: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
        ignore_eos: bool = False,
        banned_strings: collections.abc.Sequence[str] = [],
        logprobs: typing.SupportsInt | typing.SupportsIndex | None = None,
        prompt_logprobs: typing.SupportsInt | typing.SupportsIndex | None = None,
        token_healing: bool = False,
        grammar: Grammar | None = None,
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
        preserved_tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
        speculation: bool = True,
        tenant: str = "",
        priority: typing.SupportsInt | typing.SupportsIndex = 0,
        deadline: typing.SupportsFloat | typing.SupportsIndex | None = None,
        n_keep: typing.SupportsInt | typing.SupportsIndex | None = None,
        answered: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex] = [],
    ) -> int:
        """
        Queue a request for token ids and return its id. `max_tokens` None: until the context is full;
        `min_tokens`: no end before that many; `banned_strings` never occur in the text (the answer is rolled
        back); `logprobs`, `prompt_logprobs`: alternatives per token, 0 to 20; `token_healing`: the answer may
        choose anew how the end of the prompt is cut into tokens; `grammar`: what the answer
        has to look like; `lora`: (adapter name, scale) pairs;
        `preserved_tokens`: control tokens that are written out; `speculation`: drafts may be checked for it, which
        changes no answer; `tenant`: shares prefixes with nobody else and
        gets its share of the engine; `priority`: lower is earlier; `deadline`: seconds until its last output
        says DEADLINE; `n_keep`: at the end of the context the answer goes on without half of the tokens after the first
        n_keep (-1: the whole prompt), which are computed again; None: it ends there; `answered`: tokens that the
        answer begins with, fewer than max_tokens: it goes on as if they had been chosen here, with the random
        numbers of a seed too (mirostat and adaptive-p start anew), and the first output has them. Raises
        InvalidRequestError, PromptTooLongError, ModelNotFoundError (adapter), QueueFullError
        or EngineDeadError; nothing is queued then.
        """
    def cached_prefix(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> int:
        """
        How many leading tokens a request would find computed now. Waits for the step that runs.
        """
    def cancel(self, request_id: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        End a request wherever it stands; its last output says CANCELLED. Unknown ids are ignored.
        """
    def load_adapter(self, name: str, path: os.PathLike[str] | str | bytes) -> None:
        """
        Load a LoRA adapter, or replace the one of that name for later requests. Raises ModelLoadError.
        """
    def load_prefix(
        self,
        state: bytes,
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> list[int]:
        """
        Take saved cells into the cache; returns their tokens. Raises InvalidRequestError for bytes that are damaged or
        of another model, other settings or other adapters.
        """
    def pin_prefix(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> None:
        """
        Keep a cached prefix in the KV cache until it is unpinned, or a request has no room without it.
        """
    def prefix_adapters(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> int:
        """
        A hash of the adapter files and scales that these tokens are computed with; 0: none. Raises InvalidRequestError when
        the tokens switch an adapter on, ModelNotFoundError for an unknown one.
        """
    def save_prefix(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> bytes:
        """
        The KV cells of a cached prefix as bytes, checksummed. Raises InvalidRequestError when it is not cached.
        """
    def shift_prefix(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        n_keep: typing.SupportsInt | typing.SupportsIndex,
        n_discard: typing.SupportsInt | typing.SupportsIndex,
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> list[int]:
        """
        Context shift: a cached prefix without the n_discard tokens after the first n_keep, the later cells moved to the
        front. Returns the new tokens. Raises InvalidRequestError when it is not cached or the model cannot shift.
        """
    def shutdown(self) -> None:
        """
        Cancel everything and end the thread. Later requests raise EngineDeadError. Idempotent.
        """
    def start(self) -> None:
        """
        Run steps on a thread of the engine's own, whenever there is work.
        """
    def step(self) -> bool:
        """
        One step, on the caller's thread. Not while start() runs, which also finds out what steps cost: without it adaptive
        drafts are not made. False when there was nothing to do.
        """
    def unload_adapter(self, name: str) -> None:
        """
        Forget an adapter; requests that use it finish with it. Raises ModelNotFoundError.
        """
    def unpin_prefix(
        self,
        tokens: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        *,
        tenant: str = "",
        lora: collections.abc.Sequence[tuple[str, typing.SupportsFloat | typing.SupportsIndex]] = [],
    ) -> None:
        """
        Take a pin_prefix back.
        """
    def wait(
        self,
        timeout: typing.SupportsFloat | typing.SupportsIndex = 0.1,
        interval: typing.SupportsFloat | typing.SupportsIndex = 0.0,
    ) -> list[Output]:
        """
        All outputs since the last call, one for each request, waiting up to `timeout` seconds for the first. Not sooner
        than `interval` seconds (0 to 1) after the last call returned some, unless an answer begins or ends.
        """
    @property
    def adapters(self) -> list[str]:
        """
        Names of the loaded adapters.
        """
    @property
    def death(self) -> str:
        """
        Why it died; empty while it lives.
        """
    @property
    def memory(self) -> list[DeviceMemory]:
        """
        What model and context take of each device; the last one is the host.
        """
    @property
    def n_ctx(self) -> int:
        """
        Tokens that one request may take, prompt and completion.
        """
    @property
    def n_seq_max(self) -> int:
        """
        Requests that can run at once.
        """
    @property
    def n_threads(self) -> int: ...
    @property
    def prefix_settings(self) -> str:
        """
        What saved prefixes depend on beside their adapters, as text: the model, settings of the context, the way of computing.
        """
    @property
    def prefixes_lost(self) -> int:
        """
        How often something that was cached became lost: unchanged, it is still there.
        """
    @property
    def stats(self) -> EngineStats: ...
    @property
    def tokenizer(self) -> Tokenizer: ...

class EmbedOutput:
    """
    The end of one job of an Embedder.
    """
    @property
    def error(self) -> str:
        """
        Not empty: the job failed and has no rows.
        """
    @property
    def id(self) -> int: ...
    @property
    def rows(self) -> list[numpy.typing.NDArray[numpy.float32]]:
        """
        Per input a copy of its rows, float32[n_rows, width]: one row, with pooling none one per token.
        """

class EmbedderStats:
    """
    Counters of an embedder.
    """
    @property
    def batches(self) -> int:
        """
        Computed since the start.
        """
    @property
    def jobs(self) -> int:
        """
        Added and not ended.
        """
    @property
    def tokens(self) -> int:
        """
        Computed since the start.
        """
    @property
    def waiting(self) -> int:
        """
        Inputs queued now.
        """

class Embedder:
    """
    Embeddings, batched across jobs, with a context of their own. Thread-safe.
    """
    def __init__(self, model: Model, context: ContextParams = ..., params: EmbedderParams = ...) -> None:
        """
        Makes its own context: of `context` it takes threads, types, attention and rope, of `params` sizes and pooling.
        Raises InvalidRequestError (parameters; encoder-decoder models; pooling rank without a head) and
        ModelLoadError (no memory).
        """
    def add(
        self,
        inputs: collections.abc.Sequence[collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]],
        *,
        normalize: bool = True,
        dimensions: typing.SupportsInt | typing.SupportsIndex | None = None,
    ) -> int:
        """
        Queue token ids, one list per input, and return the id of the job. `dimensions` keeps the first so many values,
        `normalize` then divides by the L2 norm (not with pooling rank). Raises InvalidRequestError (no input, an empty
        one, unknown token ids, dimensions), PromptTooLongError, QueueFullError or EngineDeadError; nothing is queued then.
        """
    def cancel(self, id: typing.SupportsInt | typing.SupportsIndex) -> None:
        """
        Forget a job: it has no output, and nothing more of it is computed after the batch that runs. Unknown ids are
        ignored.
        """
    def shutdown(self) -> None:
        """
        Stop what runs; all jobs end with an error. Later ones raise EngineDeadError. Idempotent.
        """
    def step(self) -> list[EmbedOutput]:
        """
        Compute one batch of waiting inputs on the caller's thread; the jobs that ended since the last call.
        """
    @property
    def batch_tokens(self) -> int:
        """
        Tokens of a batch at most.
        """
    @property
    def death(self) -> str:
        """
        Why it ended; empty while it lives.
        """
    @property
    def max_input_tokens(self) -> int:
        """
        Tokens of the longest input.
        """
    @property
    def memory(self) -> list[DeviceMemory]:
        """
        What model and context take of each device; the last one is the host.
        """
    @property
    def n_seq_max(self) -> int:
        """
        Inputs of a batch at most.
        """
    @property
    def pooling(self) -> str:
        """
        none, mean, cls, last or rank.
        """
    @property
    def stats(self) -> EmbedderStats: ...
    @property
    def width(self) -> int:
        """
        Values of a row before it is cut: n_embd, with pooling rank the head's width.
        """

def build_info() -> dict[str, typing.Any]:
    """
    What this extension was built from and for: version, llama_cpp_commit, backends, backend_errors (what they
    complained about when they looked for devices), cpu_features, compiler, build_type, options.
    """

def check_schema(text: typing.Any) -> None:
    """
    Check the text of a JSON schema against the limits (512 KiB, 64 levels, 4,096 properties, 16,384 enum values, 4 KiB
    per pattern) and for keywords that are not supported. Raises InvalidRequestError.
    """

def devices(rpc_servers: collections.abc.Sequence[str] = []) -> list[Device]:
    """
    The devices of this machine that this build can use, and those of RPC servers ("host:port"). Raises
    ModelLoadError for one that does not answer, or when the build has no RPC backend.
    """

def fit_engine(
    path: os.PathLike[str] | str | bytes,
    model: ModelParams = ...,
    context: ContextParams = ...,
    engine: EngineParams = ...,
) -> EngineFit:
    """
    What n_gpu_layers -1 comes to, found by measuring what llama.cpp would take of the GPUs' free memory. Other
    n_gpu_layers are taken as they are. Raises ModelLoadError and InvalidRequestError.
    """

def gbnf_to_lark(text: typing.Any) -> str:
    """
    What a GBNF grammar (without tokens) is compiled as: a grammar in llguidance's Lark dialect that accepts the same
    texts. Raises InvalidRequestError naming the line.
    """

def llguidance_schema(text: typing.Any, any_whitespace: bool) -> str:
    """
    The text of a JSON schema as it stands after %json in a grammar. Raises InvalidRequestError as check_schema.
    """

def logprobs(
    logits: typing.Annotated[numpy.typing.ArrayLike, numpy.float32],
    token: typing.SupportsInt | typing.SupportsIndex,
    n_top: typing.SupportsInt | typing.SupportsIndex = 0,
) -> tuple[float, list[tuple[int, float]]]:
    """
    Log-probability of `token` before any sampling, and the `n_top` likeliest as (token, logprob), best first.
    """

def read_gguf(path: os.PathLike[str] | str | bytes) -> GgufSummary:
    """
    Read the header of a GGUF file without loading it. Raises ModelLoadError when it is not well-formed.
    """

def set_log_callback(callback: typing.Any) -> None:
    """
    Send llama.cpp's log lines to `callback(level: int, line: str)`, levels as in `logging`, on a thread of their own.
    None drops them. Returns when the previous callback runs no more; a callback cannot replace itself
    (InvalidRequestError). What it raises goes to sys.unraisablehook.
    """
