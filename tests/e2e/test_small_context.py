"""A small context, real SDKs: an error by default, and with context_policy an answer that says what was kept."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any

import anthropic
import ollama
import openai
import pytest

MODEL = "shimmy-mini"
N_CTX = 512
WHO = "Who are you?"
ANSWER = "I am Shimmy Mini, a tiny demo model."
TURN: list[Any] = [
    {"role": "user", "content": "What is the capital of Hungary?"},
    {"role": "assistant", "content": "The capital of Hungary is Budapest."},
]
LONG: list[Any] = [*TURN * 30, {"role": "user", "content": WHO}]


@pytest.fixture(scope="module")
def small(start: Callable[..., AbstractContextManager[Any]]) -> Iterator[Any]:
    with start("--ctx", str(N_CTX)) as server:
        yield server


def test_openai(small: Any) -> None:
    with small.openai() as client:
        ask: dict[str, Any] = {"model": MODEL, "messages": LONG, "temperature": 0, "max_tokens": 40}
        with pytest.raises(openai.BadRequestError, match="context holds 512") as caught:
            client.chat.completions.create(**ask)
        assert caught.value.code == "context_length_exceeded"
        extra = {"context_policy": "truncate_middle", "cache_diagnostics": True}
        raw = client.chat.completions.with_raw_response.create(**ask, extra_body=extra)
        assert raw.headers["x-shimmy-context"].startswith("truncate_middle; prompt=")
        answer = raw.parse()
        assert answer.choices[0].message.content == ANSWER
        assert answer.usage is not None
        context = answer.usage.model_extra["context"]
        assert context["prompt_tokens"] > N_CTX > answer.usage.prompt_tokens == context["kept"]
        assert context["dropped_messages"] % 2 == 0
        details = answer.usage.prompt_tokens_details
        assert details is not None
        assert details.model_extra["cache_diagnosis"]["reason"] == "new"


def test_openai_responses_go_on(small: Any) -> None:
    with small.openai() as client:
        response = client.responses.create(
            model=MODEL, input=LONG, truncation="auto", temperature=0, max_output_tokens=40
        )
        assert (response.output_text, response.truncation) == (ANSWER, "auto")
        long = client.completions.create(
            model=MODEL,
            prompt="Count to 60.",
            max_tokens=800,
            temperature=0,
            extra_body={"context_policy": "shift", "ignore_eos": True},
        )
        assert long.usage is not None
        assert long.usage.completion_tokens == 800
        assert long.usage.model_extra["context"]["shifts"] > 0


def test_anthropic(small: Any) -> None:
    with anthropic.Anthropic(base_url=small.url, api_key="none", max_retries=0) as client:
        ask: dict[str, Any] = {"model": MODEL, "messages": LONG, "max_tokens": 40}
        with pytest.raises(anthropic.BadRequestError, match="context holds 512"):
            client.messages.create(**ask)
        extra = {"context_policy": "truncate_middle", "temperature": 0}
        with client.messages.stream(**ask, extra_body=extra) as stream:
            message = stream.get_final_message()
            assert stream.response.headers["x-shimmy-context"].startswith("truncate_middle")
        assert message.content[0].text == ANSWER
        assert message.usage.model_extra["context"]["dropped"] > 0


def test_ollama(small: Any) -> None:
    client = ollama.Client(small.url)
    try:
        options = {"temperature": 0, "repeat_penalty": 1.0, "num_predict": 40}
        with pytest.raises(ollama.ResponseError, match="context holds 512"):
            client.chat(MODEL, LONG, options=options)
        answer = client.chat(MODEL, LONG, options={**options, "context_policy": "truncate_middle"})
        assert answer.message.content == ANSWER
        assert (answer.prompt_eval_count or 0) < N_CTX
    finally:
        client._client.close()
