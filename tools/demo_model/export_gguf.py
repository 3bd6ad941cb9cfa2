"""Write the trained weights as GGUF files: main model, draft model and LoRA adapters.

python -m demo_model.export_gguf --weights build --out ../python/shimmy/data     (in tools/)
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import gguf
import numpy as np
from safetensors.numpy import load_file
from tokenizers import Tokenizer

from . import tokenizer as tokenization
from .model import DRAFT, MAIN, Config

HERE = Path(__file__).parent
AUTHOR = "shimmy"
LICENSE = "Apache-2.0"
LORA_ALPHA = 16.0
DESCRIPTIONS = {
    "main": "A tiny chat model trained from scratch on synthetic text; demo and test model of shimmy.",
    "draft": "Draft model for speculative decoding with Shimmy Mini.",
    "pirate": "LoRA adapter for Shimmy Mini: answers in a pirate voice, always starting with 'Arr,'.",
    "terse": "LoRA adapter for Shimmy Mini: answers in at most three words.",
}


def weights(folder: Path, prefix: str) -> dict[str, np.ndarray]:
    """All tensors of one model, collected from its weight files."""
    out: dict[str, np.ndarray] = {}
    for path in sorted(folder.glob(f"weights-{prefix}-*.safetensors")):
        out |= load_file(path)
    if not out:
        raise FileNotFoundError(f"no weights-{prefix}-*.safetensors in {folder}")
    return out


def add_general(writer: gguf.GGUFWriter, name: str, kind: str) -> None:
    writer.add_name(name)
    writer.add_author(AUTHOR)
    writer.add_license(LICENSE)
    writer.add_description(DESCRIPTIONS[kind])


def add_tokenizer(writer: gguf.GGUFWriter, tok: Tokenizer) -> None:
    """Vocabulary, merges and special tokens in llama.cpp's form of a byte-level BPE tokenizer."""
    size = tok.get_vocab_size()
    tokens = [tok.id_to_token(i) or "" for i in range(size)]
    special, user = set(tokenization.SPECIAL), set(tokenization.USER_DEFINED)
    types = [
        gguf.TokenType.CONTROL if t in special
        else gguf.TokenType.USER_DEFINED if t in user
        else gguf.TokenType.UNUSED if t.startswith("[unused")
        else gguf.TokenType.NORMAL
        for t in tokens
    ]  # fmt: skip
    merges = [" ".join(m) for m in json.loads(tok.to_str())["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("qwen2")
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    writer.add_token_merges(merges)
    ids = {t: tokenization.token_id(tok, t) for t in tokenization.SPECIAL}
    writer.add_eos_token_id(ids["<|im_end|>"])
    writer.add_eot_token_id(ids["<|im_end|>"])
    writer.add_pad_token_id(ids["<|endoftext|>"])
    writer.add_uint32("tokenizer.ggml.fim_pre_token_id", ids["<|fim_prefix|>"])
    writer.add_uint32("tokenizer.ggml.fim_suf_token_id", ids["<|fim_suffix|>"])
    writer.add_uint32("tokenizer.ggml.fim_mid_token_id", ids["<|fim_middle|>"])
    writer.add_add_bos_token(False)
    writer.add_chat_template((HERE / "chat_template.jinja").read_text(encoding="utf-8").rstrip("\n"))


def write_model(
    path: Path, tensors: dict[str, np.ndarray], cfg: Config, tok: Tokenizer, name: str, kind: str, dtype: str
) -> None:
    """A complete model; matrices are stored in ``dtype``, norms in single precision."""
    quant = {
        "f32": gguf.GGMLQuantizationType.F32,
        "f16": gguf.GGMLQuantizationType.F16,
        "q8_0": gguf.GGMLQuantizationType.Q8_0,
    }[dtype]
    ftype = {
        "f32": gguf.LlamaFileType.ALL_F32,
        "f16": gguf.LlamaFileType.MOSTLY_F16,
        "q8_0": gguf.LlamaFileType.MOSTLY_Q8_0,
    }[dtype]
    count = sum(t.size for t in tensors.values())
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.MODEL)
    add_general(writer, name, kind)
    writer.add_size_label(f"{count / 1e6:.1f}M")
    writer.add_languages(["en"])
    writer.add_file_type(ftype)
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_context_length(cfg.context)
    writer.add_embedding_length(cfg.dim)
    writer.add_block_count(cfg.layers)
    writer.add_feed_forward_length(cfg.ffn)
    writer.add_head_count(cfg.heads)
    writer.add_head_count_kv(cfg.kv_heads)
    writer.add_key_length(cfg.head_dim)
    writer.add_value_length(cfg.head_dim)
    writer.add_rope_dimension_count(cfg.head_dim)
    writer.add_rope_freq_base(cfg.rope_theta)
    writer.add_layer_norm_rms_eps(cfg.eps)
    writer.add_vocab_size(cfg.vocab)
    add_tokenizer(writer, tok)
    for tensor, data in tensors.items():
        data = data.astype(np.float32)
        if data.ndim == 2 and dtype != "f32":
            writer.add_tensor(tensor, gguf.quantize(data, quant), raw_dtype=quant)
        else:
            writer.add_tensor(tensor, data)
    finish(writer)


def write_lora(path: Path, tensors: dict[str, np.ndarray], name: str, kind: str) -> None:
    """A LoRA adapter in llama.cpp's format: ``<tensor>.lora_a`` (rank, in) and ``<tensor>.lora_b`` (out, rank)."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    add_general(writer, name, kind)
    writer.add_string("adapter.type", "lora")
    writer.add_float32("adapter.lora.alpha", LORA_ALPHA)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    for tensor, data in tensors.items():
        layer, part = tensor.rsplit(".", 1)
        writer.add_tensor(f"{layer}.weight.{part}", data.astype(np.float16))
    finish(writer)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=Path("build"))
    parser.add_argument("--tokenizer", type=Path, default=HERE / "tokenizer.json")
    parser.add_argument("--out", type=Path, default=Path("build"))
    parser.add_argument("--dtype", choices=("f32", "f16", "q8_0"), default="q8_0")
    parser.add_argument("--suffix", default="", help="added to the names of the files")
    args = parser.parse_args()
    tok = tokenization.load(args.tokenizer)

    def out(name: str) -> Path:
        return args.out / f"shimmy-mini{name}{args.suffix}.gguf"

    write_model(out(""), weights(args.weights, "main"), MAIN, tok, "Shimmy Mini", "main", args.dtype)
    write_model(out("-draft"), weights(args.weights, "draft"), DRAFT, tok, "Shimmy Mini Draft", "draft", args.dtype)
    for style in ("pirate", "terse"):
        write_lora(out(f"-{style}-lora"), weights(args.weights, style), f"Shimmy Mini {style.capitalize()}", style)
    for path in sorted(args.out.glob(f"shimmy-mini*{args.suffix}.gguf")):
        print(f"{path.name}: {path.stat().st_size / 2**20:.2f} MiB")


if __name__ == "__main__":
    main()
