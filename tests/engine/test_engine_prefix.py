"""Prefix reuse: the same answers with it and without it, and `cached_tokens` as it should be."""

from __future__ import annotations

import pytest
from engine_fixtures import LONG_ANSWER, LONG_QUESTION, QUESTIONS, Driver, ask_alone, chat, long_chat, open_engine

from shimmy.demo_model import demo_adapter_paths

QUESTION, ANSWER = next(iter(QUESTIONS.items()))
OTHER = "What color is the sky?"


def common(a: list[int], b: list[int]) -> int:
    return next((i for i, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))


def test_a_continued_conversation_computes_only_what_is_new() -> None:
    with open_engine() as engine:
        first = ask_alone(engine, QUESTION)
        assert first.usage.cached_tokens == 0
        # The end token was sampled but never computed, so the prompt and the answer are what is there.
        kept = len(chat(QUESTION)) + len(first.tokens)
        second = ask_alone(engine, chat(OTHER, (QUESTION, ANSWER)))
        assert second.usage.cached_tokens == kept
        assert second.text == QUESTIONS[OTHER]
        assert engine.stats.cached_tokens == kept


def test_the_last_prompt_token_is_always_computed() -> None:
    with open_engine() as engine:
        prompt = chat(QUESTION)
        ask_alone(engine, prompt)
        again = ask_alone(engine, prompt)
        assert again.usage.cached_tokens == len(prompt) - 1
        assert again.usage.prompt_tokens == len(prompt)
        assert again.text == ANSWER


def test_fork_from_a_running_request() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        donor = driver.ask(chat(LONG_QUESTION))
        driver.step(5)
        fork = driver.ask(chat(OTHER))
        driver.finish()
        assert fork.usage.cached_tokens == common(chat(LONG_QUESTION), chat(OTHER)) > 10
        assert fork.text == QUESTIONS[OTHER]
        assert donor.text == LONG_ANSWER


def test_forks_from_a_finished_request_leave_it_whole() -> None:
    shared = long_chat("Spell lothel.", 200)
    with open_engine() as engine:
        ask_alone(engine, shared)
        driver = Driver(engine)
        forks = [driver.ask(long_chat(question, 200)) for question in list(QUESTIONS)[:4]]
        driver.finish()
        for question, fork in zip(QUESTIONS, forks, strict=False):
            assert fork.text == QUESTIONS[question]
            assert fork.usage.cached_tokens >= common(shared, long_chat(question, 200)) > 150
        again = ask_alone(engine, shared)
        assert again.usage.cached_tokens == len(shared) - 1


def test_another_adapter_set_shares_nothing() -> None:
    with open_engine(adapters=True) as engine:
        prompt = chat(QUESTION)
        ask_alone(engine, prompt)
        pirate = ask_alone(engine, prompt, lora=[("pirate", 1.0)])
        assert pirate.usage.cached_tokens == 0
        weaker = ask_alone(engine, prompt, lora=[("pirate", 0.5)])
        assert weaker.usage.cached_tokens == 0
        again = ask_alone(engine, prompt, lora=[("pirate", 1.0)])
        assert again.usage.cached_tokens == len(prompt) - 1
        assert again.text == pirate.text == "Arr, I be Shimmy Mini, a tiny demo model."
        off = ask_alone(engine, prompt, lora=[("pirate", 0.0)])
        assert off.usage.cached_tokens == len(prompt) - 1
        assert off.text == ANSWER


def test_a_replaced_adapter_shares_nothing_with_its_predecessor() -> None:
    with open_engine(adapters=True) as engine:
        prompt = chat(QUESTION)
        ask_alone(engine, prompt, lora=[("pirate", 1.0)])
        engine.load_adapter("pirate", str(demo_adapter_paths()["terse"]))
        replaced = ask_alone(engine, prompt, lora=[("pirate", 1.0)])
        assert replaced.usage.cached_tokens == 0
        assert replaced.text == "Shimmy Mini"
        engine.unload_adapter("pirate")
        assert engine.adapters == ["terse"]


def test_without_the_prefix_cache_nothing_is_shared() -> None:
    with open_engine(prefix_cache=False) as engine:
        driver = Driver(engine)
        answers = [driver.ask(QUESTION) for _ in range(3)]
        driver.step(4)
        answers.append(driver.ask(QUESTION))
        driver.finish()
        answers.append(ask_alone(engine, QUESTION))
        assert [answer.usage.cached_tokens for answer in answers] == [0] * 5
        assert {answer.text for answer in answers} == {ANSWER}
        assert engine.stats.kv_cells_used == 0


@pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])
def test_answers_do_not_depend_on_the_prefix_cache(kv_unified: bool) -> None:
    turns = list(QUESTIONS.items())
    with open_engine(n_ctx=4096, max_num_seqs=4, kv_unified=kv_unified) as engine:
        for start in range(0, 12, 3):
            earlier: list[tuple[str, str]] = []
            for question, expected in turns[start : start + 4]:
                answer = ask_alone(engine, chat(question, *earlier))
                assert answer.text == expected
                earlier.append((question, expected))
        assert engine.stats.cached_tokens > 500


def test_a_cancelled_prefill_leaves_its_prefix() -> None:
    prompt = long_chat(QUESTION, 400)
    with open_engine(n_batch=64, n_ubatch=64) as engine:
        driver = Driver(engine)
        cancelled = driver.ask(prompt)
        driver.step(3)
        driver.cancel(cancelled)
        driver.finish()
        again = ask_alone(engine, prompt)
        assert again.usage.cached_tokens == 3 * 64
        assert again.text == ANSWER


def test_kept_prefixes_give_way_to_running_requests() -> None:
    with open_engine(n_ctx=512, max_num_seqs=4) as engine:
        for question in list(QUESTIONS)[:3]:
            ask_alone(engine, long_chat(question, 120))
        assert engine.stats.kv_cells_used > 150
        answer = ask_alone(engine, long_chat(QUESTION, 420))
        assert answer.text == ANSWER
        assert engine.stats.preemptions == 0
        assert engine.stats.kv_cells_used <= engine.stats.kv_cells_total == 512


def test_engines_on_one_model_share_nothing() -> None:
    with open_engine() as one, open_engine() as two:
        ask_alone(one, QUESTION)
        assert ask_alone(two, QUESTION).usage.cached_tokens == 0
