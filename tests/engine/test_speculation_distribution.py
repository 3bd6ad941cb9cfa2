"""Sampled tokens have the same distribution with drafts and without (a chi-square test of homogeneity).

For each source of drafts alone, with the whole distribution and with truncated ones. The seeds are fixed, so a build
passes always or never; a right one is refused with a chance of FALSE_ALARM per test.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from engine_fixtures import Driver, demo_model, tokenizer

from shimmy import _core, demo_draft_path

N_SAMPLES = 1000
N_TOKENS = 8
FALSE_ALARM = 1e-5
DEVIATIONS = 4.265  # of a normal distribution, passed with a chance of FALSE_ALARM
LEAST_DRAFTED = 0.3  # of the tokens; a wrong rule for them would move that part of the samples

# What lookup finds matches in: each word of the prompt has been followed by several.
REPEATED = "the cat and the dog and the cat and the fox and the dog and the cat and the"
PROMPTS = {"lookup": REPEATED, "draft model": "The cat and the"}
# The last tokens that a truncation lets through have little weight here, since other batch shapes move some of them
# across its edge: with top_p 0.8 one of four percent, which shows.
SAMPLINGS: dict[str, dict[str, Any]] = {
    "whole": {"temperature": 1.0},
    "truncated": {"temperature": 1.0, "top_k": 20, "top_p": 0.95},
}
Sample = tuple[int, ...]


def samples(source: str, sampling: dict[str, Any], *, speculation: bool, seed: int) -> tuple[list[Sample], int, int]:
    """The tokens of each answer, and how many tokens were drafted and accepted."""
    draft = _core.Model(str(demo_draft_path())) if source == "draft model" else None
    context = _core.ContextParams(n_ctx=2048, n_batch=512, n_threads=1)
    params = _core.EngineParams(max_num_seqs=16, max_waiting=N_SAMPLES, adaptive_draft=False, max_draft=8)
    engine = _core.Engine(demo_model(), context, params, draft)
    engine.start()
    try:
        driver = Driver(engine)
        prompt = tokenizer().encode(PROMPTS[source])
        for i in range(N_SAMPLES):
            chosen = _core.SamplingParams(seed=seed + i, **sampling)
            driver.ask(prompt, chosen, max_tokens=N_TOKENS, ignore_eos=True, speculation=speculation)
        driver.wait()
        stats = engine.stats
    finally:
        engine.shutdown()
    return [tuple(one.tokens) for one in driver.answers.values()], stats.drafted_tokens, stats.accepted_tokens


def chi_square(a: Counter[Sample], b: Counter[Sample]) -> tuple[float, int]:
    """The statistic and its degrees of freedom; rare outcomes are counted together."""
    cells = [(a[key], b[key]) for key in set(a) | set(b)]
    common = [cell for cell in cells if sum(cell) >= 10]
    rare = [cell for cell in cells if sum(cell) < 10]
    table = [*common, (sum(one for one, _ in rare), sum(other for _, other in rare))]
    table = [cell for cell in table if sum(cell) > 0]
    return sum((one - other) ** 2 / (one + other) for one, other in table), len(table) - 1


def bound(freedom: int) -> float:
    """The upper FALSE_ALARM quantile of chi-square (Wilson and Hilferty's normal approximation)."""
    return freedom * (1 - 2 / (9 * freedom) + DEVIATIONS * math.sqrt(2 / (9 * freedom))) ** 3


@pytest.mark.parametrize("sampling", SAMPLINGS.values(), ids=SAMPLINGS.keys())
@pytest.mark.parametrize("source", PROMPTS)
def test_the_distribution_stays(
    source: str, sampling: dict[str, Any], record_property: Callable[[str, object], None]
) -> None:
    plain, none, _ = samples(source, sampling, speculation=False, seed=1)
    drafted, n_drafted, n_accepted = samples(source, sampling, speculation=True, seed=100_000)
    assert none == 0
    share = n_drafted / (N_SAMPLES * N_TOKENS)
    record_property("drafted_share", share)
    record_property("accepted_tokens", n_accepted)
    assert share >= LEAST_DRAFTED
    assert 0 < n_accepted < n_drafted
    for first in (0, 2, N_TOKENS - 2):  # pairs of tokens, from the first that drafts can hold to the last
        outcomes = [Counter(answer[first : first + 2] for answer in answers) for answers in (plain, drafted)]
        statistic, freedom = chi_square(*outcomes)
        record_property(f"chi_square_{first}", f"{statistic:.1f} of {freedom}")
        assert freedom >= 3
        assert statistic < bound(freedom), f"tokens {first} and {first + 1}"


def test_the_bound_is_the_quantile_and_another_distribution_passes_it() -> None:
    for freedom in (4, 10, 40, 100):
        half = bound(freedom) / 2
        beyond = math.exp(-half) * sum(half**k / math.factorial(k) for k in range(freedom // 2))
        assert 0.3 * FALSE_ALARM < beyond < 1.1 * FALSE_ALARM  # exact where the degrees are even
    even = Counter({(0,): 500, (1,): 500, (2,): 500})
    shifted = Counter({(0,): 600, (1,): 450, (2,): 450})
    statistic, freedom = chi_square(even, shifted)
    assert (freedom, statistic < bound(freedom)) == (2, True)
    statistic, freedom = chi_square(even, Counter({(0,): 700, (1,): 400, (2,): 400}))
    assert statistic > bound(freedom)
