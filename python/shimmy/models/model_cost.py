"""What a model will take in memory, told from its file before it is loaded."""

from __future__ import annotations

import functools
import logging
import math
from collections.abc import Sequence
from pathlib import Path

import msgspec

from shimmy.discovery.gguf_header import GgufHeader, read_header
from shimmy.discovery.local_model import LocalModel
from shimmy.errors import ModelLoadError
from shimmy.model_info import LoadSpec
from shimmy.models.residency import Bytes

LEAST_CONTEXT = 4096
"""Tokens of context that a model gets at least, unless it was trained with less."""

_MIB = 1 << 20
PROCESS_BYTES = 40 * _MIB
"""A runner without a model, less what it shares with others: Python, the extension, its threads."""
GPU_PROCESS_BYTES = PROCESS_BYTES + 235 * _MIB
"""One that uses a GPU, whose driver and libraries add to it (CUDA)."""
DRIVER_BYTES = 600 * _MIB
"""Of each GPU that a process uses, taken by the driver for it."""
_BATCH = 512  # tokens that are computed at once
_SEQUENCES, _GPU_SEQUENCES = 16, 64  # that the engine runs at once
_MORE_OUTPUTS = 64  # rows of logits that a step has beside one of each sequence
_CELLS = 256  # llama.cpp makes cells by so many
_WORD_BYTES = 200  # of the host's memory for a token of the vocabulary: its text, and where it is found
_OUTPUT_BYTES = 4  # for each of them and each sequence, where the GPU computes logits
_LIKELIEST_BYTES = 16  # and where it finds the likeliest of them too (engine_params.cpp)
_TYPE_BYTES = {
    "f32": 4.0,
    "f16": 2.0,
    "bf16": 2.0,
    "q8_0": 34 / 32,
    "q5_1": 24 / 32,
    "q5_0": 22 / 32,
    "q4_1": 20 / 32,
    "q4_0": 18 / 32,
    "iq4_nl": 18 / 32,
}

_Q4_0, _Q2_K, _Q4_K, _IQ4_NL = 2, 10, 12, 20  # types of tensors in GGUF files
_REPACKED = {"avx2": (_Q4_0, _Q4_K, _IQ4_NL), "avx512f": (_Q2_K,), "asimddp": (_Q4_0, _Q4_K, _IQ4_NL)}
"""Types that llama.cpp copies into another layout for a CPU with this feature, beside the file that stays mapped."""
_NOT_REPACKED = {"avx512_vnni": (_Q4_K,)}
"""Types that a CPU with this feature computes as fast as they are in the file (csrc/ggml/small_batch.h)."""

logger = logging.getLogger("shimmy.models")


class ModelCost(msgspec.Struct, frozen=True, kw_only=True):
    """In bytes. Prefixes that the engine keeps in host memory come on top of it later, as far as memory is free."""

    weights: float
    """Files, and what of them the CPU gets in a layout of its own."""
    embeddings: float = 0.0
    """Of tokens: with the CPU, wherever the layers are."""
    cell: float
    """Of the KV cache, per token of context."""
    compute: float
    """Buffers for activations and logits."""
    compute_cell: float
    """What these take more per token of context."""
    n_ctx: int | None
    """Tokens of context that were asked for; None: as many as fit."""
    n_ctx_train: int
    gpu_share: float = 0.0
    """Of weights and KV cache, 0 to 1."""
    gpu_most: float = math.inf
    """Of GPU memory that it takes: what goes beyond stays with the CPU."""
    outputs: float = 0.0
    """Of the host's memory for what GPUs compute: logits, and the vocabulary that they are of."""
    process: float = PROCESS_BYTES
    driver: float = 0.0
    """Of GPU memory, for its process."""
    untold: float = 0.0
    """Of GPU memory, which an earlier load took beyond all that."""

    @property
    def least_context(self) -> int:
        return min(self.n_ctx_train, LEAST_CONTEXT)

    def bytes(self, n_ctx: int) -> Bytes:
        """Of the whole model and its process, with a context of so many tokens."""
        return self._placed(self.weights + self._cells(n_ctx), self.compute + self.compute_cell * n_ctx)

    def context_within(self, room: Bytes) -> int | None:
        """The longest context for which the KV cache takes at most half of what the rest leaves of `room`: that of
        the training, half of it and so on, at least `least_context`. None: not even that fits.
        """
        n_ctx = self.n_ctx_train
        while n_ctx > self.least_context and not self._leaves_half(n_ctx, room):
            n_ctx = max(self.least_context, n_ctx // 2)
        return n_ctx if self.bytes(n_ctx).fits(room) else None

    def _leaves_half(self, n_ctx: int, room: Bytes) -> bool:
        computed = self.compute + self.compute_cell * n_ctx
        return self._placed(self.weights + 2 * self._cells(n_ctx), computed).fits(room)

    def _cells(self, n_ctx: int) -> float:
        return self.cell * (-(-n_ctx // _CELLS) * _CELLS)

    def _placed(self, stored: float, computed: float) -> Bytes:
        if not self.gpu_share:
            return Bytes(self.process + stored + computed)
        computed += self.driver + self.untold
        on_gpu = max(0.0, min(stored * self.gpu_share, self.gpu_most - computed))
        with_cpu = max(stored - on_gpu, self.embeddings)
        return Bytes(self.process + self.outputs + with_cpu, min(on_gpu + computed, self.gpu_most))


def cost_of(model: LocalModel, spec: LoadSpec, *, gpu: bool = False) -> ModelCost | None:
    """What loading `model` as `spec` says will take, with its draft model and adapters; `gpu`: on a build and a machine
    with one. None when a file cannot be read or does not tell: loading says what is wrong with it.
    """
    try:
        cost = _cost(read_header(model.path), model.size_bytes, spec, gpu=gpu)
        if cost is None:
            return None
        weights = cost.weights + sum(Path(path).stat().st_size for path in spec.adapters.values())
        if spec.draft is None:
            return msgspec.structs.replace(cost, weights=weights)
        draft = _cost(read_header(Path(spec.draft)), Path(spec.draft).stat().st_size, spec, gpu=gpu)
    except (OSError, ModelLoadError) as error:
        logger.debug("%s: its memory cannot be estimated: %s", model.name, error)
        return None
    if draft is None:
        return None
    return msgspec.structs.replace(
        cost,
        weights=weights + draft.weights,
        embeddings=cost.embeddings + draft.embeddings,
        cell=cost.cell + draft.cell,
        compute=cost.compute + draft.compute,
        compute_cell=cost.compute_cell + draft.compute_cell,
    )


def _cost(header: GgufHeader, n_bytes: int, spec: LoadSpec, *, gpu: bool) -> ModelCost | None:
    architecture = header.text("general.architecture")

    def number(key: str) -> int:
        return header.integer(f"{architecture}.{key}") or 0

    n_layer, n_embd, n_ctx_train = number("block_count"), number("embedding_length"), number("context_length")
    heads = _per_layer(header, f"{architecture}.attention.head_count", n_layer)
    if not n_layer or not n_embd or not n_ctx_train or not any(heads):
        return None
    head = n_embd // max(heads)
    kv_heads = sum(_per_layer(header, f"{architecture}.attention.head_count_kv", n_layer) or heads)
    causal = header.metadata.get(f"{architecture}.attention.causal") is not False
    cell = kv_heads * (
        (number("attention.key_length") or head) * _type_bytes(spec, "type_k")
        + (number("attention.value_length") or head) * _type_bytes(spec, "type_v")
    )
    n_vocab = _vocabulary(header)
    # A step's buffers hold the logits or the activations of the widest layer, whichever is more.
    sequences = _GPU_SEQUENCES if gpu else _SEQUENCES
    logits = 4.0 * ((sequences + _MORE_OUTPUTS) * n_vocab + _BATCH * n_embd)
    activations = 4.0 * _BATCH * (2 * number("feed_forward_length") + 8 * n_embd)
    layers = spec.model.get("n_gpu_layers", -1)
    offloaded = n_layer + 1 if layers < 0 else min(layers, n_layer + 1)
    share = offloaded / (n_layer + 1) if gpu else 0.0
    per_output = _OUTPUT_BYTES if spec.engine.get("backend_sampling") == "off" else _LIKELIEST_BYTES
    repacked = 0 if gpu else sum(header.matrix_bytes.get(kind, 0) for kind in repacked_types())
    return ModelCost(
        weights=n_bytes + repacked,
        embeddings=header.embedding_bytes,
        cell=cell if causal else 0,
        compute=max(logits, activations) + 4.0 * sequences * n_vocab,
        compute_cell=2.0 * _BATCH,
        n_ctx=spec.context.get("n_ctx") if causal else n_ctx_train,
        n_ctx_train=n_ctx_train,
        gpu_share=share,
        outputs=n_vocab * (_WORD_BYTES + sequences * per_output) if share else 0.0,
        process=GPU_PROCESS_BYTES if share else PROCESS_BYTES,
        driver=DRIVER_BYTES if share else 0.0,
    )


def _per_layer(header: GgufHeader, key: str, n_layer: int) -> Sequence[int]:
    """One number for each layer; empty when the file does not say, or has too many to be kept."""
    value = header.metadata.get(key)
    if isinstance(value, tuple):
        return [number for number in value if isinstance(number, int)]
    return [value] * n_layer if isinstance(value, int) else []


def _vocabulary(header: GgufHeader) -> int:
    tokens = header.metadata.get("tokenizer.ggml.tokens")
    length = getattr(tokens, "length", None)
    return int(length) if length is not None else len(tokens) if isinstance(tokens, tuple) else 0


@functools.cache
def repacked_types(cpuinfo: Path = Path("/proc/cpuinfo")) -> frozenset[int]:
    """Types of tensors, as GGUF files number them, of which this CPU keeps a copy in another layout."""
    try:
        with cpuinfo.open() as file:
            line = next((line for line in file if line.startswith(("flags", "Features"))), "")
    except OSError:
        line = ""
    features = line.split()
    kinds = {kind for feature in features for kind in _REPACKED.get(feature, ())}
    return frozenset(kinds.difference(*(_NOT_REPACKED.get(feature, ()) for feature in features)))


def _type_bytes(spec: LoadSpec, key: str) -> float:
    return _TYPE_BYTES.get(str(spec.context.get(key, "f16")), 2.0)
