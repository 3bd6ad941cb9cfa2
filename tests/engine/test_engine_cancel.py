"""Cancellation: wherever the request stands, within one step, and without a trace for the others."""

from __future__ import annotations

import time

from engine_fixtures import LONG_ANSWER, LONG_QUESTION, QUESTIONS, Driver, ask_alone, long_chat, open_engine

from shimmy import _core

WHO = "Who are you?"


def test_waiting_before_any_step() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        other, cancelled = driver.ask(WHO), driver.ask(WHO)
        driver.cancel(cancelled)
        driver.finish()
        assert (cancelled.reason, cancelled.text, cancelled.usage.completion_tokens) == ("CANCELLED", "", 0)
        assert other.text == QUESTIONS[WHO]


def test_waiting_for_a_sequence() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        running, cancelled, last = driver.ask(LONG_QUESTION), driver.ask(WHO), driver.ask(WHO)
        driver.step(3)
        driver.cancel(cancelled)
        driver.step()
        assert cancelled.reason == "CANCELLED"
        assert (engine.stats.running, engine.stats.waiting) == (1, 1)
        driver.finish()
        assert (running.text, last.text) == (LONG_ANSWER, QUESTIONS[WHO])


def test_in_the_middle_of_a_prompt() -> None:
    with open_engine(n_batch=64, n_ubatch=64) as engine:
        driver = Driver(engine)
        other = driver.ask(LONG_QUESTION)
        driver.step()
        cancelled = driver.ask(long_chat(WHO, 500))
        driver.step(2)
        driver.cancel(cancelled)
        driver.step()
        assert (cancelled.reason, cancelled.tokens) == ("CANCELLED", [])
        driver.finish()
        assert other.text == LONG_ANSWER


def test_while_it_decodes() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        cancelled, other = driver.ask(LONG_QUESTION), driver.ask(LONG_QUESTION)
        driver.step(10)
        driver.cancel(cancelled)
        driver.step()
        assert cancelled.reason == "CANCELLED"
        assert cancelled.usage.completion_tokens == len(cancelled.tokens) == 10
        assert LONG_ANSWER.startswith(cancelled.text)
        driver.finish()
        assert other.text == LONG_ANSWER


def test_held_back_text_is_handed_out() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        cancelled = driver.ask(LONG_QUESTION, stop=[LONG_ANSWER[:50] + "never"])
        driver.step(10)
        assert cancelled.text == ""
        driver.cancel(cancelled)
        driver.finish()
        assert cancelled.text == "1, 2, 3, 4"


def test_after_its_end_and_unknown_ids() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        finished = driver.ask(WHO)
        driver.finish()
        for request_id in (driver.id_of(finished), 0, 999, 2**64 - 1):
            engine.cancel(request_id)
        assert not engine.step()
        assert engine.wait(0) == []
        later = ask_alone(engine, WHO)  # its id was not cancelled in advance
        assert later.text == QUESTIONS[WHO]


def test_twice() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        cancelled = driver.ask(WHO)
        driver.step()
        driver.cancel(cancelled)
        driver.cancel(cancelled)
        driver.finish()
        assert cancelled.reason == "CANCELLED"


def test_a_preempted_request() -> None:
    with open_engine(n_ctx=512, max_num_seqs=2) as engine:
        driver = Driver(engine)
        first, second = (driver.ask(LONG_QUESTION, ignore_eos=True, max_tokens=450) for _ in range(2))
        while engine.stats.preemptions == 0:
            driver.step()
        n_tokens = len(second.tokens)
        driver.cancel(second)
        driver.step()
        assert second.reason == "CANCELLED"
        assert second.usage.completion_tokens == len(second.tokens) == n_tokens
        assert engine.stats.waiting == 0
        driver.finish()
        assert (first.reason, len(first.tokens)) == ("LENGTH", 450)


def test_a_cancelled_request_frees_its_place_for_the_next() -> None:
    with open_engine(max_num_seqs=1) as engine:
        driver = Driver(engine)
        cancelled, waiting = driver.ask(LONG_QUESTION), driver.ask(WHO)
        driver.step(2)
        driver.cancel(cancelled)
        driver.step()
        assert cancelled.reason == "CANCELLED"
        assert waiting.tokens, "the next request takes part in the very same step"


def test_a_long_prefill_is_aborted_in_the_middle() -> None:
    prompt = long_chat(WHO, 1900)
    whole_seconds = []
    with open_engine(n_batch=2048, n_ubatch=16, prefix_cache=False, start=True) as engine:
        for _ in range(2):
            driver = Driver(engine)
            driver.ask(prompt, max_tokens=1)
            driver.wait()
            whole_seconds.append(next(iter(driver.answers.values())).usage.prefill_seconds)
        ended = []
        for _ in range(10):  # the best of some: this machine has other things to do
            driver = Driver(engine)
            cancelled = driver.ask(prompt, max_tokens=1)
            while engine.stats.waiting:
                time.sleep(0.001)
            time.sleep(min(whole_seconds) / 10)
            started = time.perf_counter()
            driver.cancel(cancelled)
            driver.wait()
            if cancelled.reason == "CANCELLED":
                assert cancelled.tokens == []
                ended.append(time.perf_counter() - started)
        assert min(ended) < min(whole_seconds) / 4
        assert ask_started(engine, WHO) == QUESTIONS[WHO]


def test_aborting_one_prefill_costs_the_others_nothing_but_time() -> None:
    """Parts of an aborted batch are computed already: other requests' tokens among them are computed again."""
    with open_engine(n_batch=2048, n_ubatch=16, start=True) as engine:
        driver = Driver(engine)
        others = [driver.ask(LONG_QUESTION) for _ in range(3)]
        for attempt in range(8):
            cancelled = driver.ask(long_chat(WHO, 800))
            others.append(driver.ask(list(QUESTIONS)[attempt]))
            while engine.stats.waiting:
                time.sleep(0.001)
            time.sleep(0.004 * attempt)
            driver.cancel(cancelled)
        driver.wait()
        assert engine.death == ""
        assert [answer.text for answer in others] == [LONG_ANSWER] * 3 + list(QUESTIONS.values())[:8]


def ask_started(engine: _core.Engine, question: str) -> str:
    driver = Driver(engine)
    answer = driver.ask(question)
    driver.wait()
    return answer.text
