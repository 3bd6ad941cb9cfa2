"""Write a GGUF model of a real shape with random weights: the speed of the real one, without its download.

    python bench/make_model.py --shape 0.6b --type q4_k_m --out bench/models/0.6b-q4_k_m.gguf

The same shape, type and seed give the same file. Needs the `gguf` and `numpy` packages; memory stays near the size of
the largest tensor.
"""

from __future__ import annotations

import argparse
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import gguf
import numpy as np
from numpy.typing import NDArray

from random_blocks import BLOCKS, ByteSource, random_matrix
from random_vocabulary import LLAMA3, QWEN, Family, add_tokenizer


@dataclass(frozen=True)
class Shape:
    """Dimensions of a transformer in llama.cpp's terms; `qk_norm` makes it a Qwen3, otherwise it is a Llama."""

    name: str
    family: Family
    n_layer: int
    n_embd: int
    n_head: int
    n_head_kv: int
    head_dim: int
    n_ff: int
    n_vocab: int
    n_ctx: int
    rope_base: float
    rms_eps: float
    tied: bool
    qk_norm: bool = False
    rope: float = 0.0
    """Factor of Llama 3's frequency scaling; 0 writes no rope_freqs tensor."""


SHAPES = {
    "tiny": Shape("Tiny", QWEN, 4, 256, 4, 2, 64, 768, 4096, 2048, 1e6, 1e-6, tied=True, qk_norm=True),
    "0.6b": Shape("Qwen3 0.6B", QWEN, 28, 1024, 16, 8, 128, 3072, 151936, 40960, 1e6, 1e-6, tied=True, qk_norm=True),
    "1b": Shape("Llama 3.2 1B", LLAMA3, 16, 2048, 32, 8, 64, 8192, 128256, 131072, 5e5, 1e-5, tied=True, rope=32),
    "8b": Shape("Llama 3.1 8B", LLAMA3, 32, 4096, 32, 8, 128, 14336, 128256, 131072, 5e5, 1e-5, tied=False, rope=8),
}  # fmt: skip

# What llama.cpp calls each type, the type of most matrices and the one of the output matrix.
TYPES = {
    "q4_k_m": (gguf.LlamaFileType.MOSTLY_Q4_K_M, "Q4_K", "Q6_K"),
    "q4_k": (gguf.LlamaFileType.MOSTLY_Q4_K_S, "Q4_K", "Q6_K"),
    "q2_k": (gguf.LlamaFileType.MOSTLY_Q2_K, "Q2_K", "Q6_K"),
    "q4_0": (gguf.LlamaFileType.MOSTLY_Q4_0, "Q4_0", "Q6_K"),
    "q6_k": (gguf.LlamaFileType.MOSTLY_Q6_K, "Q6_K", "Q6_K"),
    "q8_0": (gguf.LlamaFileType.MOSTLY_Q8_0, "Q8_0", "Q8_0"),
    "bf16": (gguf.LlamaFileType.MOSTLY_BF16, "BF16", "BF16"),
    "f16": (gguf.LlamaFileType.MOSTLY_F16, "F16", "F16"),
}


def use_more_bits(layer: int, n_layer: int) -> bool:
    """Layers whose attn_v and ffn_down llama-quantize stores as Q6_K in a Q4_K_M file."""
    eighth = n_layer // 8
    return layer < eighth or layer >= 7 * n_layer // 8 or (layer - eighth) % 3 == 2


def matrices(shape: Shape, type_name: str) -> Iterator[tuple[str, int, int, str]]:
    """Name, rows, columns and ggml type of every matrix."""
    _, most, output = TYPES[type_name]
    n_q, n_kv = shape.n_head * shape.head_dim, shape.n_head_kv * shape.head_dim
    yield "token_embd.weight", shape.n_vocab, shape.n_embd, output if shape.tied else most
    if not shape.tied:
        yield "output.weight", shape.n_vocab, shape.n_embd, output
    for i in range(shape.n_layer):
        finer = "Q6_K" if type_name == "q4_k_m" and use_more_bits(i, shape.n_layer) else most
        yield f"blk.{i}.attn_q.weight", n_q, shape.n_embd, most
        yield f"blk.{i}.attn_k.weight", n_kv, shape.n_embd, most
        yield f"blk.{i}.attn_v.weight", n_kv, shape.n_embd, finer
        yield f"blk.{i}.attn_output.weight", shape.n_embd, n_q, most
        yield f"blk.{i}.ffn_gate.weight", shape.n_ff, shape.n_embd, most
        yield f"blk.{i}.ffn_up.weight", shape.n_ff, shape.n_embd, most
        yield f"blk.{i}.ffn_down.weight", shape.n_embd, shape.n_ff, finer


def vectors(shape: Shape) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Norms, all ones, and Llama 3's rope frequency factors; single precision."""
    yield "output_norm.weight", np.ones(shape.n_embd, np.float32)
    if shape.rope:
        yield "rope_freqs.weight", rope_factors(shape)
    for i in range(shape.n_layer):
        yield f"blk.{i}.attn_norm.weight", np.ones(shape.n_embd, np.float32)
        yield f"blk.{i}.ffn_norm.weight", np.ones(shape.n_embd, np.float32)
        if shape.qk_norm:
            yield f"blk.{i}.attn_q_norm.weight", np.ones(shape.head_dim, np.float32)
            yield f"blk.{i}.attn_k_norm.weight", np.ones(shape.head_dim, np.float32)


def rope_factors(shape: Shape, trained_on: int = 8192) -> NDArray[np.float32]:
    """By how much Llama 3 divides each rope frequency, from 1 for short waves to `rope` for long; (head_dim/2,)."""
    exponents = np.arange(0, shape.head_dim, 2) / shape.head_dim
    wavelength = 2 * math.pi * shape.rope_base**exponents
    # Between wavelengths of a quarter of and the whole training context the factor is blended.
    blend = np.clip((trained_on / wavelength - 1) / 3, 0, 1)
    return (1 / ((1 - blend) / shape.rope + blend)).astype(np.float32)


def add_metadata(writer: gguf.GGUFWriter, shape: Shape, type_name: str) -> None:
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_name(f"{shape.name} (random weights)")
    writer.add_file_type(TYPES[type_name][0])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(shape.n_ctx)
    writer.add_embedding_length(shape.n_embd)
    writer.add_block_count(shape.n_layer)
    writer.add_feed_forward_length(shape.n_ff)
    writer.add_head_count(shape.n_head)
    writer.add_head_count_kv(shape.n_head_kv)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(shape.rms_eps)
    writer.add_vocab_size(shape.n_vocab)
    add_tokenizer(writer, shape.family, shape.n_vocab)


def write_model(path: Path, shape_name: str, type_name: str, seed: int = 0) -> None:
    """Write one model file, under another name until it is whole.

    `shape_name` is a key of SHAPES, `type_name` of TYPES. Raises OSError when the file cannot be written.
    """
    shape = SHAPES[shape_name]
    part = path.with_name(path.name + ".part")
    writer = gguf.GGUFWriter(part, "qwen3" if shape.qk_norm else "llama")
    add_metadata(writer, shape, type_name)
    float_tensors = dict(vectors(shape))
    for name, vector in float_tensors.items():
        writer.add_tensor_info(name, vector.shape, vector.dtype, vector.nbytes)
    for name, rows, columns, kind in matrices(shape, type_name):
        values, size, _ = BLOCKS[kind]
        row_bytes = columns // values * size
        raw = gguf.GGMLQuantizationType[kind]
        writer.add_tensor_info(name, (rows, row_bytes), np.dtype(np.uint8), rows * row_bytes, raw_dtype=raw)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    for vector in float_tensors.values():
        writer.write_tensor_data(vector)
    for name, rows, columns, kind in matrices(shape, type_name):
        source = ByteSource(seed, crc32(name.encode()))
        # With 1/sqrt(fan_in) every product keeps the scale of its normalised input, so activations stay finite.
        writer.write_tensor_data(random_matrix(source, kind, rows, columns, columns**-0.5))
    writer.close()
    part.replace(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=SHAPES, required=True)
    parser.add_argument("--type", choices=TYPES, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    if args.seed < 0:
        parser.error(f"--seed {args.seed}: must be 0 or more")
    started = time.perf_counter()
    try:
        args.out.parent.mkdir(parents=True, exist_ok=True)
        write_model(args.out, args.shape, args.type, args.seed)
    except OSError as error:
        print(f"make_model.py: cannot write {args.out}: {error}", file=sys.stderr)
        return 1
    size = args.out.stat().st_size
    print(f"{args.out}: {size / 1e6:.0f} MB in {time.perf_counter() - started:.1f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
