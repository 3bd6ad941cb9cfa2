"""Byte-level BPE tokenizer of the demo model (Qwen2 pre-tokenizer, so llama.cpp loads it as ``gpt2``/``qwen2``).

The merges are learned in two stages.  First words, punctuation and whitespace runs are learned *without* the space in
front of them; then the most frequent "space + first piece" pairs are appended as the last merges.  A word is therefore
split the same way wherever it stands (``weather``, `` weather``, ``get_weather``, ``"weather``), which makes copying a
string from one context to another easy for a tiny model.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import regex
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    pre_tokenizers,
    trainers,
)

from .corpus import training_texts

VOCAB_SIZE = 4096
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>")
USER_DEFINED = ("<tool_call>", "</tool_call>")
QWEN2_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
ISOLATED_PATTERN = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
SPACE = "Ġ"  # byte-level alphabet character of the space


def _pre_tokenizer(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _build(vocab: dict[str, int], merges: list[tuple[str, str]]) -> Tokenizer:
    tok = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tok.pre_tokenizer = _pre_tokenizer(QWEN2_PATTERN)
    tok.decoder = decoders.ByteLevel()
    tok.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in SPECIAL])
    tok.add_tokens([AddedToken(t, special=False, normalized=False) for t in USER_DEFINED])
    return tok


def train(texts: Iterable[str], vocab_size: int = VOCAB_SIZE, word_share: float = 0.6) -> Tokenizer:
    """Learn the tokenizer from sample documents."""
    markers = regex.compile("|".join(regex.escape(t) for t in SPECIAL + USER_DEFINED))
    parts = [part for text in texts for part in markers.split(text) if part]
    room = vocab_size - 256 - len(SPECIAL) - len(USER_DEFINED)
    n_words = int(room * word_share)

    base = Tokenizer(models.BPE())
    base.pre_tokenizer = _pre_tokenizer(ISOLATED_PATTERN)
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    base.train_from_iterator(
        parts, trainers.BpeTrainer(vocab_size=256 + n_words, initial_alphabet=alphabet, show_progress=False)
    )
    merges: list[tuple[str, str]] = [tuple(m) for m in json.loads(base.to_str())["model"]["merges"]]

    # Which first pieces follow a space, and how often?
    counts: Counter[str] = Counter()
    pattern = regex.compile(QWEN2_PATTERN)
    for part in parts:
        counts.update(p[1:] for p in pattern.findall(part) if len(p) > 1 and p[0] == " " and not p[1].isspace())
    firsts: Counter[str] = Counter()
    for word, n in counts.items():
        firsts[base.encode(word).tokens[0]] += n
    room -= len(merges)
    merges += [(SPACE, piece) for piece, _ in firsts.most_common(room)]

    vocab = {t: i for i, t in enumerate(alphabet)}
    for left, right in merges:
        vocab.setdefault(left + right, len(vocab))
    for i in range(vocab_size - len(vocab) - len(SPECIAL) - len(USER_DEFINED)):
        vocab[f"[unused{i}]"] = len(vocab)
    return _build(vocab, merges)


def load(path: str | Path) -> Tokenizer:
    return Tokenizer.from_file(str(path))


def token_id(tok: Tokenizer, token: str) -> int:
    """The id of a token that must exist."""
    found = tok.token_to_id(token)
    if found is None:
        raise KeyError(token)
    return int(found)


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the tokenizer on a sample of the synthetic corpus.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("tokenizer.json"))
    parser.add_argument("--documents", type=int, default=40_000)
    parser.add_argument("--seed", type=int, default=123)
    args = parser.parse_args()
    stream = training_texts(args.seed)
    texts = [next(stream) for _ in range(args.documents)]
    tok = train(texts)
    tok.save(str(args.out))
    sample = texts[:500]
    ids = [tok.encode(t).ids for t in sample]
    assert all(tok.decode(i, skip_special_tokens=False) == t for i, t in zip(ids, sample, strict=True))
    print(f"{tok.get_vocab_size()} tokens, {sum(map(len, sample)) / sum(map(len, ids)):.2f} characters per token")


if __name__ == "__main__":
    main()
