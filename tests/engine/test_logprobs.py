"""Log-probabilities that come with the tokens."""

from __future__ import annotations

import math

import pytest
from engine_fixtures import GREEDY, QUESTIONS, Driver, ask_alone, chat, demo_model, open_engine, spec

from shimmy import LLM, _core
from shimmy.errors import InvalidRequestError

QUESTION = "Write a poem about the sea."


@pytest.mark.parametrize("n", [0, 1, 5, 20])
def test_shape_and_order(n: int) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, QUESTION, logprobs=n)
        assert answer.text == QUESTIONS[QUESTION]
        assert len(answer.logprobs) == len(answer.tokens) > 20
        for token, (logprob, top) in zip(answer.tokens, answer.logprobs, strict=True):
            assert -9999 <= logprob <= 0
            assert len(top) == n
            values = [value for _, value in top]
            assert all(math.isfinite(value) for value in values)
            assert values == sorted(values, reverse=True)
            assert len({other for other, _ in top}) == n
            assert sum(map(math.exp, values)) <= 1 + 1e-5
            if n:
                assert top[0] == (token, logprob), "greedy takes the likeliest"


def test_off_means_none() -> None:
    with open_engine() as engine:
        assert ask_alone(engine, QUESTION).logprobs == []


def test_they_are_those_of_the_model_before_sampling() -> None:
    """Compared with the token-level API, where nothing samples."""
    with open_engine() as engine:
        hot = _core.SamplingParams(temperature=0.1, top_k=1, repeat_penalty=1.0)
        answer = ask_alone(engine, QUESTION, hot, logprobs=3, max_tokens=1)
    prompt = chat(QUESTION)
    context = _core.Context(demo_model(), _core.ContextParams(n_ctx=512, n_threads=1))
    batch = _core.Batch()
    for pos, token in enumerate(prompt):
        batch.add(token, pos, output=pos + 1 == len(prompt))
    assert context.decode(batch) == _core.DecodeStatus.OK
    logprob, top = _core.logprobs(context.logits(-1), answer.tokens[0], 3)
    assert answer.logprobs[0][0] == pytest.approx(logprob, abs=0.05)
    assert answer.logprobs[0][1][0][0] == top[0][0]


def test_a_token_forced_against_the_model_has_its_true_logprob() -> None:
    with open_engine() as engine:
        forced = _core.SamplingParams(temperature=0.0, logit_bias={7: 1000.0})
        answer = ask_alone(engine, QUESTION, forced, logprobs=1, max_tokens=3)
        assert answer.tokens == [7, 7, 7]
        for logprob, top in answer.logprobs:
            assert logprob < top[0][1]
            assert top[0][0] != 7


def test_requests_of_a_batch_get_their_own_number() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        answers = [driver.ask(QUESTION, GREEDY, logprobs=n) for n in (None, 0, 4)]
        driver.finish()
        assert answers[0].logprobs == []
        assert {len(top) for _, top in answers[1].logprobs} == {0}
        assert {len(top) for _, top in answers[2].logprobs} == {4}


def test_in_python_they_carry_the_pieces() -> None:
    with LLM(spec()) as llm:
        answer = llm.generate(chat("Show me a fox emoji"), temperature=0.0, logprobs=2)
        assert b"".join(item.piece for item in answer.logprobs).decode() == answer.text == "🦊"
        assert [item.token for item in answer.logprobs] == answer.token_ids
        for item in answer.logprobs:
            assert (item.token, item.piece, item.logprob) == item.top[0]
        with pytest.raises(InvalidRequestError, match="logprobs is 21, it must be between 0 and 20") as caught:
            llm.generate("Hello", logprobs=21)
        assert caught.value.param == "logprobs"
