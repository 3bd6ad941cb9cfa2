"""Reasoning through the official Python clients: what a model thinks before it answers, where each protocol has it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from anthropic import Anthropic
from openai import OpenAI

from chain_model import ChainModel

MODEL = "thinker"
TEMPLATE = Path(__file__).resolve().parents[1] / "data" / "chat_templates" / "deepseek_r1.jinja"
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
THOUGHT, ANSWER = "It has one capital.", "Paris!"


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any]) -> Iterator[str]:
    """A model whose prompt opens <think>, which it closes before it answers."""
    words = ["\n", "It", " has", " one", " capital", ".", "</think>", "Paris", "!"]
    path = tmp_path_factory.mktemp("thinker") / f"{MODEL}.gguf"
    ChainModel(words, chat_template=TEMPLATE.read_text()).write(path)
    with start("--model-path", str(path)) as process:
        yield process.url


@pytest.fixture(scope="module")
def openai(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def thought(text: str) -> str:
    """Without the line break that the template writes behind <think>."""
    return text.removeprefix("\n")


@pytest.mark.parametrize("stream", [False, True])
def test_openai(openai: OpenAI, stream: bool) -> None:
    answer: Any = openai.chat.completions.create(model=MODEL, messages=QUESTION, stream=stream)
    said = [
        choice.delta if stream else choice.message
        for part in (answer if stream else [answer])
        for choice in part.choices
    ]
    assert thought("".join(getattr(one, "reasoning_content", None) or "" for one in said)) == THOUGHT
    assert "".join(one.content or "" for one in said) == ANSWER
    order = [kind for one in said for kind in ("reasoning_content", "content") if getattr(one, kind, None)]
    assert order == sorted(order, reverse=True)


def test_an_answer_goes_back_with_its_reasoning(openai: OpenAI) -> None:
    first = openai.chat.completions.create(model=MODEL, messages=QUESTION).choices[0].message
    turns: Any = [*QUESTION, first.model_dump(), *QUESTION]
    again = openai.chat.completions.create(model=MODEL, messages=turns)
    assert again.choices[0].message.content == ANSWER


def test_openai_responses(openai: OpenAI) -> None:
    whole = openai.responses.create(model=MODEL, input=QUESTION)
    with openai.responses.stream(model=MODEL, input=QUESTION) as stream:
        events = list(stream)
        streamed = stream.get_final_response()
    for answer in (whole, streamed):
        reasoning, message = answer.output
        assert (reasoning.type, message.type, answer.output_text) == ("reasoning", "message", ANSWER)
        assert reasoning.content
        assert thought("".join(part.text for part in reasoning.content)) == THOUGHT
        assert answer.usage
        assert 0 < answer.usage.output_tokens_details.reasoning_tokens < answer.usage.output_tokens
    deltas = [event.delta for event in events if event.type == "response.reasoning_text.delta"]
    (done,) = [event.text for event in events if event.type == "response.reasoning_text.done"]
    assert thought("".join(deltas)) == thought(done) == THOUGHT


@pytest.mark.parametrize("thinking", [None, {"type": "enabled", "budget_tokens": 1024}])
def test_anthropic(url: str, thinking: Any) -> None:
    fields: Any = {"model": MODEL, "messages": QUESTION, "max_tokens": 2000}
    if thinking:
        fields["thinking"] = thinking
    with Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        whole = client.messages.create(**fields)
        with client.messages.stream(**fields) as stream:
            events = list(stream)
            streamed = stream.get_final_message()
    for answer in (whole, streamed):
        assert answer.stop_reason == "end_turn"
        first, second = answer.content
        assert (first.type, second.type) == ("thinking", "text")
        assert thought(first.thinking) == THOUGHT
        assert isinstance(first.signature, str)
        assert second.text == ANSWER
    assert thought("".join(event.thinking for event in events if event.type == "thinking")) == THOUGHT
    assert [event.index for event in events if event.type == "content_block_start"] == [0, 1]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("think", [None, True])
def test_ollama(url: str, think: bool | None, stream: bool) -> None:
    client = ollama.Client(host=url, timeout=60)
    fields: Any = {} if think is None else {"think": think}
    answer: Any = client.chat(MODEL, QUESTION, stream=stream, **fields)
    parts = list(answer) if stream else [answer]
    assert thought("".join(part.message.thinking or "" for part in parts)) == THOUGHT
    assert "".join(part.message.content or "" for part in parts) == ANSWER
    assert parts[-1].done_reason == "stop"
    assert "thinking" in client.show(MODEL).capabilities
    client._client.close()
