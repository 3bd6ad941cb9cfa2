"""Banned strings: never in the text; tokens, log-probabilities and usage say what was kept."""

from __future__ import annotations

from typing import Any

import pytest
from arithmetic import CLOSE, same_in_every_batch
from engine_fixtures import GREEDY, QUESTIONS, Answer, Driver, ask_alone, chat, long_chat, open_engine, tokenizer

from shimmy import _core

WHO = "Who are you?"
HUNGARY = "What is the capital of Hungary?"


def warm(seed: int) -> _core.SamplingParams:
    return _core.SamplingParams(temperature=1.0, seed=seed)


def check(answer: Answer, banned: list[str]) -> None:
    """What holds for every finished answer, whatever was rolled back."""
    assert answer.last is not None
    for text in banned:
        assert text not in answer.text
    ended = answer.reason == "STOP" and answer.last.stop_string is None
    assert answer.usage.completion_tokens == len(answer.tokens) + ended
    if answer.last.stop_string is None:
        assert tokenizer().decode(answer.tokens) == answer.text


@pytest.mark.parametrize(
    "banned",
    [
        ["Shimmy"],
        [" Shimmy"],
        ["himmy Mini"],
        ["I", "am"],
        ["m"],
        ["tiny demo model."],
        ["Shimmy", "Mini", "tiny", "a"],
    ],
)
def test_greedy_text_avoids_them(banned: list[str]) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, banned_strings=banned, max_tokens=40)
    check(answer, banned)
    assert answer.text


def test_the_text_before_stays() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, HUNGARY, banned_strings=["Budapest"], max_tokens=40)
    check(answer, ["Budapest"])
    assert answer.text.startswith("The capital of Hungary is ")


def test_a_string_that_does_not_come_changes_nothing() -> None:
    with open_engine() as engine:
        free = ask_alone(engine, WHO, GREEDY, logprobs=2)
        answer = ask_alone(engine, WHO, GREEDY, logprobs=2, banned_strings=["Shimmy Mini, a huge", "zzz"])
    assert (answer.text, answer.tokens, answer.usage.completion_tokens) == (
        free.text,
        free.tokens,
        free.usage.completion_tokens,
    )
    assert [one[0] for one in answer.logprobs] == pytest.approx([one[0] for one in free.logprobs], abs=1e-3)


@same_in_every_batch
def test_sampled_text_avoids_them_and_seeds_reproduce_it() -> None:
    banned = ["the", "a", "is", "I"]
    with open_engine() as engine:
        driver = Driver(engine)
        answers = [
            driver.ask(question, warm(seed), banned_strings=banned, max_tokens=24)
            for seed in range(3)
            for question in list(QUESTIONS)[:5]
        ]
        driver.finish()
        again = ask_alone(engine, WHO, warm(2), banned_strings=banned, max_tokens=24)
        assert ask_alone(engine, WHO, warm(2), banned_strings=banned, max_tokens=24).tokens == again.tokens
    for answer in answers:
        check(answer, banned)


def test_logprobs_are_those_of_the_tokens_kept() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, HUNGARY, GREEDY, logprobs=3, banned_strings=["Budapest"], max_tokens=30)
        check(answer, ["Budapest"])
        assert len(answer.logprobs) == len(answer.tokens)
        prompt = chat(HUNGARY)
        truth = ask_alone(engine, prompt + answer.tokens, GREEDY, prompt_logprobs=0, max_tokens=0).last
    assert truth is not None
    scores = [one[0] for one in truth.prompt_logprobs][len(prompt) - 1 :]
    assert [one[0] for one in answer.logprobs] == pytest.approx(scores, abs=max(CLOSE, 0.05))


def test_a_stop_string_ends_before_tokens_that_were_held_back_after_it() -> None:
    with open_engine() as engine:
        free = ask_alone(engine, WHO, stop=[" Mini"])
        answer = ask_alone(engine, WHO, stop=[" Mini"], banned_strings=["Mini, a tiny demo song"], logprobs=0)
    assert (answer.text, answer.tokens, answer.reason) == (free.text, free.tokens, "STOP")
    assert answer.usage.completion_tokens == free.usage.completion_tokens == len(answer.tokens) == len(answer.logprobs)


def test_a_stop_string_inside_of_what_is_taken_back_does_not_count() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, stop=["himm"], banned_strings=["Shimmy"], max_tokens=30)
    check(answer, ["Shimmy"])
    assert "himm" not in answer.text


def test_max_tokens_counts_what_was_kept() -> None:
    with open_engine() as engine:
        for n in range(1, 12):
            answer = ask_alone(engine, WHO, banned_strings=["Shimmy", "Mini, a tiny demo model!"], max_tokens=n)
            check(answer, ["Shimmy"])
            assert len(answer.tokens) == n


def test_the_cache_keeps_no_cells_of_what_was_taken_back() -> None:
    """A second turn that goes on from the answer gives the same with the cache as without."""
    prompt = long_chat(HUNGARY, 100)
    told = []
    for prefix_cache in (True, False):
        with open_engine(prefix_cache=prefix_cache) as engine:
            first = ask_alone(engine, prompt, banned_strings=["Budapest"], max_tokens=20)
            check(first, ["Budapest"])
            second = ask_alone(engine, prompt + first.tokens, GREEDY, prompt_logprobs=None, logprobs=0, max_tokens=8)
            assert (second.usage.cached_tokens > len(prompt)) == prefix_cache
            told.append((first.tokens, second.tokens, [one[0] for one in second.logprobs]))
    assert told[0][:2] == told[1][:2]
    assert told[0][2] == pytest.approx(told[1][2], abs=0.05)


@pytest.mark.parametrize("sampling", [GREEDY, _core.SamplingParams(temperature=0.7, seed=5)])
def test_with_speculation_as_without(sampling: _core.SamplingParams) -> None:
    questions: dict[str, dict[str, Any]] = {
        WHO: {"banned_strings": ["Shimmy"]},
        "Count to 60.": {"banned_strings": ["7", "31, 32"]},
        "Write a poem about the sea.": {"banned_strings": ["blue", "sing"]},
    }
    with open_engine(start=True, adaptive_draft=False) as engine:
        for question, options in questions.items():
            driver = Driver(engine)
            for speculation in (True, False):
                driver.ask(question, sampling, max_tokens=24, speculation=speculation, **options)
            driver.wait()
            drafted, plain = driver.answers.values()
            check(drafted, options["banned_strings"])
            if sampling is GREEDY:  # a draw on the edge between two tokens falls to either side by numeric noise
                assert drafted.tokens == plain.tokens


@same_in_every_batch
def test_concurrent_requests_with_other_strings() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        banned = [["Shimmy"], ["Mini"], ["tiny"], ["demo"], []]
        answers = [driver.ask(WHO, GREEDY, banned_strings=texts, max_tokens=30) for texts in banned]
        driver.finish()
        alone = [ask_alone(engine, WHO, GREEDY, banned_strings=texts, max_tokens=30) for texts in banned]
    assert [one.tokens for one in answers] == [one.tokens for one in alone]
    assert answers[-1].text == QUESTIONS[WHO]


def test_a_grammar_that_allows_nothing_else_fails_with_a_reason(compile_choice: Any) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, banned_strings=["b"], grammar=compile_choice(["ab"]), max_tokens=9)
        assert answer.reason == "FAILED"
        assert answer.last is not None
        assert answer.last.error
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


@pytest.fixture
def compile_choice() -> Any:
    from grammar_walk import compiler

    return lambda texts: compiler().compile("choice", choices=texts)
