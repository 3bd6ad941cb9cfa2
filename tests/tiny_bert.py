"""Tiny BERT models with random weights, as GGUF files and as numpy: what llama.cpp computes, computed once more.

The forward pass follows Devlin et al. 2018 (post-norm encoder, learned positions, token type 0); heads are those of
Hugging Face's BertForSequenceClassification and RobertaClassificationHead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

N_LAYER, N_EMBD, N_HEAD, N_FF, N_CTX = 2, 32, 4, 64, 64
EPSILON = 1e-12
SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
CLS, SEP = 2, 3
WORDS = ("the", "cat", "dog", "sat", "on", "a", "mat", "bird", "sings", "loud", "query", "document")
# llama.cpp marks the start of a word where BERT's own vocabulary marks what continues one.
TOKENS = [*SPECIALS, *("\u2581" + word for word in WORDS), *"abcdefghijklmnopqrstuvwxyz"]
POOLING = {"none": 0, "mean": 1, "cls": 2, "last": 3, "rank": 4}


@dataclass
class TinyBert:
    """`pooling` "" leaves it out of the file. `head`: none, "dense" (tanh layer and projection) or "linear"."""

    pooling: str = "mean"
    head: str = ""
    n_labels: int = 1
    seed: int = 0
    rerank_template: str = ""
    weights: dict[str, Array] = field(default_factory=dict)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)

        def linear(name: str, rows: int, columns: int) -> None:
            self.weights[f"{name}.weight"] = random.normal(0, columns**-0.5, (rows, columns)).astype(np.float32)
            self.weights[f"{name}.bias"] = random.normal(0, 0.1, rows).astype(np.float32)

        def norm(name: str) -> None:
            self.weights[f"{name}.weight"] = random.normal(1, 0.1, N_EMBD).astype(np.float32)
            self.weights[f"{name}.bias"] = random.normal(0, 0.1, N_EMBD).astype(np.float32)

        for name, rows in (("token_embd", len(TOKENS)), ("token_types", 2), ("position_embd", N_CTX)):
            self.weights[f"{name}.weight"] = random.normal(0, 0.5, (rows, N_EMBD)).astype(np.float32)
        norm("token_embd_norm")
        for i in range(N_LAYER):
            for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
                linear(f"blk.{i}.{name}", N_EMBD, N_EMBD)
            norm(f"blk.{i}.attn_output_norm")
            linear(f"blk.{i}.ffn_up", N_FF, N_EMBD)
            linear(f"blk.{i}.ffn_down", N_EMBD, N_FF)
            norm(f"blk.{i}.layer_output_norm")
        if self.head == "dense":
            linear("cls", N_EMBD, N_EMBD)
        if self.head:
            linear("cls.output", self.n_labels, N_EMBD)

    def write(self, path: Path) -> Path:
        writer = gguf.GGUFWriter(path, "bert")
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_context_length(N_CTX)
        writer.add_embedding_length(N_EMBD)
        writer.add_block_count(N_LAYER)
        writer.add_feed_forward_length(N_FF)
        writer.add_head_count(N_HEAD)
        writer.add_layer_norm_eps(EPSILON)
        writer.add_causal_attention(False)
        if self.pooling:
            writer.add_uint32("bert.pooling_type", POOLING[self.pooling])
        if self.n_labels > 1:
            writer.add_array("bert.classifier.output_labels", [f"label {i}" for i in range(self.n_labels)])
        writer.add_tokenizer_model("bert")
        writer.add_token_list(TOKENS)
        writer.add_token_types(
            [int(gguf.TokenType.CONTROL if t in SPECIALS else gguf.TokenType.NORMAL) for t in TOKENS]
        )
        writer.add_token_type_count(2)
        for name, text in (("padding", "[PAD]"), ("unknown", "[UNK]"), ("bos", "[CLS]"), ("seperator", "[SEP]")):
            writer.add_uint32(f"tokenizer.ggml.{name}_token_id", TOKENS.index(text))
        writer.add_uint32("tokenizer.ggml.mask_token_id", TOKENS.index("[MASK]"))
        if self.rerank_template:
            writer.add_string("tokenizer.chat_template.rerank", self.rerank_template)
        for name, values in self.weights.items():
            writer.add_tensor(name, values)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def hidden(self, tokens: list[int]) -> Array:
        """The last layer's output, float32[n_tokens, N_EMBD]."""
        w = self.weights
        x = w["token_embd.weight"][tokens] + w["token_types.weight"][0] + w["position_embd.weight"][: len(tokens)]
        x = self._norm("token_embd_norm", x)
        for i in range(N_LAYER):
            x = self._norm(f"blk.{i}.attn_output_norm", x + self._attention(i, x))
            up = _gelu(self._linear(f"blk.{i}.ffn_up", x))
            x = self._norm(f"blk.{i}.layer_output_norm", x + self._linear(f"blk.{i}.ffn_down", up))
        return x

    def pooled(self, tokens: list[int], pooling: str) -> Array:
        """The rows of `hidden` as a model with `pooling` answers them, before any normalising."""
        rows = self.hidden(tokens)
        return {"none": rows, "mean": rows.mean(0), "cls": rows[0], "last": rows[-1]}[pooling]

    def logits(self, tokens: list[int]) -> Array:
        """What the head makes of the first token, float32[n_labels]."""
        first = self.hidden(tokens)[0]
        if self.head == "dense":
            first = np.tanh(self._linear("cls", first))
        return self._linear("cls.output", first)

    def _linear(self, name: str, x: Array) -> Array:
        return x @ self.weights[f"{name}.weight"].T + self.weights[f"{name}.bias"]

    def _norm(self, name: str, x: Array) -> Array:
        centred = x - x.mean(-1, keepdims=True)
        scaled = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
        return scaled * self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]

    def _attention(self, i: int, x: Array) -> Array:
        def heads(name: str) -> Array:
            return self._linear(f"blk.{i}.{name}", x).reshape(len(x), N_HEAD, -1).transpose(1, 0, 2)

        q, k, v = heads("attn_q"), heads("attn_k"), heads("attn_v")
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(N_EMBD // N_HEAD)
        weights = np.exp(scores - scores.max(-1, keepdims=True))
        weights /= weights.sum(-1, keepdims=True)
        return self._linear(f"blk.{i}.attn_output", (weights @ v).transpose(1, 0, 2).reshape(len(x), N_EMBD))


def _gelu(x: Array) -> Array:
    inner = math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)
    return (0.5 * x * (1 + np.tanh(inner))).astype(np.float32)


def unit(rows: Array) -> Array:
    """Rows (or one) divided by their L2 norm."""
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)
