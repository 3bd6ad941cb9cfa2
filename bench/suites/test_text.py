"""From text to tokens and back."""

from __future__ import annotations

import random

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shimmy import _core

_PROSE = "The old lamp stands on the table near the window, and the green door leads to the garden. "
_CODE = "def total(items: list[int]) -> int:\n    result = 0\n    for item in items:\n        result += item\n"
TEXTS = {"prose": _PROSE * 120, "code": _CODE * 100, "emoji": "🦊 fox and 日本語 text. " * 400}
"""About 10 kB each."""


@pytest.mark.parametrize("kind", TEXTS)
def test_encode(benchmark: BenchmarkFixture, tokenizer: _core.Tokenizer, kind: str) -> None:
    benchmark.extra_info["bytes"] = len(TEXTS[kind].encode())
    benchmark(tokenizer.encode, TEXTS[kind])


@pytest.mark.parametrize("kind", TEXTS)
def test_decode(benchmark: BenchmarkFixture, tokenizer: _core.Tokenizer, kind: str) -> None:
    tokens = tokenizer.encode(TEXTS[kind])
    benchmark.extra_info["tokens"] = len(tokens)
    benchmark(tokenizer.decode, tokens)


def test_detokenize_token_by_token(benchmark: BenchmarkFixture, tokenizer: _core.Tokenizer) -> None:
    """1,000 random tokens, most of which end inside a character now and then."""
    draw = random.Random(1)
    tokens = [draw.randrange(tokenizer.n_vocab) for _ in range(1000)]

    def run() -> None:
        detokenizer = _core.Detokenizer(tokenizer)
        for token in tokens:
            detokenizer.push(token)
        detokenizer.flush()

    benchmark(run)
