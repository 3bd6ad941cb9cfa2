"""Where an answer may end: min_tokens and ignore_eos."""

from __future__ import annotations

import pytest
from engine_fixtures import GREEDY, QUESTIONS, Driver, ask_alone, open_engine, tokenizer

WHO = "Who are you?"


def test_no_end_token_before_min_tokens() -> None:
    with open_engine() as engine:
        free = ask_alone(engine, WHO)
        held = ask_alone(engine, WHO, min_tokens=len(free.tokens) + 10, max_tokens=60)
    assert free.reason == "STOP"
    assert held.tokens[: len(free.tokens)] == free.tokens
    assert len(held.tokens) >= len(free.tokens) + 10


def test_min_tokens_that_the_answer_reaches_anyway_changes_nothing() -> None:
    with open_engine() as engine:
        free = ask_alone(engine, WHO)
        assert ask_alone(engine, WHO, min_tokens=len(free.tokens)).tokens == free.tokens


def test_no_stop_string_before_min_tokens() -> None:
    with open_engine() as engine:
        early = ask_alone(engine, "Count to 20.", stop=[", "])
        late = ask_alone(engine, "Count to 20.", stop=[", "], min_tokens=12)
    assert early.text == "1"
    assert late.reason == "STOP"
    assert late.last is not None
    assert late.last.stop_string == ", "
    assert len(late.tokens) >= 12
    assert "1, 2, 3".startswith(late.text[:7])


def test_a_stop_string_that_begins_before_min_tokens_does_not_count() -> None:
    with open_engine() as engine:
        free = ask_alone(engine, WHO)
        whole = ask_alone(engine, WHO, stop=["I am"], min_tokens=len(free.tokens) - 1)
    assert whole.text == QUESTIONS[WHO]


def test_no_stop_token_before_min_tokens() -> None:
    comma = tokenizer().encode("1, 2", add_special=False)[1]
    with open_engine() as engine:
        free = ask_alone(engine, "Count to 20.")
        place = free.tokens.index(comma)
        early = ask_alone(engine, "Count to 20.", stop_token_ids=[comma])
        late = ask_alone(engine, "Count to 20.", stop_token_ids=[comma], min_tokens=place + 1, max_tokens=place + 20)
    assert early.last is not None
    assert early.last.stop_token == comma
    assert comma not in late.tokens
    assert len(late.tokens) > place


@pytest.mark.parametrize("n", [1, 40])
def test_ignore_eos_goes_on_to_max_tokens(n: int) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, ignore_eos=True, max_tokens=n)
    assert (len(answer.tokens), answer.usage.completion_tokens, answer.reason) == (n, n, "LENGTH")


def test_ignore_eos_keeps_stop_tokens_and_stop_strings() -> None:
    end = tokenizer().eos
    assert end is not None
    with open_engine() as engine:
        by_string = ask_alone(engine, WHO, ignore_eos=True, stop=["Mini"])
        by_token = ask_alone(engine, WHO, ignore_eos=True, stop_token_ids=[end], max_tokens=60)
    assert (by_string.text, by_string.reason) == ("I am Shimmy ", "STOP")
    assert (by_token.text, by_token.reason) == (QUESTIONS[WHO], "STOP")
    assert by_token.last is not None
    assert by_token.last.stop_token == end


def test_they_concern_one_request_of_a_batch_only() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        plain = driver.ask(WHO)
        driver.ask(WHO, GREEDY, min_tokens=40, max_tokens=40)
        driver.ask(WHO, GREEDY, ignore_eos=True, max_tokens=40)
        driver.finish()
    assert plain.text == QUESTIONS[WHO]
