"""Rows of logits: what a sampler refuses to choose from, and log-probabilities of what the model gave."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from engine_fixtures import tokenizer
from numpy.typing import NDArray

from shimmy._core import Sampler, SamplingParams, logprobs
from shimmy.errors import DecodeError, InvalidRequestError

N = tokenizer().n_vocab
INF, NAN = math.inf, math.nan
LOGITS: NDArray[np.float32] = np.random.default_rng(1).normal(0, 3, N).astype(np.float32)
ORDER = np.argsort(-LOGITS, kind="stable")
BEST = int(ORDER[0])
LOG_SOFTMAX = LOGITS - LOGITS.max() - np.log(np.exp(LOGITS.astype(np.float64) - LOGITS.max()).sum())


def sampler(**params: Any) -> Sampler:
    return Sampler(tokenizer(), SamplingParams(**params))


@pytest.mark.parametrize("params", [{"temperature": 0.0}, {}, {"top_k": 5, "typical_p": 0.9}, {"mirostat": 2}], ids=str)
def test_broken_rows_are_decode_errors(params: dict[str, Any]) -> None:
    made = sampler(**params, seed=1)
    for fill, says in ((NAN, "no logit above -inf"), (-INF, "no logit above -inf"), (INF, r"\+inf")):
        with pytest.raises(DecodeError, match=says):
            made.sample(np.full(N, fill, np.float32))
        with pytest.raises(DecodeError, match=says):
            made.top(np.full(N, fill, np.float32), 5)
    row = LOGITS.copy()
    row[3] = INF
    with pytest.raises(DecodeError, match=r"\+inf"):
        made.sample(row)
    row = np.full(N, NAN, np.float32)
    row[9] = 1.0
    assert [made.sample(row) for _ in range(3)] == [9, 9, 9]


def test_a_row_with_everything_banned_is_a_decode_error() -> None:
    for temperature in (0.0, 1.0):
        made = sampler(temperature=temperature, logit_bias=dict.fromkeys(range(N), -INF))
        with pytest.raises(DecodeError, match="logit_bias bans all"):
            made.sample(LOGITS)


@pytest.mark.parametrize("row", [[], LOGITS[:5], np.zeros(N + 1), np.zeros((2, N // 2)), 5.0])
def test_rows_of_the_wrong_shape_are_refused(row: Any) -> None:
    made = sampler()
    for call in (made.sample, lambda r: made.top(r, 3)):
        with pytest.raises(InvalidRequestError) as caught:
            call(row)
        assert caught.value.param == "logits"


def test_rows_of_other_types_are_converted() -> None:
    made = sampler(temperature=0.0)
    assert made.sample(LOGITS.astype(np.float64)) == made.sample(LOGITS.tolist()) == BEST
    assert made.sample(np.repeat(LOGITS, 2)[::2]) == BEST
    with pytest.raises(TypeError):
        made.sample(["a"] * N)


def test_logprobs_are_the_log_softmax() -> None:
    logprob, top = logprobs(LOGITS, BEST, 4)
    assert logprob == pytest.approx(LOG_SOFTMAX[BEST], abs=1e-5)
    assert [token for token, _ in top] == ORDER[:4].tolist()
    for token, value in top:
        assert value == pytest.approx(LOG_SOFTMAX[token], abs=1e-5)
    assert logprobs(LOGITS, 5) == (pytest.approx(LOG_SOFTMAX[5], abs=1e-5), [])
    assert len(logprobs(LOGITS, 5, 10**6)[1]) == N


def test_logprobs_have_an_end_and_a_range() -> None:
    assert logprobs(np.array([0.0, -INF]), 1, 2) == (-9999.0, [(0, 0.0), (1, -9999.0)])
    for token in (-1, 4):
        with pytest.raises(InvalidRequestError, match=f"token is {token}, there are 4 logits"):
            logprobs(np.zeros(4), token)
