"""Structured output and tool calls through LLM, with the demo model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from engine_fixtures import spec

from shimmy import LLM, ChatPrompt, GrammarSpec
from shimmy.completion import Completion
from shimmy.errors import InvalidRequestError

TEMPLATES = Path(__file__).resolve().parents[1] / "data" / "chat_templates"
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"enum": ["Paris", "Rome"]}, "unit": {"enum": ["C", "F"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": PARAMETERS}},
    {
        "type": "function",
        "function": {
            "name": "add",
            "parameters": {
                "type": "object",
                "properties": {"a": {"type": "integer", "minimum": 0, "maximum": 9}},
                "required": ["a"],
                "additionalProperties": False,
            },
        },
    },
]
SCHEMAS = {tool["function"]["name"]: tool["function"]["parameters"] for tool in TOOLS}  # type: ignore[index]
WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def llm() -> Iterator[LLM]:
    with LLM(spec()) as loaded:
        yield loaded


def ask(llm: LLM, **options: Any) -> Completion:
    prompt = {key: options.pop(key) for key in list(options) if key in ChatPrompt.__struct_fields__}
    given = ChatPrompt(**{"messages": WEATHER, "tools": TOOLS, **prompt})
    return llm.generate(given, **{"temperature": 0, "max_tokens": 120, **options})


def check_calls(answer: Completion) -> None:
    assert answer.finish_reason == "tool_calls"
    assert answer.tool_calls
    for call in answer.tool_calls:
        jsonschema.validate(json.loads(call.arguments), SCHEMAS[call.name])


@pytest.mark.parametrize("speculation", [True, False])
def test_required_calls(llm: LLM, speculation: bool) -> None:
    for options in ({}, {"temperature": 1.0, "seed": 1}, {"temperature": 1.0, "seed": 2}):
        answer = ask(llm, tool_choice="required", parallel_tool_calls=False, speculation=speculation, **options)
        check_calls(answer)
        assert answer.text == ""
        assert len(answer.tool_calls) == 1


def test_required_calls_to_whatever_was_asked(llm: LLM) -> None:
    messages = [{"role": "user", "content": "Write a poem about the sea."}]
    check_calls(ask(llm, messages=messages, tool_choice="required", parallel_tool_calls=False))


@pytest.mark.parametrize("dialect", ["qwen3", "llama3"])
def test_nothing_is_said_before_required_calls(dialect: str) -> None:
    """In the formats of templates that this model does not know, so it would say anything; qwen3 may reason."""
    template = (TEMPLATES / f"{dialect}.jinja").read_text()
    with LLM(spec(chat_template=template)) as llm:
        for seed in range(4):
            options = {"temperature": 2.0, "seed": seed, "max_tokens": 200}
            answer = ask(llm, tool_choice="required", parallel_tool_calls=False, **options)
            assert answer.text == ""
            if not answer.reasoning:
                check_calls(answer)


@pytest.mark.parametrize("name", ["get_weather", "add"])
def test_named_calls(llm: LLM, name: str) -> None:
    answer = ask(llm, tool_choice="required", tool_name=name, parallel_tool_calls=False)
    check_calls(answer)
    assert {call.name for call in answer.tool_calls} == {name}


def test_optional_calls_are_of_the_schema_or_not_made(llm: LLM) -> None:
    for seed in range(4):
        answer = ask(llm, temperature=0.7, seed=seed)
        assert answer.finish_reason in ("stop", "tool_calls", "length")
        if answer.finish_reason == "tool_calls":
            check_calls(answer)
    free = ask(llm, messages=[{"role": "user", "content": "What color is the sky?"}])
    assert (free.text != "") != (free.tool_calls != [])


def test_none_makes_no_calls(llm: LLM) -> None:
    assert ask(llm, tool_choice="none").tool_calls == []


def test_a_schema_beside_optional_tools(llm: LLM) -> None:
    for seed in range(4):
        answer = ask(llm, grammar=GrammarSpec(json_schema=PERSON), temperature=0.9, seed=seed)
        if answer.tool_calls:
            check_calls(answer)
        else:
            jsonschema.validate(json.loads(answer.text), PERSON)


@pytest.mark.parametrize("name", ["call", "calls"])
def test_a_name_that_the_grammar_needs_is_refused(llm: LLM, name: str) -> None:
    tools = [{"type": "function", "function": {"name": name, "parameters": PARAMETERS}}]
    for choice in ("required", "auto"):
        with pytest.raises(InvalidRequestError, match=f"cannot be named '{name}'") as refused:
            ask(llm, tools=tools, tool_choice=choice)
        assert refused.value.param == "tools"
    assert ask(llm, tools=tools, tool_choice="none").tool_calls == []


def test_a_schema_with_tool_choice_none(llm: LLM) -> None:
    answer = ask(llm, grammar=GrammarSpec(json_schema=PERSON), tool_choice="none")
    jsonschema.validate(json.loads(answer.text), PERSON)


def test_required_calls_win_over_a_schema(llm: LLM) -> None:
    check_calls(ask(llm, grammar=GrammarSpec(json_schema=PERSON), tool_choice="required", parallel_tool_calls=False))


def test_a_regex_beside_optional_tools_is_refused(llm: LLM) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        ask(llm, grammar=GrammarSpec(regex="a+"))
    assert caught.value.param == "tool_choice"


@pytest.mark.parametrize(
    ("grammar", "texts"),
    [
        (GrammarSpec(choice=["red", "blue"]), {"red", "blue"}),
        (GrammarSpec(regex="(red|blue)"), {"red", "blue"}),
        (GrammarSpec(gbnf='root ::= "red" | "blue"'), {"red", "blue"}),
        (GrammarSpec(lark='start: "red" | "blue"'), {"red", "blue"}),
        (GrammarSpec(json_schema={"enum": ["red", "blue"]}, any_whitespace=False), {'"red"', '"blue"'}),
    ],
)
def test_every_kind(llm: LLM, grammar: GrammarSpec, texts: set[str]) -> None:
    prompt = [{"role": "user", "content": "What color is the sky?"}]
    for options in ({"temperature": 0}, {"temperature": 1.0, "seed": 1}, {"temperature": 0, "logprobs": 1}):
        answer = llm.chat(prompt, grammar=grammar, max_tokens=20, **options)
        assert answer.text in texts
        assert answer.finish_reason == "stop"
        assert len(answer.logprobs) == (len(answer.token_ids) if "logprobs" in options else 0)


def test_json_object(llm: LLM) -> None:
    for seed in range(3):
        answer = llm.generate("Data:", grammar=GrammarSpec(json_object=True), temperature=0.8, seed=seed, max_tokens=60)
        assert answer.finish_reason == "length" or isinstance(json.loads(answer.text), dict)


def test_a_schema_that_does_not_fit_max_tokens(llm: LLM) -> None:
    schema = {"type": "array", "items": {"type": "integer"}, "minItems": 50}
    answer = llm.generate("Data:", grammar=GrammarSpec(json_schema=schema), max_tokens=10, temperature=0)
    assert (answer.finish_reason, answer.usage.completion_tokens) == ("length", 10)


@pytest.mark.parametrize(
    ("grammar", "param"),
    [
        (GrammarSpec(regex="("), "regex"),
        (GrammarSpec(gbnf='root ::= "a'), "gbnf"),
        (GrammarSpec(lark="start: nope"), "lark"),
        (GrammarSpec(choice=[]), "choice"),
        (GrammarSpec(json_schema={"type": "nope"}), "json_schema"),
        (GrammarSpec(json_schema={"type": "object"}, strict=True), "json_schema"),
    ],
)
def test_what_does_not_compile_is_refused_by_name(llm: LLM, grammar: GrammarSpec, param: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        llm.generate("Data:", grammar=grammar, max_tokens=3)
    assert caught.value.param == param
