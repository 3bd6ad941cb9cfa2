"""Sampled tokens have the same distribution with drafts and without (a chi-square test of homogeneity)."""

from __future__ import annotations

import math
from collections import Counter

import pytest
from engine_fixtures import Driver, demo_model, tokenizer

from shimmy import _core, demo_draft_path

N_SAMPLES = 1500
Pair = tuple[int, ...]


def samples(prompt: list[int], *, speculation: bool, seed: int) -> tuple[Counter[Pair], int, int]:
    """How often each continuation came, and how many tokens were drafted and accepted."""
    draft = _core.Model(str(demo_draft_path()))
    context = _core.ContextParams(n_ctx=2048, n_batch=512, n_threads=1)
    engine = _core.Engine(
        demo_model(), context, _core.EngineParams(max_num_seqs=16, max_waiting=N_SAMPLES, adaptive_draft=False), draft
    )
    engine.start()
    try:
        driver = Driver(engine)
        for i in range(N_SAMPLES):
            sampling = _core.SamplingParams(temperature=1.0, seed=seed + i)
            driver.ask(prompt, sampling, max_tokens=6, speculation=speculation)
        driver.wait()
        answers = driver.answers.values()
        drafted = sum(answer.usage.drafted_tokens for answer in answers)
        return Counter(tuple(one.tokens[2:4]) for one in answers), drafted, engine.stats.accepted_tokens
    finally:
        engine.shutdown()


def chi_square(a: Counter[Pair], b: Counter[Pair]) -> tuple[float, int]:
    """The statistic and its degrees of freedom; rare outcomes are counted together."""
    cells = [(a[key], b[key]) for key in set(a) | set(b)]
    common = [cell for cell in cells if sum(cell) >= 10]
    rare = [cell for cell in cells if sum(cell) < 10]
    table = [*common, (sum(one for one, _ in rare), sum(other for _, other in rare))]
    table = [cell for cell in table if sum(cell) > 0]
    return sum((one - other) ** 2 / (one + other) for one, other in table), len(table) - 1


@pytest.mark.parametrize("text", ["The cat and the"])
def test_the_distribution_stays(text: str) -> None:
    prompt = tokenizer().encode(text)
    plain, none, _ = samples(prompt, speculation=False, seed=1)
    drafted, n_drafted, n_accepted = samples(prompt, speculation=True, seed=100_000)
    assert none == 0
    assert n_drafted >= N_SAMPLES // 20
    assert 0 < n_accepted < n_drafted
    statistic, freedom = chi_square(plain, drafted)
    assert freedom >= 3
    # Wilson and Hilferty's normal approximation of its upper 1e-5 quantile (4.26 standard deviations)
    bound = freedom * (1 - 2 / (9 * freedom) + 4.26 * math.sqrt(2 / (9 * freedom))) ** 3
    assert statistic < bound
