"""Log-probabilities of prompts."""

from __future__ import annotations

import numpy as np
import pytest
from engine_fixtures import GREEDY, Driver, ask_alone, chat, long_chat, open_engine, spec
from token_loop import batch_of, open_context

from shimmy import LLM

NOISE = 0.3  # other chunks and other cells, at tokens with a probability of 1e-9


def truth(prompt: list[int]) -> list[float]:
    """log P(token | those before it) from the token level, for all but the first."""
    context = open_context(n_ctx=2048, n_batch=2048)
    context.decode(batch_of(prompt, outputs="all"))
    scores = []
    for i, token in enumerate(prompt[1:]):
        logits = np.asarray(context.logits(i), dtype=np.float64)
        highest = logits.max()
        scores.append(float(logits[token] - highest - np.log(np.exp(logits - highest).sum())))
    return scores


def ask(driver: Driver, prompt: list[int], **options: object) -> list[tuple[float, list[tuple[int, float]]]]:
    """The prompt's scores, over all outputs of the request."""
    request = driver.engine.add_request(prompt, GREEDY, **options)  # type: ignore[arg-type]
    scores: list[tuple[float, list[tuple[int, float]]]] = []
    while driver.engine.step():
        for output in driver.engine.wait(0):
            if output.id == request:
                scores += output.prompt_logprobs
    for output in driver.engine.wait(0):
        scores += output.prompt_logprobs
    return scores


def test_they_are_those_of_the_token_level() -> None:
    prompt = chat("Who are you?")
    with open_engine() as engine:
        scores = ask(Driver(engine), prompt, prompt_logprobs=2, max_tokens=3)
    assert [one[0] for one in scores] == pytest.approx(truth(prompt), abs=1e-3)
    for score, top in scores:
        assert len(top) == 2
        assert top[0][1] >= top[1][1]
        assert score <= top[0][1] + 1e-6


@pytest.mark.parametrize("n_batch", [64, 512])
def test_long_prompts_in_chunks(n_batch: int) -> None:
    prompt = long_chat("Who are you?", 900)
    with open_engine(n_batch=n_batch, n_ubatch=64) as engine:
        scores = ask(Driver(engine), prompt, prompt_logprobs=0, max_tokens=0)
    assert [one[0] for one in scores] == pytest.approx(truth(prompt), abs=NOISE)
    assert len(scores) == len(prompt) - 1


def test_max_tokens_0_computes_the_prompt_only() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, chat("Who are you?"), GREEDY, prompt_logprobs=0, max_tokens=0)
    assert (answer.text, answer.tokens, answer.reason) == ("", [], "LENGTH")
    assert answer.usage.completion_tokens == 0


def test_a_warm_cache_does_not_shorten_them() -> None:
    prompt = long_chat("Who are you?", 200)
    with open_engine() as engine:
        driver = Driver(engine)
        cold = ask(driver, prompt, prompt_logprobs=0, max_tokens=0)
        ask_alone(engine, prompt, max_tokens=2)
        warm = ask(driver, prompt, prompt_logprobs=0, max_tokens=0)
    assert len(cold) == len(warm) == len(prompt) - 1
    assert [one[0] for one in warm] == pytest.approx([one[0] for one in cold], abs=NOISE)


def test_beside_others_and_of_a_single_token() -> None:
    prompt = chat("Who are you?")
    with open_engine() as engine:
        driver = Driver(engine)
        for question in ("Count to 20.", "List three animals."):
            driver.engine.add_request(chat(question), GREEDY, max_tokens=20)
        scores = ask(driver, prompt, prompt_logprobs=0, max_tokens=4)
        assert [one[0] for one in scores] == pytest.approx(truth(prompt), abs=0.05)
        assert ask(driver, prompt[:1], prompt_logprobs=0, max_tokens=0) == []


def test_in_python_they_carry_their_tokens() -> None:
    with LLM(spec()) as llm:
        ids = llm.tokenizer.encode("The capital of Hungary is")
        for healing in (False, True):
            answer = llm.generate(ids, prompt_logprobs=1, max_tokens=1, temperature=0, token_healing=healing)
            assert [one.token for one in answer.prompt_logprobs] == ids[1 : 1 + len(answer.prompt_logprobs)]
        whole = llm.generate(ids, prompt_logprobs=1, max_tokens=0)
        assert [one.piece for one in whole.prompt_logprobs] == [llm.tokenizer.piece(token) for token in ids[1:]]
        assert whole.finish_reason == "length"
