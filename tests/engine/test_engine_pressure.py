"""More is asked than fits: of sequences, of KV cells, of the queue."""

from __future__ import annotations

import pytest
from engine_fixtures import (
    GREEDY,
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    ask_alone,
    chat,
    long_chat,
    open_engine,
)

from shimmy import _core
from shimmy.errors import PromptTooLongError, QueueFullError


def wanting_more_than_the_pool(driver: Driver) -> list[Answer]:
    """64 requests that want more than four times a pool of 512 cells, most of it for what they generate."""
    questions = [LONG_QUESTION, *list(QUESTIONS)[:2], LONG_QUESTION, *list(QUESTIONS)[2:], LONG_QUESTION]
    return [driver.ask(questions[i % len(questions)], max_tokens=120 + i) for i in range(64)]


@pytest.fixture(scope="module")
def unpressured() -> list[tuple[str, str]]:
    with open_engine(n_ctx=8192, max_num_seqs=64) as engine:
        driver = Driver(engine)
        answers = wanting_more_than_the_pool(driver)
        driver.finish()
        assert engine.stats.preemptions == 0
        wanted = sum(answer.usage.prompt_tokens + answer.usage.completion_tokens for answer in answers)
        assert wanted > 4 * 512
        return [(answer.text, answer.reason) for answer in answers]


@pytest.mark.parametrize("prefix_cache", [True, False], ids=["prefix cache", "no prefix cache"])
@pytest.mark.parametrize("started", [True, False], ids=["started", "stepped"])
def test_four_times_the_pool_finishes(unpressured: list[tuple[str, str]], started: bool, prefix_cache: bool) -> None:
    with open_engine(n_ctx=512, max_num_seqs=16, start=started, prefix_cache=prefix_cache) as engine:
        driver = Driver(engine)
        answers = wanting_more_than_the_pool(driver)
        if started:
            driver.wait()
        else:
            driver.finish()
        assert [(answer.text, answer.reason) for answer in answers] == unpressured
        assert engine.stats.preemptions > 0
        assert engine.stats.requests_finished == 64
        assert (engine.stats.running, engine.stats.waiting) == (0, 0)
        assert engine.stats.kv_cells_used <= 512


def test_the_oldest_request_is_never_the_one_preempted() -> None:
    """Two requests of which only one fits to its end: the first goes through without a break."""
    with open_engine(n_ctx=512, max_num_seqs=2) as engine:
        driver = Driver(engine)
        first = driver.ask(chat(LONG_QUESTION), ignore_eos=True, max_tokens=400)
        second = driver.ask(chat("Write a poem about the sea."), ignore_eos=True, max_tokens=400)
        while first.last is None:
            driver.step()
        assert engine.stats.preemptions >= 1
        assert len(first.tokens) == 400
        assert LONG_ANSWER in first.text
        assert second.last is None
        driver.finish()
        assert len(second.tokens) == 400


def steps_without_admission(engine: _core.Engine, driver: Driver, most: int) -> None:
    """Step to the end, and look that after a preemption nobody is admitted before the others made a step."""
    waits = False
    for _ in range(most):
        before = engine.stats
        if not engine.step():
            driver.take()
            return
        driver.take()
        after = engine.stats
        stepped = after.computed_tokens > before.computed_tokens
        if waits and before.running > 0:
            assert after.running <= before.running
        waits = not stepped and (waits or after.preemptions > before.preemptions)
    raise AssertionError(f"not done after {most} steps")


@pytest.mark.parametrize("n_pinned", [0, 150, 250])
def test_the_others_make_a_step_before_a_preempted_request_is_admitted_again(n_pinned: int) -> None:
    """Pinned cells leave 262 to 512 cells, and 32 requests want more than four times as much."""
    with open_engine(n_ctx=512, max_num_seqs=8, cache_ram_mib=0) as engine:
        driver = Driver(engine)
        if n_pinned:
            prefix = long_chat("Who are you?", n_pinned)[:n_pinned]
            driver.ask(prefix, max_tokens=1)
            driver.finish()
            engine.pin_prefix(prefix)
        questions = [LONG_QUESTION, *list(QUESTIONS)[:3]]
        answers = [driver.ask(questions[i % 4], max_tokens=60, ignore_eos=True, tenant=f"{i}") for i in range(32)]
        steps_without_admission(engine, driver, 32 * 80)
        assert {(answer.reason, len(answer.tokens)) for answer in answers} == {("LENGTH", 60)}
        assert 0 < engine.stats.preemptions < 100
        if n_pinned:
            assert ask_alone(engine, prefix, max_tokens=1).usage.cached_tokens == n_pinned - 1


def test_two_requests_beside_a_pinned_prefix_that_fit_one_at_a_time() -> None:
    """What is pinned counts: otherwise the second is admitted, finds no cells, is preempted, and admitted again."""
    with open_engine(n_ctx=512, max_num_seqs=4, cache_ram_mib=0) as engine:
        driver = Driver(engine)
        prefix = long_chat("Who are you?", 250)[:250]
        driver.ask(prefix, max_tokens=1)
        driver.finish()
        engine.pin_prefix(prefix)
        answers = [driver.ask([token] * 140, max_tokens=100, ignore_eos=True) for token in (100, 101)]
        steps_without_admission(engine, driver, 300)
        assert {(answer.reason, len(answer.tokens)) for answer in answers} == {("LENGTH", 100)}
        assert engine.stats.preemptions <= 1


def test_usage_survives_preemption() -> None:
    with open_engine(n_ctx=512, max_num_seqs=4) as engine:
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION, max_tokens=150, logprobs=1) for _ in range(4)]
        driver.finish()
        assert engine.stats.preemptions > 0
        for answer in answers:
            assert answer.usage.prompt_tokens == len(chat(LONG_QUESTION))
            assert answer.usage.completion_tokens == len(answer.tokens) == len(answer.logprobs) == 150
            assert answer.text == answers[0].text


def test_more_requests_than_sequences_are_served_in_order() -> None:
    with open_engine(max_num_seqs=2) as engine:
        driver = Driver(engine)
        answers = [driver.ask(question) for question in QUESTIONS]
        driver.step()
        assert (engine.stats.running, engine.stats.waiting) == (2, len(answers) - 2)
        started: list[str] = []
        while engine.step():
            driver.take()
            assert engine.stats.running <= 2
            started += [q for q, answer in zip(QUESTIONS, answers, strict=True) if answer.tokens and q not in started]
        assert started == list(QUESTIONS)
        assert {question: answer.text for question, answer in zip(QUESTIONS, answers, strict=True)} == QUESTIONS


def test_a_full_queue_refuses_and_the_others_finish() -> None:
    with open_engine(max_num_seqs=1, max_waiting=3) as engine:
        driver = Driver(engine)
        answers = [driver.ask("Who are you?") for _ in range(3)]
        with pytest.raises(QueueFullError, match="3 requests are waiting already") as caught:
            driver.ask("Who are you?")
        assert caught.value.retry_after > 0
        driver.step()
        answers.append(driver.ask("Who are you?"))
        with pytest.raises(QueueFullError):
            driver.ask("Who are you?")
        driver.finish()
        assert {answer.text for answer in answers} == {QUESTIONS["Who are you?"]}
        assert engine.stats.waiting == 0
        assert ask_alone(engine, "Who are you?").reason == "STOP"


def test_refused_requests_take_no_place_in_the_queue() -> None:
    with open_engine(max_waiting=2) as engine:
        for _ in range(5):
            with pytest.raises(ValueError, match="no tokens"):
                engine.add_request([], GREEDY)
        assert engine.stats.waiting == 0
        driver = Driver(engine)
        driver.ask("Who are you?")
        driver.ask("Who are you?")
        with pytest.raises(QueueFullError):
            driver.ask("Who are you?")


def test_the_end_of_the_context_is_a_length() -> None:
    with open_engine(n_ctx=512) as engine:
        prompt = chat("Who are you?")
        answer = ask_alone(engine, prompt, ignore_eos=True)
        assert answer.reason == "LENGTH"
        assert len(prompt) + len(answer.tokens) == engine.n_ctx == 512
        assert answer.usage.completion_tokens == 512 - len(prompt)


def test_the_end_of_a_shared_context_is_a_length_for_each() -> None:
    with open_engine(n_ctx=512, max_num_seqs=4) as engine:
        driver = Driver(engine)
        prompts = [chat("Who are you?"), long_chat("Who are you?", 100), long_chat("Who are you?", 300)]
        answers = [driver.ask(prompt, ignore_eos=True) for prompt in prompts]
        driver.finish()
        assert [len(prompt) + len(answer.tokens) for prompt, answer in zip(prompts, answers, strict=True)] == [512] * 3
        assert {answer.reason for answer in answers} == {"LENGTH"}


def test_prompts_around_the_size_of_the_context() -> None:
    with open_engine(n_ctx=512) as engine:
        tokens = long_chat("Who are you?", 600)
        fits = ask_alone(engine, tokens[:511], ignore_eos=True)
        assert (fits.reason, len(fits.tokens), fits.usage.prompt_tokens) == ("LENGTH", 1, 511)
        for n in (512, 513):
            with pytest.raises(PromptTooLongError) as caught:
                engine.add_request(tokens[:n], GREEDY)
            assert (caught.value.n_prompt_tokens, caught.value.n_ctx, caught.value.param) == (n, 512, "messages")
        assert ask_alone(engine, "Who are you?").text == QUESTIONS["Who are you?"]


def test_a_split_cache_gives_each_sequence_its_part() -> None:
    with open_engine(n_ctx=1024, max_num_seqs=4, kv_unified=False) as engine:
        assert engine.n_ctx == 256
        driver = Driver(engine)
        answers = [driver.ask("Who are you?", ignore_eos=True) for _ in range(4)]
        driver.finish()
        assert {len(answer.tokens) for answer in answers} == {256 - len(chat("Who are you?"))}
        assert engine.stats.preemptions == 0
