"""deterministic=True: equal to the last bit alone, beside others and after a cache hit."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fixtures import GREEDY, QUESTIONS, Answer, Driver, ask_alone, long_chat, open_engine

from shimmy import _core

PROMPT = long_chat("Write a poem about the sea.", 600)  # more than two chunks
SAMPLED = _core.SamplingParams(temperature=1.0, top_p=0.95, seed=42)
OPTIONS: dict[str, Any] = {"logprobs": 3, "max_tokens": 16}


def deterministic() -> Any:
    return open_engine(n_ctx=8 * 1024, max_num_seqs=8, deterministic=True)


def bits(answer: Answer) -> tuple[Any, ...]:
    return answer.text, answer.tokens, answer.logprobs, answer.reason


@pytest.fixture(scope="module", params=["greedy", "sampled"])
def sampling(request: pytest.FixtureRequest) -> _core.SamplingParams:
    return GREEDY if request.param == "greedy" else SAMPLED


@pytest.fixture(scope="module")
def alone(sampling: _core.SamplingParams) -> tuple[Any, ...]:
    with deterministic() as engine:
        return bits(ask_alone(engine, PROMPT, sampling, **OPTIONS))


def test_beside_seven_others(sampling: _core.SamplingParams, alone: tuple[Any, ...]) -> None:
    with deterministic() as engine:
        driver = Driver(engine)
        answers = []
        for i, question in enumerate(list(QUESTIONS)[:7]):
            driver.ask(question, GREEDY, max_tokens=8 + i)
            driver.step()
            if i == 3:
                answers.append(driver.ask(PROMPT, sampling, **OPTIONS))
        driver.finish()
        assert [bits(answer) for answer in answers] == [alone]


def test_after_a_cache_hit(sampling: _core.SamplingParams, alone: tuple[Any, ...]) -> None:
    with deterministic() as engine:
        for _ in range(3):
            answer = ask_alone(engine, PROMPT, sampling, **OPTIONS)
            assert bits(answer) == alone
        assert answer.usage.cached_tokens == 512


def test_after_a_hit_on_another_prompts_prefix(sampling: _core.SamplingParams, alone: tuple[Any, ...]) -> None:
    with deterministic() as engine:
        ask_alone(engine, PROMPT[:300], GREEDY, max_tokens=20)
        ask_alone(engine, [*PROMPT[:530], 5, 6, 7], GREEDY, max_tokens=20)
        answer = ask_alone(engine, PROMPT, sampling, **OPTIONS)
        assert bits(answer) == alone
        assert answer.usage.cached_tokens in (256, 512)


def test_after_one_whose_prompt_was_scored(sampling: _core.SamplingParams, alone: tuple[Any, ...]) -> None:
    """Which was computed in other pieces."""
    with deterministic() as engine:
        ask_alone(engine, PROMPT, GREEDY, max_tokens=1, prompt_logprobs=1)
        answer = ask_alone(engine, PROMPT, sampling, **OPTIONS)
        assert bits(answer) == alone
        assert answer.usage.cached_tokens == 0


def test_after_one_that_took_back_its_first_token(sampling: _core.SamplingParams) -> None:
    """For which the last token of the prompt was computed again, alone."""
    whole = PROMPT[:512]  # chunks
    with deterministic() as engine:
        first = ask_alone(engine, whole, GREEDY, max_tokens=1).text
        wanted = bits(ask_alone(engine, PROMPT, sampling, **OPTIONS))
    with deterministic() as engine:
        banned = ask_alone(engine, whole, GREEDY, max_tokens=4, banned_strings=[first])
        assert not banned.text.startswith(first)
        answer = ask_alone(engine, PROMPT, sampling, **OPTIONS)
        assert bits(answer) == wanted
        assert answer.usage.cached_tokens == 256


def test_two_that_share_their_prompt_at_once(sampling: _core.SamplingParams, alone: tuple[Any, ...]) -> None:
    with deterministic() as engine:
        driver = Driver(engine)
        answers = [driver.ask(PROMPT, sampling, **OPTIONS) for _ in range(3)]
        driver.finish()
        assert [bits(answer) for answer in answers] == [alone] * 3


def test_it_drafts_nothing() -> None:
    with deterministic() as engine:
        answer = ask_alone(engine, "Count to 20.", GREEDY)
    assert (answer.usage.drafted_tokens, answer.text) == (0, QUESTIONS["Count to 20."])
