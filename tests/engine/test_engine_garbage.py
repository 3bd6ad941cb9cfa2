"""Inputs at the edges and weights that are no numbers: defined results, and an engine that lives on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from engine_fixtures import GREEDY, QUESTIONS, Driver, ask_alone, chat, demo_model, open_engine, tokenizer
from lora_files import write_float_copy

from shimmy import _core, demo_model_path
from shimmy.errors import InvalidRequestError, PromptTooLongError

WHO = "Who are you?"
SAMPLED = _core.SamplingParams(temperature=0.8, seed=1)


def test_logits_that_are_nan_fail_their_request_and_the_engine_lives(tmp_path: Path) -> None:
    def without_numbers(name: str, weights: np.ndarray) -> np.ndarray:  # type: ignore[type-arg]
        return weights * np.float32("nan") if name == "output_norm.weight" else weights

    model = _core.Model(write_float_copy(demo_model_path(), tmp_path / "nan.gguf", without_numbers))
    engine = _core.Engine(model, _core.ContextParams(n_ctx=256, n_threads=1))
    try:
        driver = Driver(engine)
        answers = [driver.ask(WHO, sampling) for sampling in (GREEDY, SAMPLED)]
        answers.append(driver.ask(WHO, GREEDY, logprobs=3))
        driver.finish()
        for answer in [*answers, ask_alone(engine, WHO)]:
            assert answer.reason == "FAILED"
            assert answer.last is not None
            assert "no logit above -inf" in answer.last.error
            assert answer.tokens == []
        assert engine.death == ""
    finally:
        engine.shutdown()


@pytest.mark.parametrize(("spare", "n_tokens"), [(2, 2), (1, 1)])
def test_a_prompt_just_short_of_the_context(spare: int, n_tokens: int) -> None:
    with open_engine(n_ctx=256) as engine:
        prompt = (chat(WHO) * 20)[: engine.n_ctx - spare]
        answer = ask_alone(engine, prompt, ignore_eos=True)
        assert (answer.reason, len(answer.tokens)) == ("LENGTH", n_tokens)
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


@pytest.mark.parametrize("over", [0, 1, 1000])
def test_a_prompt_that_leaves_no_room_is_too_long(over: int) -> None:
    with open_engine(n_ctx=256) as engine:
        prompt = (chat(WHO) * 60)[: engine.n_ctx + over]
        for max_tokens in (None, 0, 1):
            with pytest.raises(PromptTooLongError, match=f"{256 + over} tokens and the context holds 256"):
                engine.add_request(prompt, GREEDY, max_tokens=max_tokens)
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


def test_an_empty_prompt_is_refused_whatever_is_wanted() -> None:
    with open_engine() as engine:
        for max_tokens in (None, 0, 1):
            with pytest.raises(InvalidRequestError, match="no tokens"):
                engine.add_request([], GREEDY, max_tokens=max_tokens)


def test_only_special_tokens() -> None:
    tok = tokenizer()
    special = [token for token in range(demo_model().n_vocab) if tok.is_control(token)]
    assert tok.eos in special
    with open_engine() as engine:
        for prompt in ([tok.eos], special, [tok.eos] * 40):
            answer = ask_alone(engine, prompt, max_tokens=4)
            assert answer.reason in ("LENGTH", "STOP")
            assert answer.usage.prompt_tokens == len(prompt)
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


def test_no_tokens_wanted_of_the_longest_prompt() -> None:
    with open_engine(n_ctx=256) as engine:
        prompt = (chat(WHO) * 20)[: engine.n_ctx - 1]
        answer = ask_alone(engine, prompt, max_tokens=0)
        assert (answer.reason, answer.tokens, answer.usage.prompt_tokens) == ("LENGTH", [], len(prompt))
