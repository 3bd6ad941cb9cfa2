"""Every field of a request has a range; what is beyond it is refused by name, and nothing is queued."""

from __future__ import annotations

from typing import Any

import pytest
from engine_fixtures import GREEDY, QUESTIONS, Driver, chat, long_chat, open_engine, spec

from shimmy import LLM, ChatPrompt, GrammarSpec, _core
from shimmy.errors import InvalidRequestError, QueueFullError

WHO = "Who are you?"
NAN, INF = float("nan"), float("inf")

BAD: list[tuple[str, dict[str, Any]]] = [
    ("min_tokens", {"min_tokens": -1}),
    ("min_tokens", {"min_tokens": 5, "max_tokens": 4}),
    ("max_tokens", {"max_tokens": -1}),
    ("stop", {"stop": [""]}),
    ("stop", {"stop": ["x" * 5000]}),
    ("stop", {"stop": ["x"] * 65}),
    ("stop_token_ids", {"stop_token_ids": [-1]}),
    ("stop_token_ids", {"stop_token_ids": [10**6]}),
    ("stop_token_ids", {"stop_token_ids": [1] * 65}),
    ("banned_strings", {"banned_strings": [""]}),
    ("banned_strings", {"banned_strings": ["x" * 300]}),
    ("banned_strings", {"banned_strings": [f"{i}" for i in range(65)]}),
    ("logprobs", {"logprobs": -1}),
    ("logprobs", {"logprobs": 21}),
    ("prompt_logprobs", {"prompt_logprobs": -1}),
    ("prompt_logprobs", {"prompt_logprobs": 21}),
    ("deadline", {"deadline": 0.0}),
    ("deadline", {"deadline": -1.0}),
    ("deadline", {"deadline": NAN}),
    ("deadline", {"deadline": INF}),
    ("priority", {"priority": 1 << 21}),
    ("priority", {"priority": -(1 << 21)}),
    ("tenant", {"tenant": "x" * 257}),
]


@pytest.mark.parametrize(("field", "options"), BAD)
def test_of_the_engine(field: str, options: dict[str, Any]) -> None:
    with open_engine(n_ctx=256) as engine:
        with pytest.raises(InvalidRequestError, match=field) as caught:
            engine.add_request(chat(WHO), GREEDY, **options)
        assert caught.value.param == field
        assert engine.stats.waiting == 0


@pytest.fixture(scope="module")
def llm() -> Any:
    with LLM(spec(context={"n_ctx": 256})) as loaded:
        yield loaded


@pytest.mark.parametrize(
    ("field", "options"),
    [
        *BAD,
        ("max_tokens", {"max_tokens": 2**40}),
        ("min_tokens", {"min_tokens": 2**40}),
        ("priority", {"priority": -(2**40)}),
        ("prompt_logprobs", {"prompt_logprobs": 2**33}),
        ("stop", {"stop": "abc"}),
        ("banned_strings", {"banned_strings": "abc"}),
        ("token_healing", {"token_healing": True, "grammar": GrammarSpec(choice=["a"])}),
        ("choice", {"grammar": GrammarSpec(choice=["a"], regex="b")}),
    ],
)
def test_in_python(llm: LLM, field: str, options: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        llm.generate("Once", **options)
    assert field in (caught.value.param, str(caught.value).split()[0]) or field in str(caught.value)
    assert caught.value.param == field
    assert llm.stats().waiting == 0


def test_an_unknown_field(llm: LLM) -> None:
    with pytest.raises((InvalidRequestError, TypeError), match="min_token"):
        llm.generate("Once", min_token=3)


def test_a_tool_that_there_is_not(llm: LLM) -> None:
    messages = [{"role": "user", "content": "hi"}]
    with pytest.raises(InvalidRequestError) as caught:
        llm.generate(ChatPrompt(messages=messages, tool_choice="required", tool_name="nope"), max_tokens=1)
    assert caught.value.param == "tool_choice"


def test_the_queue_is_bounded_by_tokens() -> None:
    prompt = long_chat(WHO, 100)
    with open_engine(max_num_seqs=1, max_waiting_tokens=3 * len(prompt)) as engine:
        driver = Driver(engine)
        for _ in range(3):
            driver.ask(prompt, GREEDY, max_tokens=2)
        with pytest.raises(QueueFullError, match=str(3 * len(prompt))):
            engine.add_request(prompt)
        driver.step()  # one is admitted
        driver.ask(prompt, GREEDY, max_tokens=2)
        with pytest.raises(QueueFullError):
            engine.add_request(prompt)
        driver.finish()
        assert len(driver.answers) == 4
        assert driver.ask(WHO, GREEDY).reason == "open"
        driver.finish()


def test_a_prompt_beyond_the_bound_runs_when_nobody_waits() -> None:
    with open_engine(max_waiting_tokens=1) as engine:
        driver = Driver(engine)
        answer = driver.ask(WHO)
        with pytest.raises(QueueFullError):
            engine.add_request(chat(WHO))
        driver.finish()
    assert answer.text == QUESTIONS[WHO]


@pytest.mark.parametrize(
    ("field", "value"),
    [("max_waiting_tokens", 0), ("max_draft", 65), ("prefill_budget", 1), ("cache_ram_mib", -2), ("max_num_seqs", 257)],
)
def test_of_the_engines_parameters(field: str, value: int) -> None:
    with pytest.raises(InvalidRequestError) as caught, open_engine(**{field: value}):
        pass
    assert caught.value.param == field
    assert getattr(_core.EngineParams(), field) != value
