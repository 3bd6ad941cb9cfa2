"""OpenAI's Responses with the official client, against the real server and the embedded model."""

from __future__ import annotations

import json
import time
from typing import Any

import jsonschema
import openai
import pytest
from endless import MAX_TOKENS, WITHOUT_END
from openai import OpenAI
from pydantic import BaseModel

MODEL = "shimmy-mini"
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
RESULT = '{"condition": "sunny", "temperature": 21}'
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "name": "get_weather",
    "description": "Get the current weather in a city",
    "parameters": SCHEMA,
    "strict": True,
}


def ask(client: OpenAI, **fields: Any) -> Any:
    return client.responses.create(**{"model": MODEL, "input": QUESTION, "temperature": 0, **fields})


def test_a_response(client: OpenAI) -> None:
    answer = ask(client)
    assert (answer.output_text, answer.status) == (ANSWER, "completed")
    assert 5 < answer.usage.output_tokens < 15
    counted = client.responses.input_tokens.count(model=MODEL, input=QUESTION)
    assert counted.input_tokens == answer.usage.input_tokens


def test_the_stream_helper(client: OpenAI) -> None:
    with client.responses.stream(model=MODEL, input=QUESTION, temperature=0) as stream:
        deltas = [event.delta for event in stream if event.type == "response.output_text.delta"]
        final = stream.get_final_response()
    assert "".join(deltas) == final.output_text == ANSWER


def test_raw_events_are_numbered(client: OpenAI) -> None:
    events = list(ask(client, stream=True))
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert (events[0].type, events[-1].type) == ("response.created", "response.completed")


def test_a_conversation_by_id(client: OpenAI) -> None:
    first = ask(client)
    second = ask(client, input="Who are you?", previous_response_id=first.id)
    assert "Shimmy" in second.output_text
    assert second.usage.input_tokens > first.usage.input_tokens
    assert second.usage.input_tokens_details.cached_tokens > 0
    assert client.responses.retrieve(second.id).output_text == second.output_text
    assert [item.content[0].text for item in client.responses.input_items.list(second.id)] == ["Who are you?"]
    client.responses.delete(first.id)
    with pytest.raises(openai.NotFoundError):
        client.responses.retrieve(first.id)


def test_a_conversation_by_references(client: OpenAI) -> None:
    first = ask(client)
    asked = {"role": "user", "content": QUESTION}
    end = {"role": "user", "content": "Who are you?"}
    (item,) = first.output
    inline = ask(client, input=[asked, item.model_dump(), end])
    referred = ask(client, input=[asked, {"type": "item_reference", "id": item.id}, end])
    assert "Shimmy" in referred.output_text
    assert (referred.output_text, referred.usage.input_tokens) == (inline.output_text, inline.usage.input_tokens)
    listed = list(client.responses.input_items.list(referred.id))
    assert [(one.type, one.id == item.id) for one in listed] == [
        ("message", False),
        ("message", True),
        ("message", False),
    ]
    client.responses.delete(first.id)
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, input=[asked, {"type": "item_reference", "id": item.id}, end])
    assert (refused.value.param, refused.value.code) == ("input[1].id", "item_not_found")


choices = pytest.mark.parametrize(
    "choice", ["auto", "required", {"type": "function", "name": "get_weather"}], ids=["auto", "required", "named"]
)


@choices
def test_a_call_and_its_output(client: OpenAI, choice: Any) -> None:
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = ask(client, input=asked, tools=[WEATHER], tool_choice=choice, max_output_tokens=200)
    (call,) = answer.output
    assert (answer.status, call.type, call.name) == ("completed", "function_call", "get_weather")
    assert json.loads(call.arguments) == {"city": "Paris"}
    asked += [item.model_dump() for item in answer.output]
    asked.append({"type": "function_call_output", "call_id": call.call_id, "output": RESULT})
    told = ask(client, input=asked, tools=[WEATHER], max_output_tokens=50)
    assert told.status == "completed"
    assert "21" in told.output_text or "sunny" in told.output_text


@choices
def test_a_streamed_call(client: OpenAI, choice: Any) -> None:
    with client.responses.stream(
        model=MODEL, input="What is the weather in Paris?", tools=[WEATHER], tool_choice=choice, temperature=0
    ) as stream:
        fragments = [event.delta for event in stream if event.type == "response.function_call_arguments.delta"]
        final = stream.get_final_response()
    (call,) = final.output
    assert (final.status, call.type, call.name) == ("completed", "function_call", "get_weather")
    assert "".join(fragments) == call.arguments
    assert json.loads(call.arguments) == {"city": "Paris"}


PATCH: dict[str, Any] = {"type": "custom", "name": "write_note", "description": "Write a note"}
CRM: dict[str, Any] = {"type": "namespace", "name": "crm", "description": "Customers", "tools": [WEATHER, PATCH]}


def test_tools_beside_functions(client: OpenAI) -> None:
    tools = [{"type": "web_search"}, WEATHER, PATCH, CRM, {"type": "image_generation"}]
    asked: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = ask(client, input=asked, tools=tools, tool_choice={"type": "function", "name": "crm__get_weather"})
    assert [tool.type for tool in answer.tools] == ["function", "custom", "namespace"]
    (call,) = answer.output
    assert (call.type, call.namespace, call.name) == ("function_call", "crm", "get_weather")
    asked += [call.model_dump(), {"type": "function_call_output", "call_id": call.call_id, "output": RESULT}]
    assert ask(client, input=asked, tools=tools, tool_choice="none", max_output_tokens=50).output_text
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, tools=tools, tool_choice={"type": "web_search_preview"})
    assert refused.value.param == "tool_choice.type"


def test_a_custom_tool(client: OpenAI) -> None:
    asked: list[Any] = [{"role": "user", "content": "Write a note that says hello."}]
    choice = {"type": "custom", "name": "write_note"}
    fields = {"input": asked, "tools": [PATCH], "tool_choice": choice, "max_output_tokens": 200}
    events = list(ask(client, **fields, stream=True))
    deltas = [event.delta for event in events if event.type == "response.custom_tool_call_input.delta"]
    (done,) = [event for event in events if event.type == "response.custom_tool_call_input.done"]
    (call,) = events[-1].response.output
    assert (call.type, call.name, call.id) == ("custom_tool_call", "write_note", done.item_id)
    assert "".join(deltas) == done.input == call.input != ""
    assert '"input"' not in call.input
    asked += [call.model_dump(), {"type": "custom_tool_call_output", "call_id": call.call_id, "output": "Written."}]
    told = ask(client, **{**fields, "input": asked, "tool_choice": "none"})
    assert [item.type for item in client.responses.input_items.list(told.id)] == [
        "custom_tool_call_output",
        "custom_tool_call",
        "message",
    ]


class City(BaseModel):
    city: str


def test_the_sdk_parses_into_a_class(client: OpenAI) -> None:
    answer = client.responses.parse(model=MODEL, input=QUESTION, text_format=City, temperature=0, max_output_tokens=400)
    assert answer.status == "completed"
    assert isinstance(answer.output_parsed, City)
    text: Any = {"format": {"type": "json_schema", "name": "city", "schema": SCHEMA, "strict": True}}
    jsonschema.validate(json.loads(ask(client, text=text).output_text), SCHEMA)


def test_in_the_background(client: OpenAI) -> None:
    started = ask(client, background=True)
    end = time.monotonic() + 60
    while (now := client.responses.retrieve(started.id)).status in ("queued", "in_progress"):
        assert time.monotonic() < end
        time.sleep(0.02)
    assert now.output_text == ANSWER
    endless = ask(client, background=True, max_output_tokens=MAX_TOKENS, extra_body=WITHOUT_END)
    assert client.responses.cancel(endless.id).status == "cancelled"


def test_errors(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError):
        ask(client, model="nothing")
    with pytest.raises(openai.BadRequestError) as refused:
        ask(client, input="word " * 50_000)
    assert refused.value.code == "context_length_exceeded"
    with pytest.raises(openai.BadRequestError):
        ask(client, previous_response_id="resp_nothing")
