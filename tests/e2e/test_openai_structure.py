"""The official OpenAI client where the output has a shape: schemas, forced tool calls, several choices, echo."""

from __future__ import annotations

import json
from typing import Any

import jsonschema
import openai
import pytest
from openai import OpenAI
from pydantic import BaseModel

MODEL = "shimmy-mini"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
PROMPT = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\nThe capital of France is"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "size": {"type": "integer", "minimum": 1}},
    "required": ["city", "size"],
    "additionalProperties": False,
}
PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
TOOLS: list[Any] = [
    {"type": "function", "function": {"name": name, "description": f"Call {name}", "parameters": PARAMETERS}}
    for name in ("get_weather", "get_time")
]


class City(BaseModel):
    city: str
    is_capital: bool


def ask(client: OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, **fields})


def schema_format(schema: dict[str, Any], *, strict: bool = True) -> dict[str, Any]:
    return {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema, "strict": strict}}


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_an_answer_keeps_to_its_schema(client: OpenAI, temperature: float) -> None:
    answer = ask(client, response_format=schema_format(SCHEMA), temperature=temperature, seed=1, max_tokens=300)
    assert answer.choices[0].finish_reason == "stop"
    jsonschema.validate(json.loads(answer.choices[0].message.content), SCHEMA)


def test_a_streamed_answer_keeps_to_its_schema(client: OpenAI) -> None:
    chunks = ask(client, response_format=schema_format(SCHEMA), stream=True, max_tokens=300)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    jsonschema.validate(json.loads(text), SCHEMA)


def test_the_sdk_parses_into_a_class(client: OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL, messages=QUESTION, response_format=City, temperature=0, max_tokens=300, logit_bias={}
    )
    assert isinstance(answer.choices[0].message.parsed, City)


def test_any_json_object(client: OpenAI) -> None:
    answer = ask(client, response_format={"type": "json_object"}, max_tokens=300)
    if answer.choices[0].finish_reason == "stop":
        assert isinstance(json.loads(answer.choices[0].message.content), dict)
    assert answer.choices[0].message.content.lstrip().startswith("{")


def test_a_bad_schema_is_refused_by_name(client: OpenAI) -> None:
    for schema, strict in (({"type": "object", "properties": {"a": {"type": "colour"}}}, False), ({}, True)):
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, response_format=schema_format(schema, strict=strict))
        assert refused.value.param == "response_format"


@pytest.mark.parametrize(
    ("fields", "answers"),
    [
        ({"guided_choice": ["Rome", "Oslo"]}, ["Rome", "Oslo"]),
        ({"structured_outputs": {"regex": "yes|no"}}, ["yes", "no"]),
        ({"grammar": 'root ::= "red" | "blue"'}, ["red", "blue"]),
    ],
)
def test_other_servers_names_for_it(client: OpenAI, fields: dict[str, Any], answers: list[str]) -> None:
    assert ask(client, extra_body=fields).choices[0].message.content in answers
    text = client.completions.create(model=MODEL, prompt=PROMPT, temperature=0, extra_body=fields).choices[0].text
    assert text in answers


@pytest.mark.parametrize("temperature", [0, 1.5])
def test_a_required_call(client: OpenAI, temperature: float) -> None:
    choice = ask(client, tools=TOOLS, tool_choice="required", temperature=temperature, seed=2, max_tokens=300).choices[
        0
    ]
    assert choice.finish_reason == "tool_calls"
    assert choice.message.content is None
    for call in choice.message.tool_calls:
        assert call.function.name in ("get_weather", "get_time")
        jsonschema.validate(json.loads(call.function.arguments), PARAMETERS)


@pytest.mark.parametrize("name", ["get_weather", "get_time"])
def test_a_named_call(client: OpenAI, name: str) -> None:
    choice = ask(
        client, tools=TOOLS, tool_choice={"type": "function", "function": {"name": name}}, max_tokens=300
    ).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert {call.function.name for call in choice.message.tool_calls} == {name}
    jsonschema.validate(json.loads(choice.message.tool_calls[0].function.arguments), PARAMETERS)


def test_several_choices(client: OpenAI) -> None:
    story = [{"role": "user", "content": "Tell me a story about a fox."}]
    fields: dict[str, Any] = {"messages": story, "n": 3, "temperature": 1.5, "seed": 7, "max_tokens": 20}
    answer = ask(client, **fields)
    texts = [choice.message.content for choice in answer.choices]
    assert [choice.index for choice in answer.choices] == [0, 1, 2]
    assert len(set(texts)) > 1
    alone = ask(client, **{**fields, "n": 1})
    assert alone.choices[0].message.content == texts[0]
    assert answer.usage.prompt_tokens == alone.usage.prompt_tokens
    assert answer.usage.completion_tokens > alone.usage.completion_tokens
    streamed = ["", "", ""]
    for chunk in ask(client, **fields, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += choice.delta.content or ""
    assert streamed == texts


def test_echo_scores_the_prompt(client: OpenAI) -> None:
    fields: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "temperature": 0, "echo": True, "logprobs": 1}
    silent = client.completions.create(**fields, max_tokens=0)
    scored = silent.choices[0].logprobs
    assert silent.choices[0].text == PROMPT
    assert silent.usage.completion_tokens == 0
    assert len(scored.tokens) == silent.usage.prompt_tokens
    assert (scored.token_logprobs[0], scored.top_logprobs[0], scored.text_offset[0]) == (None, None, 0)
    assert all(value <= 0 for value in scored.token_logprobs[1:])
    for token, offset in zip(scored.tokens, scored.text_offset, strict=True):
        assert PROMPT.startswith(token, offset)
    answer = client.completions.create(**fields, max_tokens=1)
    both = answer.choices[0].logprobs
    assert answer.choices[0].text == PROMPT + " Paris"
    assert len(both.tokens) == len(scored.tokens) + 1
    assert both.text_offset[-1] == len(PROMPT)
    streamed = list(client.completions.create(**fields, max_tokens=1, stream=True))
    assert "".join(chunk.choices[0].text for chunk in streamed) == PROMPT + " Paris"
    parts = [chunk.choices[0].logprobs for chunk in streamed if chunk.choices[0].logprobs]
    assert [token for part in parts for token in part.tokens] == both.tokens


def test_likelihoods_as_lm_evaluation_harness_reads_them(client: OpenAI) -> None:
    """Its local-completions: token lists of context and continuation, one token more, and slices of the arrays."""
    fields: dict[str, Any] = {"model": MODEL, "temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234}
    context = "The capital of France is"
    with_ids = {"return_token_ids": True, "add_generation_prompt": False}  # unknown fields are ignored
    prompts = [[40, 41, 42, 43], [50, 51, 52]]
    answer = client.completions.create(**fields, prompt=prompts, echo=True, extra_body=with_ids)
    for prompt, choice in zip(prompts, answer.choices, strict=True):
        values, tops = choice.logprobs.token_logprobs, choice.logprobs.top_logprobs
        assert len(values) == len(tops) == len(prompt) + 1
        for value, top in zip(values[2:-1], tops[2:-1], strict=True):
            assert value <= max(top.values())
    sums = []
    for ending in (" Paris.", " Berlin."):
        scored = client.completions.create(**fields, prompt=context + ending, echo=True).choices[0].logprobs
        ends = [at for at, offset in enumerate(scored.text_offset[:-1]) if offset >= len(context)]
        sums.append(sum(scored.token_logprobs[at] for at in ends))
    assert sums[0] > sums[1]


def test_best_of(client: OpenAI) -> None:
    fields: dict[str, Any] = {"model": MODEL, "prompt": PROMPT, "temperature": 2, "seed": 3, "max_tokens": 5}
    assert len(client.completions.create(**fields, n=2, best_of=4).choices) == 2
