"""The ranges of sampling options: their ends are allowed, what is beyond names the field, its value and the range."""

from __future__ import annotations

import math
from typing import Any

import pytest
from engine_fixtures import tokenizer

from shimmy._core import Sampler, SamplingParams
from shimmy.errors import InvalidRequestError

N = tokenizer().n_vocab
RANGES: dict[str, tuple[float, float]] = {
    "temperature": (0, 100),
    "top_p": (0, 1),
    "min_p": (0, 1),
    "typical_p": (0, 1),
    "top_n_sigma": (-1, 1000),
    "repeat_penalty": (0.01, 100),
    "frequency_penalty": (-2, 2),
    "presence_penalty": (-2, 2),
    "xtc_probability": (0, 1),
    "xtc_threshold": (0, 1),
    "dynatemp_range": (0, 100),
    "dynatemp_exponent": (0, 100),
    "dry_multiplier": (0, 100),
    "dry_base": (0, 100),
    "mirostat_tau": (0, 1000),
    "mirostat_eta": (0, 100),
    "adaptive_target": (-1, 1),
    "adaptive_decay": (0, 0.99),
}
INTEGER_RANGES = {
    "top_k": (-1, 10**9),
    "min_keep": (0, 10**9),
    "repeat_last_n": (-1, 10**9),
    "dry_allowed_length": (0, 10**9),
    "dry_penalty_last_n": (-1, 10**9),
    "mirostat": (0, 2),
}
LISTS = {"dry_sequence_breakers", "samplers", "logit_bias", "seed"}


def make(**params: Any) -> Sampler:
    return Sampler(tokenizer(), SamplingParams(**params))


def refused(field: str, value: Any) -> str:
    with pytest.raises(InvalidRequestError) as caught:
        make(**{field: value})
    assert caught.value.param == field
    assert field in str(caught.value)
    return str(caught.value)


def test_every_field_has_a_range_or_a_test() -> None:
    fields = {name for name in vars(SamplingParams) if not name.startswith("_")}
    assert RANGES.keys() | INTEGER_RANGES.keys() | LISTS == fields


@pytest.mark.parametrize(("field", "bounds"), [*RANGES.items(), *INTEGER_RANGES.items()])
def test_ends_are_in_and_what_is_beyond_is_out(field: str, bounds: tuple[float, float]) -> None:
    step = 1 if field in INTEGER_RANGES else 0.001
    for end, beyond in zip(bounds, (bounds[0] - step, bounds[1] + step), strict=True):
        assert getattr(make(**{field: end}).params, field) == end
        assert "must be between" in refused(field, beyond)
    if field in RANGES:
        for value in (math.nan, math.inf, -math.inf, 1e300):
            refused(field, value)


@pytest.mark.parametrize("breakers", [[""], ["a" * 65], ["a\0"], ["x"] * 65])
def test_dry_breakers(breakers: list[str]) -> None:
    refused("dry_sequence_breakers", breakers)
    make(dry_sequence_breakers=["a" * 64] * 64, dry_multiplier=1.0)


@pytest.mark.parametrize(
    "bias",
    [{N: 1.0}, {-1: 1.0}, {5: math.nan}, {5: math.inf}, {5: 1.1e9}, {5: -1e300}, dict.fromkeys(range(4097), 1.0)],
    ids=lambda bias: str(bias)[:20],
)
def test_logit_bias(bias: dict[int, float]) -> None:
    refused("logit_bias", bias)
    make(logit_bias={0: -math.inf, 1: 1e9, N - 1: -1e9})


def test_samplers_are_known_and_named_once() -> None:
    assert "known are dry, infill, min_p" in refused("samplers", ["top_k", "top_kk"])
    assert "names 'top_k' twice" in refused("samplers", ["top_k", "top_p", "top_k"])
    refused("samplers", [""])
    for name in SamplingParams().samplers:
        make(samplers=[name])
