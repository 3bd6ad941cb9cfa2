"""What the engine adds to llama_decode: steps, stop strings, prefix reuse."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from shimmy import LLM

N_NEW = 48
STOPS = [f"a text that never comes {number}" for number in range(64)]


def run_streams(llm: LLM, prompts: list[list[int]], **options: Any) -> None:
    with ThreadPoolExecutor(len(prompts)) as pool:
        list(pool.map(lambda prompt: llm.generate(prompt, ignore_eos=True, temperature=0, **options), prompts))


def measure_steps(benchmark: BenchmarkFixture, llm: LLM, streams: int, **options: Any) -> None:
    """Adds to the result the share of the steps' time that was not in llama_decode, and that time per step."""
    prompts = [llm.tokenizer.encode(f"Question number {number}") for number in range(streams)]
    before = llm.stats()
    benchmark.pedantic(run_streams, (llm, prompts), {"max_tokens": N_NEW, **options}, rounds=5, warmup_rounds=1)
    after = llm.stats()
    steps = after.step_seconds - before.step_seconds
    outside = steps - (after.decode_seconds - before.decode_seconds)
    benchmark.extra_info["outside_decode_percent"] = round(100 * outside / steps, 2)
    benchmark.extra_info["outside_decode_us_per_step"] = round(1e6 * outside / (after.steps - before.steps), 1)


@pytest.mark.parametrize("streams", [1, 4, 8])
def test_steps(benchmark: BenchmarkFixture, llm: LLM, streams: int) -> None:
    measure_steps(benchmark, llm, streams)


def test_steps_with_the_default_chain(benchmark: BenchmarkFixture, llm: LLM) -> None:
    prompt = llm.tokenizer.encode("Question")
    benchmark.pedantic(
        llm.generate, (prompt,), {"max_tokens": N_NEW, "ignore_eos": True, "seed": 1}, rounds=5, warmup_rounds=1
    )


def test_steps_with_64_stop_strings(benchmark: BenchmarkFixture, llm: LLM) -> None:
    measure_steps(benchmark, llm, 1, stop=STOPS)


def test_steps_with_logprobs(benchmark: BenchmarkFixture, llm: LLM) -> None:
    measure_steps(benchmark, llm, 1, logprobs=5)


@pytest.mark.parametrize("n_prompt", [64, 1024])
def test_first_token_of_a_cached_prompt(benchmark: BenchmarkFixture, llm: LLM, n_prompt: int) -> None:
    words = llm.tokenizer.encode("The old lamp stands near the window. " * 200)[:n_prompt]
    benchmark.pedantic(llm.generate, (words,), {"max_tokens": 1, "temperature": 0}, rounds=20, warmup_rounds=2)


def test_first_token_with_12_prefixes_kept(benchmark: BenchmarkFixture, llm: LLM) -> None:
    """The same, with other prompts to search through; all differ from their first token on."""
    prompts = [[1000 + number] * 64 for number in range(12)]
    for prompt in prompts:
        llm.generate(prompt, max_tokens=1, temperature=0)
    benchmark.pedantic(llm.generate, (prompts[0],), {"max_tokens": 1, "temperature": 0}, rounds=20, warmup_rounds=2)
