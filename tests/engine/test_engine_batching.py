"""Batched equals isolated: what a request answers never depends on who shares its steps."""

from __future__ import annotations

import random
from typing import Any

import pytest
from arithmetic import ON_GPU
from engine_fixtures import (
    GREEDY,
    LONG_ANSWER,
    LONG_QUESTION,
    QUESTIONS,
    Answer,
    Driver,
    ask_alone,
    long_chat,
    open_engine,
    tokenizer,
)

from shimmy import _core

Request = tuple[Any, _core.SamplingParams, dict[str, Any]]


def dice(seed: int) -> _core.SamplingParams:
    """Sixteen tokens whose logits are lifted so far that they become equal: the seed alone decides."""
    digits = [tokenizer().encode(text)[0] for text in "0123456789abcdef"]
    return _core.SamplingParams(seed=seed, logit_bias=dict.fromkeys(digits, 1e9))


def warm(seed: int) -> _core.SamplingParams:
    return _core.SamplingParams(temperature=0.5, top_k=20, top_p=0.95, seed=seed)


def mixed_requests() -> list[Request]:
    """Different prompts, lengths, limits, sampling, stops and adapter sets."""
    plain: list[Request] = [(question, GREEDY, {}) for question in QUESTIONS]
    rolled: list[Request] = [("Who are you?", dice(seed), {"max_tokens": 8 + seed}) for seed in range(6)]
    sampled: list[Request] = [(question, warm(7), {"logprobs": 2}) for question in list(QUESTIONS)[:4]]
    adapted: list[Request] = [
        ("What is the capital of Hungary?", GREEDY, {"lora": [("pirate", 1.0)]}),
        ("What is the capital of Hungary?", GREEDY, {"lora": [("terse", 1.0)]}),
        ("What is the capital of Hungary?", GREEDY, {"lora": [("terse", 0.0)]}),
        ("What city is Zambia's capital?", GREEDY, {"lora": [("pirate", 1.0)]}),
        ("What city is Zambia's capital?", GREEDY, {"lora": [("terse", 1.0)]}),
    ]
    long: list[Request] = [
        (long_chat("Who are you?", 300), GREEDY, {}),
        (long_chat("What color is the sky?", 500), GREEDY, {}),
        (LONG_QUESTION, GREEDY, {}),
        (LONG_QUESTION, GREEDY, {"max_tokens": 40}),
        (LONG_QUESTION, GREEDY, {"stop": [" 17"]}),
    ]
    requests = plain + rolled + sampled + adapted + long
    random.Random(3).shuffle(requests)
    return requests


def told(answer: Answer) -> tuple[Any, ...]:
    assert answer.last is not None
    return answer.text, answer.tokens, answer.reason, answer.last.stop_string, answer.usage.completion_tokens


@pytest.fixture(scope="module")
def isolated() -> list[tuple[Any, ...]]:
    """Each request of `mixed_requests` on an engine that it has for itself."""
    with open_engine(prefix_cache=False, adapters=True) as engine:
        return [told(ask_alone(engine, prompt, sampling, **options)) for prompt, sampling, options in mixed_requests()]


def ask_all(driver: Driver) -> list[Answer]:
    return [driver.ask(prompt, sampling, **options) for prompt, sampling, options in mixed_requests()]


def test_isolated_answers_are_what_was_asked_for(isolated: list[tuple[Any, ...]]) -> None:
    seen = set()
    for (prompt, sampling, options), (text, *_) in zip(mixed_requests(), isolated, strict=True):
        if sampling is GREEDY and not options and prompt in list(QUESTIONS):
            assert text == QUESTIONS[prompt]
            seen.add(prompt)
        if prompt == LONG_QUESTION and not options:
            assert text == LONG_ANSWER
    assert len(seen) == len(QUESTIONS)
    rolled = [
        text for (_, _, options), (text, *_) in zip(mixed_requests(), isolated, strict=True) if "max_tokens" in options
    ]
    assert len(set(rolled)) == len(rolled), "seeds make no difference"


@pytest.mark.parametrize(
    "options",
    [
        {"max_num_seqs": 32},
        {"max_num_seqs": 5},
        {"max_num_seqs": 32, "prefix_cache": False},
        {"max_num_seqs": 16, "n_batch": 48, "n_ubatch": 16},
        {"max_num_seqs": 16, "prefill_budget": 32},
        {"max_num_seqs": 8, "n_ctx": 8 * 768, "kv_unified": False},
    ],
    ids=["all at once", "few sequences", "no prefix cache", "small batches", "small budget", "split cache"],
)
def test_stepped_together(isolated: list[tuple[Any, ...]], options: dict[str, Any]) -> None:
    with open_engine(**{"n_ctx": 4096, **options}, adapters=True) as engine:
        driver = Driver(engine)
        answers = ask_all(driver)
        driver.finish()
        assert [told(answer) for answer in answers] == isolated
        assert engine.stats.requests_finished == len(answers)
        assert (engine.stats.running, engine.stats.waiting) == (0, 0)


def test_arriving_while_others_run(isolated: list[tuple[Any, ...]]) -> None:
    order = random.Random(11)
    with open_engine(n_ctx=4096, adapters=True) as engine:
        driver = Driver(engine)
        answers = []
        for prompt, sampling, options in mixed_requests():
            answers.append(driver.ask(prompt, sampling, **options))
            driver.step(order.randrange(4))
        driver.finish()
        assert [told(answer) for answer in answers] == isolated


def test_on_the_engines_own_thread(isolated: list[tuple[Any, ...]]) -> None:
    with open_engine(n_ctx=4096, adapters=True, start=True) as engine:
        driver = Driver(engine)
        answers = ask_all(driver)
        driver.wait()
        assert [told(answer) for answer in answers] == isolated


@pytest.mark.parametrize("flash_attn", ["off", "on"])
def test_a_prompt_is_prefilled_in_chunks_while_others_go_on(flash_attn: str) -> None:
    """In shared steps; with the CPU's flash attention and many cells in use, in steps by turns."""
    with open_engine(prefill_budget=32, prefix_cache=False, flash_attn=flash_attn) as engine:
        driver = Driver(engine)
        counting = driver.ask(LONG_QUESTION)
        driver.step(3)
        prompt = long_chat("Who are you?", 400)
        answer = driver.ask(prompt)
        before = len(counting.tokens)
        steps = 0
        while not answer.tokens:
            driver.step()
            steps += 1
        chunks = -(-len(prompt) // 32)
        shared = flash_attn == "off" or ON_GPU
        assert steps == chunks if shared else chunks < steps <= 2 * chunks
        assert len(counting.tokens) >= before + (steps if shared else steps - chunks)
        driver.finish()
        assert counting.text == LONG_ANSWER
        assert answer.text == QUESTIONS["Who are you?"]


def test_a_slow_machine_takes_smaller_chunks() -> None:
    with open_engine(prefill_seconds=1e-9, prefix_cache=False) as engine:
        driver = Driver(engine)
        driver.ask(LONG_QUESTION)
        driver.step(3)
        before = engine.stats.computed_tokens
        driver.ask(long_chat("Who are you?", 400))
        driver.step(2)
        assert engine.stats.computed_tokens - before <= 2 * (64 + 1 + 16)  # a chunk, a token, a draft


def test_a_short_prompt_does_not_wait_for_a_long_one() -> None:
    with open_engine(n_batch=64, n_ubatch=64, prefix_cache=False) as engine:
        driver = Driver(engine)
        long = driver.ask(long_chat("Who are you?", 1000))
        driver.step()
        short = driver.ask("What color is the sky?")
        driver.step(2)
        assert short.tokens
        assert not long.tokens
        driver.finish()
        assert (long.text, short.text) == (QUESTIONS["Who are you?"], QUESTIONS["What color is the sky?"])


def test_adapter_sets_take_turns() -> None:
    """Neither set starves: a step serves one set, and both make progress."""
    with open_engine(adapters=True) as engine:
        driver = Driver(engine)
        plain = driver.ask(LONG_QUESTION, speculation=False)
        pirate = driver.ask(LONG_QUESTION, lora=[("pirate", 1.0)], max_tokens=60, speculation=False)
        while plain.last is None:  # for several turns
            driver.step()
        assert len(pirate.tokens) >= 25
        driver.finish()
        assert plain.text == LONG_ANSWER
        assert pirate.text.startswith("Arr, ")
