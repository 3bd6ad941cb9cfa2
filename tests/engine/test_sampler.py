"""Sampler: each option does what its formula says, alone and in order, and the same seed gives the same tokens."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from engine_fixtures import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from shimmy._core import Sampler, SamplingParams
from shimmy.errors import DecodeError, InvalidRequestError

N = tokenizer().n_vocab
INF = math.inf
Row = NDArray[np.float32]

LOGITS: Row = np.random.default_rng(1).normal(0, 3, N).astype(np.float32)
ORDER = np.argsort(-LOGITS, kind="stable")
BEST = int(ORDER[0])


def sampler(**params: Any) -> Sampler:
    return Sampler(tokenizer(), SamplingParams(**params))


def softmax(logits: Row | NDArray[np.float64]) -> NDArray[np.float64]:
    weights = np.exp(logits.astype(np.float64) - logits.max())
    return weights / weights.sum()


def left(made: Sampler, logits: Row = LOGITS) -> dict[int, float]:
    """Probabilities of the tokens that the samplers leave."""
    return {token: p for token, p in made.top(logits, N) if p > 0}


def draws(made: Sampler, n: int = 24, logits: Row = LOGITS) -> list[int]:
    tokens = []
    for _ in range(n):
        tokens.append(made.sample(logits))
        made.accept(tokens[-1])
    return tokens


def assert_distribution(made: Sampler, logits: Row | NDArray[np.float64], shown: Row = LOGITS) -> None:
    found = np.zeros(N)
    for token, p in left(made, shown).items():
        found[token] = p
    np.testing.assert_allclose(found, softmax(logits), rtol=1e-3, atol=1e-9)


PROBABILITIES = softmax(LOGITS)


# --- the plain distribution


def test_defaults_leave_the_models_distribution() -> None:
    assert_distribution(sampler(), LOGITS)
    assert [token for token, _ in sampler().top(LOGITS, 10)] == ORDER[:10].tolist()
    assert sampler().top(LOGITS, 0) == sampler().top(LOGITS, -1) == []
    assert len(sampler().top(LOGITS, 10**6)) == N


def test_draws_follow_the_distribution() -> None:
    counts = Counter(draws(sampler(seed=3, top_k=8), 4000))
    expected = left(sampler(top_k=8))
    assert counts.keys() <= expected.keys()
    for token, p in expected.items():
        assert counts[token] / 4000 == pytest.approx(p, abs=0.03)


@pytest.mark.parametrize("temperature", [0.0, 1e-9])
def test_temperature_0_is_the_arg_max_and_of_equals_the_first(temperature: float) -> None:
    made = sampler(temperature=temperature, top_k=5, top_p=0.5, xtc_probability=1.0)
    assert draws(made) == [BEST] * 24
    tied = np.zeros(N, np.float32)
    tied[[7, 9]] = 1
    assert sampler(temperature=temperature).sample(tied) == 7


@given(st.floats(0.05, 10))
@settings(max_examples=20, deadline=None)
def test_temperature_divides_logits(temperature: float) -> None:
    assert_distribution(sampler(temperature=temperature), LOGITS / np.float32(temperature))


@pytest.mark.parametrize("temperature", [1e-5, 1e-4, 1e-3])
def test_temperatures_near_0_are_the_arg_max(temperature: float) -> None:
    assert draws(sampler(temperature=temperature, seed=1)) == [BEST] * 24
    assert sampler(temperature=temperature, dynatemp_range=0.001).top(LOGITS, 1) == [(BEST, 1.0)]


# --- what truncates


@given(st.integers(1, N + 10))
@settings(max_examples=40, deadline=None)
def test_top_k_keeps_the_k_likeliest(k: int) -> None:
    assert set(left(sampler(top_k=k))) == set(ORDER[:k].tolist())


@given(st.floats(0.001, 0.999))
@settings(max_examples=40, deadline=None)
def test_top_p_keeps_the_least_mass_that_is_enough(p: float) -> None:
    kept = left(sampler(top_p=p))
    assert set(kept) == set(ORDER[: len(kept)].tolist())
    mass = PROBABILITIES[ORDER[: len(kept)]]
    assert mass.sum() >= p - 1e-4
    assert mass[:-1].sum() < p + 1e-4


@given(st.floats(0.0001, 1))
@settings(max_examples=40, deadline=None)
def test_min_p_bounds_the_ratio_to_the_likeliest(min_p: float) -> None:
    kept = left(sampler(min_p=min_p))
    for token in range(N):
        ratio = PROBABILITIES[token] / PROBABILITIES[BEST]
        assert token in kept or ratio < min_p * (1 + 1e-4)
        assert token not in kept or ratio > min_p * (1 - 1e-4)


@given(st.floats(0.05, 0.95))
@settings(max_examples=20, deadline=None)
def test_typical_p_keeps_what_is_nearest_to_the_entropy(typical_p: float) -> None:
    surprise = -np.log(PROBABILITIES)
    order = np.argsort(np.abs(surprise - (PROBABILITIES * surprise).sum()))
    count = int((np.cumsum(PROBABILITIES[order]) <= typical_p).sum()) + 1
    kept = set(left(sampler(typical_p=typical_p)))
    assert len(kept ^ set(order[:count].tolist())) <= 2


def test_typical_p_bears_tokens_without_probability() -> None:
    row = np.full(N, -INF, np.float32)
    row[:6] = np.log([0.4, 0.3, 0.1, 0.1, 0.05, 0.05])
    wide = row.copy()
    wide[6:] = -200
    # The entropy is 1.56, so 0.3 (1.20) and 0.1 (2.30) are nearer to it than 0.4 (0.92).
    assert set(left(sampler(typical_p=0.25), row)) == set(left(sampler(typical_p=0.25), wide)) == {1}


@given(st.floats(0.1, 4))
@settings(max_examples=20, deadline=None)
def test_top_n_sigma_keeps_logits_near_the_highest(n: float) -> None:
    bound = LOGITS.max() - n * LOGITS.std()
    kept = set(left(sampler(top_n_sigma=n)))
    near = set(np.flatnonzero(np.abs(LOGITS - bound) < 1e-3).tolist())
    assert kept - near == set(np.flatnonzero(bound <= LOGITS).tolist()) - near


@pytest.mark.parametrize("params", [{"top_p": 1e-6}, {"min_p": 1.0}, {"typical_p": 1e-6}])
def test_min_keep_is_kept(params: dict[str, float]) -> None:
    assert len(left(sampler(**params))) == 1
    assert len(left(sampler(**params, min_keep=5))) == 5


def test_xtc_removes_all_but_the_least_of_the_likely() -> None:
    row = np.full(N, -INF, np.float32)
    row[:5] = np.log([0.4, 0.3, 0.15, 0.1, 0.05])
    assert set(left(sampler(xtc_probability=1.0, xtc_threshold=0.12), row)) == {2, 3, 4}
    assert set(left(sampler(xtc_probability=1.0, xtc_threshold=0.35), row)) == {0, 1, 2, 3, 4}
    assert set(left(sampler(xtc_probability=1.0, xtc_threshold=0.51), row)) == {0, 1, 2, 3, 4}
    half = draws(sampler(xtc_probability=0.5, xtc_threshold=0.12, seed=5), 400, row)
    assert 0.1 < half.count(0) / 400 < 0.3


def test_dynatemp_follows_the_entropy() -> None:
    entropy = -(PROBABILITIES * np.log(PROBABILITIES)).sum() / math.log(N)
    for exponent in (0.5, 1.0, 3.0):
        temperature = 0.5 + 1.0 * entropy**exponent
        made = sampler(temperature=1.0, dynatemp_range=0.5, dynatemp_exponent=exponent)
        assert_distribution(made, LOGITS / np.float32(temperature))


@pytest.mark.parametrize("height", [1.0, 50.0, 1e4, -1e4])
def test_dynatemp_of_a_sure_row_is_sure(height: float) -> None:
    row = np.full(N, height - 300, np.float32)
    row[17] = height
    for params in ({}, {"top_p": 0.9, "samplers": ["temperature", "typical_p", "top_p"], "typical_p": 0.9}):
        made = sampler(temperature=0.5, dynatemp_range=5.0, dynatemp_exponent=9.0, seed=1, **params)
        assert draws(made, logits=row) == [17] * 24


# --- what looks back


def penalised(counts: dict[int, int], repeat: float, frequency: float, presence: float) -> Row:
    row = LOGITS.copy()
    for token, count in counts.items():
        row[token] = row[token] * repeat if row[token] <= 0 else row[token] / repeat
        row[token] -= count * frequency + presence
    return row


@given(
    st.lists(st.sampled_from([BEST, int(ORDER[1]), int(ORDER[-1]), 5]), max_size=30),
    st.floats(0.5, 2),
    st.floats(-2, 2),
    st.floats(-2, 2),
    st.integers(1, 40),
)
@settings(max_examples=40, deadline=None)
def test_penalties_are_llama_cpps_formula(
    history: list[int], repeat: float, frequency: float, presence: float, last_n: int
) -> None:
    options = {"repeat_penalty": repeat, "frequency_penalty": frequency, "presence_penalty": presence}
    made = sampler(**options, repeat_last_n=last_n)
    for token in history:
        made.accept(token)
    assert_distribution(made, penalised(Counter(history[-last_n:]), repeat, frequency, presence))


def test_penalties_look_back_as_far_as_they_are_told() -> None:
    for last_n, counted in ((0, {}), (2, {8: 2}), (-1, {7: 1, 8: 80})):
        made = sampler(frequency_penalty=0.1, repeat_last_n=last_n)
        for token in [7] + [8] * 80:
            made.accept(token)
        assert_distribution(made, penalised(counted, 1.0, 0.1, 0.0))


def test_penalties_hold_for_the_arg_max() -> None:
    made = sampler(temperature=0.0, presence_penalty=2.0, repeat_penalty=2.0)
    assert made.sample(LOGITS) == BEST
    made.accept(BEST)
    assert made.sample(LOGITS) == ORDER[1]


def test_dry_lowers_what_would_go_on_with_a_repetition() -> None:
    z, a, b, c = 999, 1000, 1001, 1002
    for repeated, length in ([b], 1), ([a, b], 2), ([z, a, b], 3):
        made = sampler(dry_multiplier=0.8, dry_base=1.75, dry_allowed_length=2)
        for token in [z, a, b, c, 55, 66, *repeated]:
            made.accept(token)
        row = LOGITS.copy()
        if length >= 2:
            row[c] -= 0.8 * 1.75 ** (length - 2)
        assert_distribution(made, row)
    assert_distribution(sampler(dry_multiplier=0.8), LOGITS)


def test_dry_looks_back_as_far_as_told_and_not_over_breakers() -> None:
    newline = tokenizer().encode("\n", add_special=False)[0]
    a, b, c = 1000, 1001, 1002
    for params, between in ({"dry_penalty_last_n": 0}, []), ({"dry_penalty_last_n": 3}, []), ({}, [newline]):
        made = sampler(dry_multiplier=0.8, **params)
        for token in [a, b, c, 55, a, *between, b]:
            made.accept(token)
        assert_distribution(made, LOGITS)
    made = sampler(dry_multiplier=0.8, dry_sequence_breakers=[])
    for token in [a, newline, c, 55, a, newline]:
        made.accept(token)
    assert left(made)[c] < PROBABILITIES[c] * 0.6


# --- what replaces the choice


@pytest.mark.parametrize("params", [{"mirostat": 1}, {"mirostat": 2}], ids=str)
def test_mirostat_aims_at_a_surprise(params: dict[str, int]) -> None:
    def surprise(tau: float) -> float:
        tokens = draws(sampler(**params, mirostat_tau=tau, seed=2), 200)
        return float(-np.log2(PROBABILITIES[tokens[50:]]).mean())

    low, high = surprise(2.0), surprise(6.0)
    assert low < 4 < high
    assert draws(sampler(**params, seed=2, mirostat_eta=0.01)) != draws(sampler(**params, seed=2, mirostat_eta=1.0))


def test_adaptive_p_aims_at_a_probability() -> None:
    row = np.full(N, -INF, np.float32)
    row[:6] = np.log([0.5, 0.25, 0.12, 0.06, 0.04, 0.03])
    p = np.exp(row)

    def mean(target: float, **params: float) -> float:
        return float(p[draws(sampler(adaptive_target=target, seed=4, **params), 300, row)].mean())

    assert mean(0.0) < mean(0.2) < mean(0.5)
    assert mean(0.25) == pytest.approx(0.25, abs=0.05)
    assert draws(sampler(adaptive_target=0.3, adaptive_decay=0.0, seed=4), 40, row) != draws(
        sampler(adaptive_target=0.3, adaptive_decay=0.99, seed=4), 40, row
    )


def test_infill_ends_or_goes_on() -> None:
    order = ["top_k", "top_p", "infill"]
    row = np.full(N, -30, np.float32)
    row[BEST] = 10
    assert draws(sampler(samplers=order, top_k=20, seed=1), logits=row) == [BEST] * 24
    row[tokenizer().eos] = 11
    assert tokenizer().is_eog(sampler(samplers=["infill"], seed=1).sample(row))


# --- bias, order, state


def test_logit_bias_forces_bans_and_adds() -> None:
    assert draws(sampler(logit_bias={5: 1e9}, seed=1)) == [5] * 24
    assert sampler(logit_bias={5: 1e9}, temperature=0.0).sample(LOGITS) == 5
    assert sampler(logit_bias={BEST: -INF}, temperature=0.0).sample(LOGITS) == ORDER[1]
    banned = dict.fromkeys(ORDER[:50].tolist(), -INF)
    assert not set(left(sampler(logit_bias=banned, top_k=60))) & set(banned)
    row = LOGITS.copy()
    row[[5, 6]] += [1.5, -2.0]
    assert_distribution(sampler(logit_bias={5: 1.5, 6: -2.0}), row)
    both = left(sampler(logit_bias={5: 1e9, 6: 1e9}, top_p=0.9, typical_p=0.95, temperature=0.5))
    assert set(both) == {5, 6}


def test_samplers_run_in_the_order_given_and_no_others() -> None:
    cool = {"top_p": 0.5, "temperature": 0.3}
    first = left(sampler(**cool, samplers=["temperature", "top_p"]))
    last = left(sampler(**cool, samplers=["top_p", "temperature"]))
    assert len(first) < len(last) == len(left(sampler(top_p=0.5)))
    assert_distribution(sampler(**cool, top_k=3, samplers=[]), LOGITS)


# One change of each field that moves the distribution or the draws of REPEATING, and what must be on for it to.
REPEATING = [1000, 1001, 1002, 55, 1000, 1001]
ALONE: dict[str, tuple[Any, dict[str, Any]]] = {
    "temperature": (0.5, {}),
    "top_k": (3, {}),
    "top_p": (0.5, {}),
    "min_p": (0.5, {}),
    "typical_p": (0.5, {}),
    "top_n_sigma": (1.0, {}),
    "min_keep": (7, {"top_p": 0.01}),
    "repeat_penalty": (1.5, {}),
    "repeat_last_n": (1, {"presence_penalty": 1.0}),
    "frequency_penalty": (0.5, {}),
    "presence_penalty": (0.5, {}),
    "xtc_probability": (1.0, {"xtc_threshold": 0.01}),
    "xtc_threshold": (0.01, {"xtc_probability": 1.0}),
    "dynatemp_range": (0.5, {}),
    "dynatemp_exponent": (3.0, {"dynatemp_range": 0.5}),
    "dry_multiplier": (0.8, {}),
    "dry_base": (3.0, {"dry_multiplier": 0.8, "dry_allowed_length": 1}),
    "dry_allowed_length": (1, {"dry_multiplier": 0.8}),
    "dry_penalty_last_n": (0, {"dry_multiplier": 0.8}),
    "dry_sequence_breakers": ([tokenizer().piece(1001).decode()], {"dry_multiplier": 0.8}),
    "mirostat": (2, {}),
    "mirostat_tau": (2.0, {"mirostat": 2}),
    "mirostat_eta": (1.0, {"mirostat": 2}),
    "adaptive_target": (0.3, {}),
    "adaptive_decay": (0.0, {"adaptive_target": 0.3}),
    "samplers": (["top_k"], {"temperature": 0.5}),
    "logit_bias": ({5: 9.0}, {}),
    "seed": (2, {}),
}


def test_every_field_is_in_the_table() -> None:
    assert ALONE.keys() == {name for name in vars(SamplingParams) if not name.startswith("_")}


@pytest.mark.parametrize("field", ALONE)
def test_each_field_alone_changes_something_and_is_reproducible(field: str) -> None:
    value, needs = ALONE[field]
    base = {"seed": 1, **needs}

    def run(**params: Any) -> tuple[dict[int, float], list[int]]:
        made = sampler(**params)
        for token in REPEATING:
            made.accept(token)
        return left(made), draws(made, 60)

    assert run(**base) != run(**{**base, field: value})
    assert run(**{**base, field: value}) == run(**{**base, field: value})


STATEFUL = [
    {},
    {"xtc_probability": 0.5, "xtc_threshold": 0.001},
    {"mirostat": 1},
    {"mirostat": 2},
    {"adaptive_target": 0.2},
    {"repeat_penalty": 1.3, "dry_multiplier": 0.8, "frequency_penalty": 0.5},
    {"temperature": 0.0, "presence_penalty": 1.0},
]


@pytest.mark.parametrize("params", STATEFUL, ids=str)
def test_clone_goes_on_alike_and_apart_and_reset_starts_anew(params: dict[str, Any]) -> None:
    made = sampler(**params, seed=9)
    first = draws(made, 10)
    made.sample(LOGITS)
    clone = made.clone()
    rest = draws(made, 20)
    assert draws(clone, 20) == rest
    draws(clone, 7)
    made.reset()
    assert draws(made, 10) == first
    del made
    clone.reset()
    assert draws(clone, 10) == first


@pytest.mark.parametrize("params", STATEFUL, ids=str)
def test_top_changes_nothing(params: dict[str, Any]) -> None:
    watched, alone = sampler(**params, seed=9), sampler(**params, seed=9)
    for _ in range(20):
        watched.top(LOGITS, 3)
        assert watched.top(LOGITS, 3) == watched.top(LOGITS, 3)
        token = watched.sample(LOGITS)
        watched.top(LOGITS, 1)
        assert token == alone.sample(LOGITS)
        watched.accept(token)
        alone.accept(token)


@pytest.mark.parametrize("params", STATEFUL, ids=str)
def test_set_history_takes_tokens_back(params: dict[str, Any]) -> None:
    if "mirostat" in params:
        return  # its state follows what was sampled
    went_on, took_back = sampler(**params, seed=9), sampler(**params, seed=9)
    kept = draws(went_on, 6)
    assert draws(took_back, 6) == kept
    went_on.sample(LOGITS)
    took_back.accept(took_back.sample(LOGITS))
    took_back.accept(BEST)
    took_back.set_history(kept)
    assert left(took_back) == left(went_on)
    assert draws(took_back, 20) == draws(went_on, 20)
    with pytest.raises(InvalidRequestError, match=f"tokens holds token {N}"):
        took_back.set_history([1, N])


def test_adaptive_p_forgets_what_is_taken_back() -> None:
    fresh, took_back = sampler(adaptive_target=0.2, seed=9), sampler(adaptive_target=0.2, seed=9)
    for _ in range(5):
        fresh.sample(LOGITS)
    draws(took_back, 5)
    took_back.set_history([])
    assert draws(took_back, 10) == draws(fresh, 10)


def test_banned_tokens_are_left_out_of_one_choice() -> None:
    for params in ({"temperature": 0.0}, {"seed": 1}, {"seed": 1, "top_k": 5}, {"seed": 1, "top_p": 0.5}):
        made = sampler(**params)
        banned = ORDER[:300].tolist()
        assert not {made.sample(LOGITS, banned=banned) for _ in range(20)} & set(banned)
    assert sampler(temperature=0.0).sample(LOGITS, banned=[BEST]) == ORDER[1]
    with pytest.raises(InvalidRequestError, match=f"banned holds token {N}"):
        sampler().sample(LOGITS, banned=[N])
    with pytest.raises(DecodeError, match="banned tokens leave none"):
        sampler().sample(LOGITS, banned=list(range(N)))


def test_the_caller_may_change_the_row() -> None:
    """A logits processor is a function of the array that `sample` gets."""
    row = LOGITS.copy()
    row[[11, 12]] += 100.0
    row[12] = -np.inf
    before = row.copy()
    for params in ({}, {"temperature": 0.0}, {"top_k": 5}, {"presence_penalty": 1.0, "logit_bias": {5: 1.0}}):
        made = sampler(seed=1, **params)
        made.accept(11)
        assert made.sample(row) == 11
        assert np.array_equal(row, before)
    readonly = row.copy()
    readonly.flags.writeable = False
    assert sampler(temperature=0.0).sample(readonly) == 11


def test_seeds() -> None:
    assert draws(sampler(seed=1)) == draws(sampler(seed=1)) != draws(sampler(seed=2))
    assert sampler(seed=7).seed == 7
    unseeded = [sampler() for _ in range(3)]
    assert len({made.seed for made in unseeded}) > 1
    assert draws(sampler(seed=unseeded[0].seed)) == draws(unseeded[0])
    assert draws(sampler(seed=2**32 - 1)) == draws(sampler(seed=2**32 - 1))


def test_params_are_a_copy() -> None:
    made = sampler(top_k=5, seed=3)
    made.params.logit_bias = {10**9: 1.0}
    made.params.top_k = 1
    assert (made.params.top_k, made.params.logit_bias, made.params.seed) == (5, {}, 3)
    assert len(left(made)) == 5


@pytest.mark.parametrize("token", [-1, N, 2**31 - 1])
def test_unknown_tokens_are_refused(token: int) -> None:
    with pytest.raises(InvalidRequestError, match=f"token {token}, the vocabulary has ids"):
        sampler().accept(token)
