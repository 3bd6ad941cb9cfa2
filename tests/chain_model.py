"""A model that says what a table says: each token has one that follows it, whatever came before.

A GGUF file of llama's architecture whose attention and feed-forward matrices are zero, so that the hidden state stays
the embedding of the last token, which is a unit vector of its own; the output matrix has a row for each token with ones
where it follows. Answers are known exactly, without training: for protocols whose answers need a certain form.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

N_FF, N_HEAD, N_CTX = 32, 4, 2048
END = "<|end|>"
FILL_IN = ("<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>")


def _byte_letters() -> list[str]:
    """How byte-level BPE writes each of the 256 bytes: printable ones as they are, the others from U+0100 on."""
    plain = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = iter(range(0x100, 0x200))
    return [chr(byte if byte in plain else next(others)) for byte in range(256)]


LETTERS = _byte_letters()


def spelled(text: str) -> str:
    """`text` in the letters of byte-level BPE."""
    return "".join(LETTERS[byte] for byte in text.encode())


class ChainModel:
    """`chains` are lists of texts, one token each, in the order in which they follow one another: single bytes or
    longer ones, which become tokens. What no chain goes on from, the end of the answer follows. `fill_in` adds the
    tokens FILL_IN: prefix, suffix, middle.

    Raises ValueError where two chains disagree about what follows a token.
    """

    def __init__(self, *chains: Sequence[str], chat_template: str = "", fill_in: bool = False) -> None:
        self.chat_template = chat_template
        self.special = (END, *FILL_IN) if fill_in else (END,)
        known = dict.fromkeys([*LETTERS, spelled("  "), *self.special])
        known |= dict.fromkeys(spelled(text) for chain in chains for text in chain)
        self.tokens = [*known, *(f"<|unused_{i}|>" for i in range(-len(known) % 32))]
        ids = {token: i for i, token in enumerate(self.tokens)}
        self.end = ids[END]
        self.follows = np.full(len(self.tokens), self.end)
        for chain in chains:
            for first, second in pairwise(chain):
                one, other = ids[spelled(first)], ids[spelled(second)]
                if self.follows[one] not in (self.end, other):
                    raise ValueError(f"two texts follow {first!r}")
                self.follows[one] = other

    def write(self, path: Path) -> Path:
        size = len(self.tokens)
        writer = gguf.GGUFWriter(path, "llama")
        writer.add_type(gguf.GGUFType.MODEL)
        writer.add_context_length(N_CTX)
        writer.add_embedding_length(size)
        writer.add_block_count(1)
        writer.add_feed_forward_length(N_FF)
        writer.add_head_count(N_HEAD)
        writer.add_layer_norm_rms_eps(1e-6)
        self._add_tokenizer(writer)
        for name, values in self._weights(size).items():
            writer.add_tensor(name, values.astype(np.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path

    def _add_tokenizer(self, writer: gguf.GGUFWriter) -> None:
        control = [token in self.special for token in self.tokens]
        kinds = [gguf.TokenType.CONTROL if one else gguf.TokenType.NORMAL for one in control]
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre("qwen2")
        writer.add_token_list(self.tokens)
        writer.add_token_types([int(kind) for kind in kinds])
        writer.add_token_merges([" ".join(spelled("  "))])  # a vocabulary without any is taken for a broken one
        writer.add_eos_token_id(self.end)
        writer.add_add_bos_token(False)
        for name, token in zip(("pre", "suf", "mid"), self.special[1:], strict=False):
            writer.add_uint32(f"tokenizer.ggml.fim_{name}_token_id", self.tokens.index(token))
        if self.chat_template:
            writer.add_chat_template(self.chat_template)

    def _weights(self, size: int) -> dict[str, np.ndarray[tuple[int, ...], np.dtype[np.float64]]]:
        output = np.zeros((size, size))
        output[self.follows, np.arange(size)] = 1
        weights = {"token_embd": np.eye(size), "output_norm": np.ones(size), "output": output}
        for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
            weights[f"blk.0.{name}"] = np.zeros((size, size))
        for name in ("ffn_gate", "ffn_up"):
            weights[f"blk.0.{name}"] = np.zeros((N_FF, size))
        weights |= {"blk.0.ffn_down": np.zeros((size, N_FF))}
        weights |= {f"blk.0.{name}": np.ones(size) for name in ("attn_norm", "ffn_norm")}
        return {f"{name}.weight": values for name, values in weights.items()}
