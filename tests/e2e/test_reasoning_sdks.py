"""Reasoning through the official Python clients: what a model thinks before it answers, where each protocol has it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from anthropic import Anthropic
from openai import OpenAI

from chain_model import ChainModel

MODEL = "thinker"
CALLER = "caller"
TEMPLATES = Path(__file__).resolve().parents[1] / "data" / "chat_templates"
QUESTION: list[Any] = [{"role": "user", "content": "What is the capital of France?"}]
THOUGHT, ANSWER = "It has one capital.", "Paris!"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
WEATHER: dict[str, Any] = {"name": "get_weather", "description": "Get the weather in a city", "parameters": SCHEMA}
BEFORE_CALL, ARGUMENTS = "Let me ask.", {"city": "Paris"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any]) -> Iterator[str]:
    """A model whose prompt opens <think>, which it closes before it answers; and one that opens it itself, then calls a
    tool."""
    folder = tmp_path_factory.mktemp("thinkers")
    words = ["\n", "It", " has", " one", " capital", ".", "</think>", "Paris", "!"]
    ChainModel(words, chat_template=(TEMPLATES / "deepseek_r1.jinja").read_text()).write(folder / f"{MODEL}.gguf")
    words = ["\n", "<think>", "\nLet", " me", " ask", ".\n", "</think>", "\n\n", "<tool_call>"]
    words += ['\n{"name": "get_weather", "arguments": {"city": "', "Paris", '"}}\n', "</tool_call>"]
    ChainModel(words, chat_template=(TEMPLATES / "qwen3.jinja").read_text()).write(folder / f"{CALLER}.gguf")
    with start("--model-dirs", str(folder)) as process:
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


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_before_a_call_of_openai(openai: OpenAI, stream: bool) -> None:
    fields: Any = {"model": CALLER, "messages": QUESTION, "tools": [{"type": "function", "function": WEATHER}]}
    if stream:
        with openai.chat.completions.stream(**fields) as parts:
            (choice,) = parts.get_final_completion().choices
    else:
        (choice,) = openai.chat.completions.create(**fields).choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert choice.message.reasoning_content.strip() == BEFORE_CALL  # type: ignore[union-attr]
    (call,) = choice.message.tool_calls or ()
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", ARGUMENTS)  # type: ignore[union-attr]


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_before_a_call_of_responses(openai: OpenAI, stream: bool) -> None:
    fields: Any = {"model": CALLER, "input": QUESTION, "tools": [{"type": "function", **WEATHER}]}
    if stream:
        with openai.responses.stream(**fields) as parts:
            answer: Any = parts.get_final_response()
    else:
        answer = openai.responses.create(**fields)
    reasoning, call = answer.output
    assert (reasoning.type, call.type, call.name) == ("reasoning", "function_call", "get_weather")
    assert reasoning.content[0].text.strip() == BEFORE_CALL
    assert json.loads(call.arguments) == ARGUMENTS


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_before_a_call_of_anthropic(url: str, stream: bool) -> None:
    fields: Any = {"model": CALLER, "messages": QUESTION, "max_tokens": 2000, "thinking": {"type": "adaptive"}}
    fields["tools"] = [{"name": "get_weather", "input_schema": SCHEMA}]
    with Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        if stream:
            with client.messages.stream(**fields) as parts:
                answer = parts.get_final_message()
        else:
            answer = client.messages.create(**fields)
        thinking, call = answer.content
        assert (answer.stop_reason, thinking.type, call.type) == ("tool_use", "thinking", "tool_use")
        assert thinking.thinking.strip() == BEFORE_CALL
        assert (call.name, call.input) == ("get_weather", ARGUMENTS)
        # The turn goes back as it came, with the tool's result.
        result = {"type": "tool_result", "tool_use_id": call.id, "content": "sunny"}
        turns = [{"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
        assert client.messages.create(**{**fields, "messages": [*QUESTION, *turns]}).stop_reason == "tool_use"


@pytest.mark.parametrize("stream", [False, True])
def test_thoughts_before_a_call_of_ollama(url: str, stream: bool) -> None:
    client = ollama.Client(host=url, timeout=60)
    tools: Any = [{"type": "function", "function": WEATHER}]
    answer: Any = client.chat(CALLER, QUESTION, tools=tools, think=True, stream=stream)
    parts = list(answer) if stream else [answer]
    assert "".join(part.message.thinking or "" for part in parts).strip() == BEFORE_CALL
    assert "".join(part.message.content or "" for part in parts) == ""
    (call,) = [call for part in parts for call in part.message.tool_calls or []]
    assert (call.function.name, call.function.arguments) == ("get_weather", ARGUMENTS)
    client._client.close()
