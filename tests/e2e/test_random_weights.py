"""A model with random weights through the official clients: it obeys nothing, so what holds here is enforced."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
from anthropic import Anthropic
from ollama import Client
from openai import OpenAI

MODEL = "random"
ASKED: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
SEEDS = range(3)
SEED = {"seed": 1}
"""For protocols that have no such field, in which it is an extension."""

ARGUMENTS: dict[str, Any] = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "maxLength": 12},
        "unit": {"enum": ["celsius", "fahrenheit"]},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
    },
    "required": ["city", "unit", "days"],
    "additionalProperties": False,
}
ORDER: dict[str, Any] = {
    "type": "object",
    "properties": {
        "id": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{4}$"},
        "items": {
            "type": "array",
            "minItems": 1,
            "maxItems": 3,
            "items": {
                "type": "object",
                "properties": {
                    "name": {"type": "string", "maxLength": 8},
                    "count": {"type": "integer", "minimum": 0, "maximum": 99},
                },
                "required": ["name", "count"],
                "additionalProperties": False,
            },
        },
        "paid": {"type": "boolean"},
        "note": {"anyOf": [{"type": "null"}, {"type": "string", "maxLength": 8}]},
    },
    "required": ["id", "items", "paid", "note"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": f"Call {name}", "parameters": ARGUMENTS}}
    for name in ("get_weather", "get_time", "get_news")
]


@pytest.fixture(scope="module")
def url(random_server: Any) -> str:
    return str(random_server.url)


@pytest.fixture(scope="module")
def client(url: str) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def given(**fields: Any) -> dict[str, Any]:
    """A request, without reasoning: this model would never come to its end."""
    basic = {"model": MODEL, "messages": ASKED, "temperature": 1.5, "max_tokens": 600, "reasoning_effort": "none"}
    return {**basic, **fields}


def ask(client: OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**given(**fields))


def calls_of(client: OpenAI, stream: bool, **fields: Any) -> list[Any]:
    """Names and arguments; a stream's are put together by the client."""
    if stream:
        with client.chat.completions.stream(**given(**fields)) as parts:
            (choice,) = parts.get_final_completion().choices
    else:
        (choice,) = ask(client, **fields).choices
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    calls = [(call.function.name, json.loads(call.function.arguments)) for call in choice.message.tool_calls]
    for _, arguments in calls:
        jsonschema.validate(arguments, ARGUMENTS)
    return calls


def test_left_alone_it_says_no_such_thing(client: OpenAI) -> None:
    for seed in SEEDS:
        said = ask(client, tools=TOOLS, seed=seed, max_tokens=50).choices[0].message
        assert not said.tool_calls
        assert not said.content.lstrip().startswith("{")


def test_a_required_call_after_any_reasoning(client: OpenAI) -> None:
    for seed in SEEDS:
        fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "seed": seed}
        choice = ask(client, **fields, reasoning_effort="high").choices[0]
        assert not choice.message.content
        assert choice.finish_reason == ("tool_calls" if choice.message.tool_calls else "length")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_required_call(client: OpenAI, seed: int, stream: bool) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "seed": seed}
    ((name, _),) = calls_of(client, stream, **fields)
    assert name in ("get_weather", "get_time", "get_news")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("name", ["get_weather", "get_time", "get_news"])
def test_a_named_call(client: OpenAI, name: str, stream: bool) -> None:
    choice = {"type": "function", "function": {"name": name}}
    fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "seed": 4}
    assert [called for called, _ in calls_of(client, stream, **fields)] == [name]


@pytest.mark.parametrize("seed", SEEDS)
def test_one_of_the_allowed(client: OpenAI, seed: int) -> None:
    allowed = {"mode": "required", "tools": [{"type": "function", "function": {"name": "get_time"}}]}
    choice = {"type": "allowed_tools", "allowed_tools": allowed}
    fields = {"tools": TOOLS, "tool_choice": choice, "parallel_tool_calls": False, "seed": seed}
    assert [called for called, _ in calls_of(client, False, **fields)] == ["get_time"]


def test_greedy_too(client: OpenAI) -> None:
    fields = {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False, "temperature": 0}
    assert len(calls_of(client, False, **fields)) == len(calls_of(client, True, **fields)) == 1


@pytest.mark.parametrize("temperature", [0, 1, 3])
@pytest.mark.parametrize("seed", SEEDS)
def test_a_strict_schema(client: OpenAI, temperature: float, seed: int) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}}
    (choice,) = ask(client, response_format=wanted, temperature=temperature, seed=seed).choices
    assert choice.finish_reason == "stop"
    jsonschema.validate(json.loads(choice.message.content), ORDER)


def test_eight_schemas_at_once(client: OpenAI) -> None:
    wanted = {"type": "json_schema", "json_schema": {"name": "order", "schema": ORDER, "strict": True}}
    answer = ask(client, response_format=wanted, seed=9, n=8)
    for choice in answer.choices:
        jsonschema.validate(json.loads(choice.message.content), ORDER)
    assert len({choice.message.content for choice in answer.choices}) > 1


def test_an_object_or_a_choice(client: OpenAI) -> None:
    said = ask(client, response_format={"type": "json_object"}, seed=1, max_tokens=60).choices[0].message.content
    assert said.lstrip().startswith("{")
    picked = ask(client, extra_body={"guided_choice": ["red", "green", "blue"]}, seed=1).choices[0].message.content
    assert picked in ("red", "green", "blue")


def test_responses(client: OpenAI) -> None:
    text: Any = {"format": {"type": "json_schema", "name": "order", "schema": ORDER, "strict": True}}
    answer = client.responses.create(model=MODEL, input="An order.", text=text, temperature=1.5, extra_body=SEED)
    jsonschema.validate(json.loads(answer.output_text), ORDER)
    flat: Any = [{"type": "function", "strict": True, **tool["function"]} for tool in TOOLS]
    choice: Any = {"type": "function", "name": "get_news"}
    with client.responses.stream(
        model=MODEL,
        input="News?",
        tools=flat,
        tool_choice=choice,
        parallel_tool_calls=False,
        temperature=1.5,
        reasoning={"effort": "none"},
        extra_body=SEED,
    ) as stream:
        (call,) = [item for item in stream.get_final_response().output if item.type == "function_call"]
    assert call.name == "get_news"
    jsonschema.validate(json.loads(call.arguments), ARGUMENTS)


@pytest.mark.parametrize("choice", [{"type": "any"}, {"type": "tool", "name": "get_news"}])
def test_anthropic(url: str, choice: dict[str, Any]) -> None:
    tools: Any = [{"name": tool["function"]["name"], "input_schema": ARGUMENTS} for tool in TOOLS]
    with Anthropic(base_url=url, api_key="none", max_retries=0, timeout=60) as client:
        with client.messages.stream(
            model=MODEL,
            messages=ASKED,
            max_tokens=600,
            tools=tools,
            tool_choice={**choice, "disable_parallel_tool_use": True},  # type: ignore[typeddict-item]
            extra_body={"temperature": 1.5, **SEED},
        ) as stream:
            answer = stream.get_final_message()
        assert answer.stop_reason == "tool_use"
        (call,) = [block for block in answer.content if block.type == "tool_use"]
        assert call.name in ([choice["name"]] if "name" in choice else ["get_weather", "get_time", "get_news"])
        jsonschema.validate(call.input, ARGUMENTS)
        shape: Any = {"format": {"type": "json_schema", "schema": ORDER}}
        said = client.messages.create(model=MODEL, messages=ASKED, max_tokens=600, output_config=shape, extra_body=SEED)
        jsonschema.validate(json.loads(said.content[0].text), ORDER)  # type: ignore[union-attr]


@pytest.fixture(scope="module")
def ollama(url: str) -> Iterator[Client]:
    client = Client(host=url, timeout=60)
    yield client
    client._client.close()


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("seed", SEEDS)
def test_ollama(ollama: Client, seed: int, stream: bool) -> None:
    options = {"seed": seed, "temperature": 1.5}
    answer: Any = ollama.chat(MODEL, ASKED, format=ORDER, options=options, stream=stream, think=False)
    said = "".join(part.message.content or "" for part in (answer if stream else [answer]))
    jsonschema.validate(json.loads(said), ORDER)


@pytest.mark.parametrize("seed", SEEDS)
def test_ollama_tells_of_no_call_that_was_not_made(ollama: Client, seed: int) -> None:
    """This protocol cannot demand one."""
    options = {"seed": seed, "temperature": 1.5, "num_predict": 50}
    fields: Any = {"tools": TOOLS, "options": options, "think": False}
    whole = ollama.chat(MODEL, ASKED, **fields)
    parts = list(ollama.chat(MODEL, ASKED, stream=True, **fields))
    assert [part.message.tool_calls for part in (whole, *parts)] == [None] * (len(parts) + 1)
    assert whole.message.content
    assert "".join(part.message.content or "" for part in parts)
