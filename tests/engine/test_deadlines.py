"""Deadlines end requests wherever they stand."""

from __future__ import annotations

import time

from engine_fixtures import GREEDY, LONG_ANSWER, LONG_QUESTION, QUESTIONS, Driver, open_engine, spec

from shimmy import LLM


def test_of_a_running_request_keeps_what_it_said() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        driver.ask("Who are you?")  # the first steps of a GPU may take longer than the deadline
        driver.finish()
        answer = driver.ask(LONG_QUESTION, GREEDY, deadline=3)
        other = driver.ask("Who are you?")
        driver.step(4)
        assert answer.reason == "open"
        time.sleep(3)
        driver.finish()
        assert engine.stats.running == 0
    assert answer.reason == "DEADLINE"
    assert answer.text
    assert LONG_ANSWER.startswith(answer.text)
    assert answer.usage.completion_tokens == len(answer.tokens)
    assert other.text == QUESTIONS["Who are you?"]


def test_of_a_waiting_request() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        first = driver.ask(LONG_QUESTION, GREEDY, max_tokens=30)
        waiting = driver.ask("Who are you?", GREEDY, deadline=3)
        driver.step(2)
        assert engine.stats.waiting == 1
        time.sleep(3)
        driver.step(1)
        assert (waiting.reason, waiting.text, first.reason) == ("DEADLINE", "", "open")
        assert engine.stats.waiting == 0
        driver.finish()
    assert first.reason == "LENGTH"


def test_that_is_far_away_changes_nothing() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        answer = driver.ask("Who are you?", GREEDY, deadline=1e9)
        driver.finish()
    assert (answer.reason, answer.text) == ("STOP", QUESTIONS["Who are you?"])


def test_hands_out_text_that_was_held_back() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        answer = driver.ask(LONG_QUESTION, GREEDY, deadline=3, banned_strings=["1, 2, 3, 4, 5, 6, 7, 9"])
        driver.step(6)
        assert answer.text == ""
        time.sleep(3)
        driver.finish()
    assert answer.reason == "DEADLINE"
    assert answer.text
    assert LONG_ANSWER.startswith(answer.text)
    assert answer.usage.completion_tokens == len(answer.tokens)


def test_in_python() -> None:
    with LLM(spec()) as llm:
        answer = llm.generate([1, 2, 3], ignore_eos=True, deadline=0.1)
    assert answer.finish_reason == "deadline"
