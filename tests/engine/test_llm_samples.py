"""`LLM.samples`: several answers to a prompt that is computed once; and biases by text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from engine_fixtures import long_chat, spec

from shimmy import LLM
from shimmy.errors import InvalidRequestError

PROMPT = "Once upon a time there was a"


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(spec()) as loaded:
        yield loaded


def test_n_answers_of_one_prefill(llm: LLM) -> None:
    prompt = long_chat("Who are you?", 150)
    computed = llm.stats().computed_tokens
    answers = llm.samples(prompt, 6, seed=3, max_tokens=4)
    assert len(answers) == 6
    assert len({one.text for one in answers}) >= 1
    assert [one.usage.cached_tokens for one in answers[1:]] == [len(prompt) - 1] * 5
    assert llm.stats().computed_tokens - computed < 2 * len(prompt)


def test_seeds_count_up_and_reproduce(llm: LLM) -> None:
    letters = dict.fromkeys((llm.tokenizer.encode(letter)[0] for letter in "abcdefgh"), 1e9)  # the seed alone decides
    # Without drafts, which depend on the clock, and with them the last bits of logits.
    options: dict[str, Any] = {"max_tokens": 12, "temperature": 1.0, "logit_bias": letters, "speculation": False}
    first = llm.samples(PROMPT, 4, seed=7, **options)
    assert [one.text for one in llm.samples(PROMPT, 4, seed=7, **options)] == [one.text for one in first]
    assert [llm.generate(PROMPT, seed=7 + i, **options).text for i in range(4)] == [one.text for one in first]
    assert len({one.text for one in first}) > 1


def test_without_a_seed_they_differ(llm: LLM) -> None:
    assert len({one.text for one in llm.samples(PROMPT, 5, temperature=1.5, max_tokens=16)}) > 1


def test_best_of_returns_the_likeliest_first(llm: LLM) -> None:
    options: dict[str, Any] = {"seed": 11, "max_tokens": 12, "temperature": 1.2}

    def mean(answer: Any) -> float:
        return float(sum(one.logprob for one in answer.logprobs) / len(answer.logprobs))

    everything = llm.samples(PROMPT, 6, logprobs=0, **options)
    for logprobs in ({}, {"logprobs": 2}, {"logprobs": None}):
        best = llm.samples(PROMPT, 2, best_of=6, **logprobs, **options)
        ranked = sorted((round(mean(one), 2) for one in everything), reverse=True)
        assert [round(mean(one), 2) for one in best] == pytest.approx(ranked[:2], abs=0.05)


def test_greedy_samples_are_equal(llm: LLM) -> None:
    answers = llm.samples(long_chat("Who are you?", 100), 3, temperature=0)
    assert {one.text for one in answers} == {"I am Shimmy Mini, a tiny demo model."}


def test_more_than_run_at_once(llm: LLM) -> None:
    assert len(llm.samples(PROMPT, 40, max_tokens=2)) == 40


@pytest.mark.parametrize(("n", "best_of"), [(0, None), (-1, None), (3, 2), (129, None), (1, 129)])
def test_bad_numbers(llm: LLM, n: int, best_of: int | None) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        llm.samples(PROMPT, n, best_of=best_of)
    assert caught.value.param == "n"


def test_a_bad_option_is_refused_as_by_generate(llm: LLM) -> None:
    for options in ({"seed": -1}, {"seed": 2**32}, {"top_p": 7.0}, {"min_tokens": -1}):
        errors = []
        for call in (lambda o: llm.generate(PROMPT, **o), lambda o: llm.samples(PROMPT, 2, **o)):
            with pytest.raises((InvalidRequestError, TypeError)) as caught:
                call(options)
            errors.append(type(caught.value))
        assert errors[0] is errors[1]
    assert llm.stats().running == 0


def test_logit_bias_by_text(llm: LLM) -> None:
    answer = llm.generate(PROMPT, logit_bias={" fox": 100.0}, temperature=0, max_tokens=5)
    assert set(answer.token_ids) == set(llm.tokenizer.encode(" fox", add_special=False))


def test_logit_bias_by_text_and_by_id(llm: LLM) -> None:
    word = llm.tokenizer.encode(" the", add_special=False)
    by_id = llm.generate(PROMPT, logit_bias={word[0]: 100.0}, temperature=0, max_tokens=3)
    by_text = llm.generate(PROMPT, logit_bias={" the": 100.0}, temperature=0, max_tokens=3)
    assert by_id.token_ids == by_text.token_ids == word[:1] * 3
    free = llm.generate(PROMPT, temperature=0, max_tokens=1).token_ids[0]
    assert llm.generate(PROMPT, logit_bias={free: -100.0, " the": 1.0}, temperature=0, max_tokens=1).token_ids != [free]


@pytest.mark.parametrize("bias", [{"": 1.0}, {10**6: 1.0}, {-1: 1.0}, {1: float("nan")}, {" the": float("inf")}])
def test_bad_biases(llm: LLM, bias: dict[Any, float]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        llm.generate(PROMPT, logit_bias=bias, max_tokens=1)
    assert caught.value.param == "logit_bias"
