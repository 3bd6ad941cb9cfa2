"""Token healing: the answer goes on with the prompt's text, cut into tokens as the model would."""

from __future__ import annotations

import pytest
from engine_fixtures import GREEDY, Driver, ask_alone, chat, open_engine, tokenizer

from shimmy import _core

START = chat("What is the capital of Hungary?")
WHOLE = "The capital of Hungary is Budapest."


def begun(text: str) -> list[int]:
    return START + tokenizer().encode(text, add_special=False)


@pytest.mark.parametrize("n", range(1, len(WHOLE)))
def test_every_cut_is_continued(n: int) -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, begun(WHOLE[:n]), token_healing=True)
    kept, canonical = begun(WHOLE[:n])[:-1], begun(WHOLE)
    if kept == canonical[: len(kept)]:  # else the model has not seen such a beginning
        assert WHOLE[:n] + answer.text == WHOLE
    assert answer.usage.prompt_tokens == len(begun(WHOLE[:n]))


def test_a_prompt_that_ends_between_tokens_is_answered_as_always() -> None:
    with open_engine() as engine:
        assert ask_alone(engine, START, token_healing=True).text == ask_alone(engine, START).text == WHOLE


@pytest.mark.parametrize("speculation", [True, False])
def test_sampled_answers_continue_the_text(speculation: bool) -> None:
    with open_engine(start=True) as engine:
        for seed in range(6):
            sampling = _core.SamplingParams(temperature=1.5, seed=seed)
            answer = run(engine, begun("The capital of Hung"), sampling, speculation)
            assert answer  # whatever follows, the known text is not said again
            assert not answer.startswith("Hung")


def run(engine: _core.Engine, prompt: list[int], sampling: _core.SamplingParams, speculation: bool) -> str:
    driver = Driver(engine)
    answer = driver.ask(prompt, sampling, token_healing=True, max_tokens=12, speculation=speculation)
    driver.wait()
    return answer.text


def test_tokens_cover_the_healed_end() -> None:
    with open_engine() as engine:
        answer = ask_alone(engine, begun("The capital of Hung"), GREEDY, token_healing=True, logprobs=1)
    assert "The capital of Hungary is Budapest.".endswith(tokenizer().decode(answer.tokens))
    assert tokenizer().decode(answer.tokens).endswith("ary is Budapest.")
    assert answer.text == "ary is Budapest."
    assert len(answer.logprobs) == len(answer.tokens)


def test_with_banned_strings() -> None:
    with open_engine() as engine:
        prompt = begun("The capital of Hung")
        for banned in ("ary", "ary is", "Budapest"):
            answer = ask_alone(engine, prompt, token_healing=True, banned_strings=[banned], max_tokens=20)
            assert banned not in answer.text
            text = tokenizer().decode(answer.tokens)
            assert text.endswith(answer.text)
            assert "The capital of Hung".endswith(text[: len(text) - len(answer.text)])


def test_with_a_stop_string_and_a_warm_cache() -> None:
    with open_engine() as engine:
        for _ in range(2):
            answer = ask_alone(engine, begun("The capital of Hung"), token_healing=True, stop=["Buda"])
            assert answer.text == "ary is "
        assert answer.usage.cached_tokens > 0


def test_of_a_prompt_of_one_token() -> None:
    with open_engine() as engine:
        token = tokenizer().encode("The", add_special=False)[:1]
        answer = ask_alone(engine, token, token_healing=True, max_tokens=4)
    assert answer.reason in ("LENGTH", "STOP")
