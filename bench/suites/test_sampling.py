"""Choosing one token from logits of a whole vocabulary."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shimmy import _core

CHAINS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "temperature": {"temperature": 0.8, "samplers": ["temperature"]},
    "default chain": {"temperature": 0.8},
    "top_k 40": {"temperature": 0.8, "top_k": 40, "samplers": ["top_k", "temperature"]},
    "top_p 0.95": {"temperature": 0.8, "top_p": 0.95, "samplers": ["top_p", "temperature"]},
    "penalties": {"temperature": 0.8, "repeat_penalty": 1.1, "presence_penalty": 0.5},
}


@pytest.mark.parametrize("chain", CHAINS)
def test_sample(benchmark: BenchmarkFixture, tokenizer: _core.Tokenizer, chain: str) -> None:
    sampler = _core.Sampler(tokenizer, _core.SamplingParams(seed=1, **CHAINS[chain]))
    logits = np.random.default_rng(0).normal(0, 3, tokenizer.n_vocab).astype(np.float32)
    for token in range(64):
        sampler.accept(token)
    benchmark(sampler.sample, logits)


@pytest.mark.parametrize("n_top", [0, 20])
def test_logprobs(benchmark: BenchmarkFixture, tokenizer: _core.Tokenizer, n_top: int) -> None:
    logits = np.random.default_rng(0).normal(0, 3, tokenizer.n_vocab).astype(np.float32)
    benchmark(_core.logprobs, logits, 1, n_top)
