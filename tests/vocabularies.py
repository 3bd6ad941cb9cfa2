"""Vocabulary-only GGUF files for every tokenizer and pre-tokenizer that llama.cpp knows, small and without a model."""

from __future__ import annotations

import sys
from pathlib import Path

import gguf

sys.path.insert(0, str(Path(__file__).parents[1] / "bench"))
from random_vocabulary import byte_alphabet

# One name for each LLAMA_VOCAB_PRE_TYPE_* of the vendored src/llama-vocab.cpp.
PRE_TOKENIZERS = [
    "default", "llama-bpe", "deepseek-llm", "deepseek-coder", "falcon", "mpt", "starcoder", "gpt-2", "refact",
    "command-r", "stablelm2", "qwen2", "olmo", "dbrx", "smaug-bpe", "poro-chat", "chatglm-bpe", "glm4", "viking",
    "jais", "tekken", "smollm", "codeshell", "bloom", "gpt3-finnish", "exaone", "exaone4", "exaone-moe", "chameleon",
    "minerva-7b", "megrez", "deepseek-v3", "gpt-4o", "superbpe", "trillion", "bailingmoe", "llama4", "pixtral",
    "seed-coder", "hunyuan", "kimi-k2", "hunyuan-dense", "grok-2", "granite-docling", "minimax-m2", "afmoe",
    "solar-open", "youtu", "qwen35", "tiny_aya", "joyai-llm", "jais-2", "gemma4", "sarvam-moe", "minicpm5",
    "whitespace", "granite-embed-multi-97m", "mellum2", "laguna", "hy_v4", "spark2_5", "ufakzeka",
]  # fmt: skip
RAW_UTF8 = ("gemma4", "sarvam-moe", "whitespace")  # spell tokens as they are instead of in the byte alphabet
MODELS = ("llama", "bert", "t5", "rwkv", "plamo2")
ENCODERS = [*PRE_TOKENIZERS, *MODELS]
SPECIALS = ("<|begin|>", "<|end|>", "<|sep|>", "<|unk|>", "<|pad|>")
SPACE = "\u2581"

# Built from characters by merges: repeated pairs, so that long runs merge, and some words.
WORDS = ["AAAAAAAA", "        ", "!!!!", "\n\n\n\n", "1111", "éé", "一一", "the", " the", " quick", " fox", "ing", "12"]

# Kinds of characters, of which long runs are made.
RUNS = ["A", " ", "\n", "!", "1", "é", "一", "🦊", "Aé一🦊1! \n", "the quick fox "]


def run_of(pattern: str, size: int) -> str:
    """`size` characters of a pattern, over and over."""
    return (pattern * (size // len(pattern) + 1))[:size]


def write_vocabulary(path: Path, encoder: str) -> Path:
    """A vocabulary-only file for one of ENCODERS."""
    return (write_other if encoder in MODELS else write_bpe)(path, encoder)


def spelled(text: str, pre: str) -> list[str]:
    """The characters that a token of this text is written with."""
    if pre in RAW_UTF8:
        return list(text.replace(" ", SPACE) if pre != "whitespace" else text)
    alphabet = byte_alphabet()
    return [alphabet[byte] for byte in text.encode()]


def write_bpe(path: Path, pre: str) -> Path:
    """A byte-level BPE vocabulary with merges for WORDS."""
    texts = dict.fromkeys(byte_alphabet())
    if pre in RAW_UTF8:
        texts = dict.fromkeys([chr(c) for c in range(1, 128) if c != 32] + [SPACE])
        texts |= dict.fromkeys(f"<0x{byte:02X}>" for byte in range(256))
    merges: dict[str, None] = {}
    for word in WORDS:
        characters = spelled(word, pre)
        repeated = len(set(word)) == 1 and len(word.encode()) == len(word)
        if repeated:  # by doubling
            pieces = characters
            while len(pieces) > 1:
                texts[pieces[0] * 2] = None
                merges[f"{pieces[0]} {pieces[0]}"] = None
                pieces = [pieces[0] * 2] * (len(pieces) // 2)
            continue
        for end in range(1, len(characters)):
            left, right = "".join(characters[:end]), characters[end]
            texts |= {left: None, right: None, left + right: None}
            merges[f"{left} {right}"] = None
    tokens = [*texts, *SPECIALS]
    n_special = len(SPECIALS)
    types = [6 if len(t) == 6 and t.startswith("<0x") else 1 for t in texts] + [3] * n_special
    model = {"gemma4": "gemma4", "whitespace": "whitespace"}.get(pre, "gpt2")
    return write(path, model, pre, tokens, types, merges=list(merges))


def write_other(path: Path, model: str) -> Path:
    """A vocabulary of a tokenizer that is not BPE: unigrams, word pieces and the like, with a score for each token."""
    words = [word.replace(" ", SPACE) for word in WORDS]
    ascii_ = [chr(c) for c in range(33, 127)]
    if model == "rwkv":
        texts = [bytes([byte]) for byte in range(256)] + [word.encode() for word in [*WORDS, *SPECIALS]]
        tokens = [repr(text)[2:-1] for text in dict.fromkeys(texts)]
        return write(path, model, "", tokens, [1] * (len(tokens) - len(SPECIALS)) + [3] * len(SPECIALS))
    bytes_ = [f"<0x{byte:02X}>" for byte in range(256)]
    if model == "bert":
        pieces = [SPACE + c for c in ascii_] + ascii_ + [SPACE + word.strip(SPACE) for word in words] + ["ing"]
        pieces = [p for p in dict.fromkeys(pieces) if p != SPACE and "\n" not in p]
        specials = ["[UNK]", "[CLS]", "[SEP]", "[PAD]", "[MASK]"]
        return write(path, model, "", [*pieces, *specials], [1] * len(pieces) + [3] * 5)
    runs = [word[:n] for word in words for n in range(2, len(word) + 1)]
    texts = list(dict.fromkeys([*ascii_, SPACE, *runs]))
    tokens = ["<unk>", "<s>", "</s>", *bytes_, *texts, *SPECIALS]
    types = [2, 3, 3, *[6] * 256, *[1] * len(texts), *[3] * len(SPECIALS)]
    scores = [0.0] * 259 + [-1.0 - i / 1000 for i in range(len(texts))] + [0.0] * len(SPECIALS)
    return write(path, model, "", tokens, types, scores=scores)


def write(
    path: Path,
    model: str,
    pre: str,
    tokens: list[str],
    types: list[int],
    *,
    merges: list[str] | None = None,
    scores: list[float] | None = None,
) -> Path:
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type("model")
    writer.add_context_length(2048)
    writer.add_embedding_length(64)
    writer.add_block_count(1)
    writer.add_feed_forward_length(64)
    writer.add_head_count(1)
    writer.add_layer_norm_rms_eps(1e-6)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model(model)
    if pre:
        writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(types)
    if scores:
        writer.add_token_scores(scores)
    if merges:
        writer.add_token_merges(merges)
    n = len(tokens)
    writer.add_bos_token_id(n - 5 if model != "bert" else n - 4)
    writer.add_eos_token_id(n - 4)
    writer.add_sep_token_id(n - 3)
    writer.add_unk_token_id(
        n - 2 if model not in ("bert", "llama", "t5", "plamo2") else (n - 5 if model == "bert" else 0)
    )
    writer.add_pad_token_id(n - 1 if model != "bert" else n - 2)
    writer.add_add_bos_token(False)
    writer.add_add_eos_token(False)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()
    return path
