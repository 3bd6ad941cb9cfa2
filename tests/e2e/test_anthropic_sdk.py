"""The official Anthropic client against the real server and the embedded model."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from typing import Any

import anthropic
import httpx
import jsonschema
import pytest
from anthropic import Anthropic
from endless import MAX_TOKENS, WITHOUT_END

MODEL = "shimmy-mini"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {"name": "get_weather", "description": "Get the current weather in a city", "input_schema": SCHEMA}
RESULT = '{"condition": "sunny", "temperature": 21}'
ASK_WEATHER = [{"role": "user", "content": "What is the weather in Paris?"}]


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def fields_of(**fields: Any) -> dict[str, Any]:
    extra = {"temperature": 0, **fields.pop("extra_body", {})}  # this SDK's types have no temperature any more
    return {"model": MODEL, "messages": QUESTION, "max_tokens": 200, "extra_body": extra, **fields}


def ask(client: Anthropic, **fields: Any) -> Any:
    return client.messages.create(**fields_of(**fields))


def test_a_message_with_real_usage(client: Anthropic) -> None:
    answer = ask(client)
    assert [block.text for block in answer.content] == [ANSWER]
    assert (answer.stop_reason, answer.stop_sequence) == ("end_turn", None)
    assert 5 < answer.usage.output_tokens < 15
    again = ask(client)
    assert again.usage.cache_read_input_tokens > 0
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION)
    assert counted.input_tokens == again.usage.input_tokens + again.usage.cache_read_input_tokens
    assert answer._request_id.startswith("req_")


def test_a_stream_says_the_same(client: Anthropic) -> None:
    with client.messages.stream(**fields_of()) as stream:
        text = "".join(stream.text_stream)
        last = stream.get_final_message()
    assert text == ANSWER
    whole = ask(client)
    assert last.content[0].text == ANSWER
    assert last.usage.output_tokens == whole.usage.output_tokens
    assert last.usage.input_tokens + last.usage.cache_read_input_tokens == sum(
        (whole.usage.input_tokens, whole.usage.cache_read_input_tokens)
    )


def test_the_start_of_a_stream_says_how_long_the_prompt_is(client: Anthropic) -> None:
    events = list(ask(client, stream=True))
    usage = events[0].message.usage
    counted = client.messages.count_tokens(model=MODEL, messages=QUESTION)
    assert usage.input_tokens + usage.cache_read_input_tokens == counted.input_tokens


def test_a_system_prompt_and_blocks(client: Anthropic) -> None:
    question = [{"role": "user", "content": [{"type": "text", "text": "What is the capital of France?"}]}]
    system = [{"type": "text", "text": "You are a helpful assistant.", "cache_control": {"type": "ephemeral"}}]
    assert "Paris" in ask(client, messages=question, system=system).content[0].text


def test_a_conversation(client: Anthropic) -> None:
    turns = [*QUESTION, {"role": "assistant", "content": ANSWER}, {"role": "user", "content": "Who are you?"}]
    assert "Shimmy" in ask(client, messages=turns).content[0].text


choices = pytest.mark.parametrize(
    "choice", [{"type": "auto"}, {"type": "any"}, {"type": "tool", "name": "get_weather"}], ids=lambda one: one["type"]
)


@choices
def test_a_call(client: Anthropic, choice: dict[str, Any]) -> None:
    answer = ask(client, messages=ASK_WEATHER, tools=[WEATHER], tool_choice=choice)
    assert answer.stop_reason == "tool_use"
    (call,) = answer.content
    assert (call.type, call.name, call.input) == ("tool_use", "get_weather", {"city": "Paris"})
    assert call.id.startswith("toolu_")


@choices
def test_a_streamed_call_and_its_result(client: Anthropic, choice: dict[str, Any]) -> None:
    with client.messages.stream(**fields_of(messages=ASK_WEATHER, tools=[WEATHER], tool_choice=choice)) as stream:
        fragments = [event.partial_json for event in stream if event.type == "input_json"]
        answer = stream.get_final_message()
    (call,) = answer.content
    assert (answer.stop_reason, call.type, call.name) == ("tool_use", "tool_use", "get_weather")
    assert json.loads("".join(fragments)) == call.input == {"city": "Paris"}
    result = {"type": "tool_result", "tool_use_id": call.id, "content": RESULT}
    turns = [*ASK_WEATHER, {"role": "assistant", "content": answer.content}, {"role": "user", "content": [result]}]
    told = ask(client, messages=turns, tools=[WEATHER])
    assert told.stop_reason == "end_turn"
    (block,) = told.content
    assert "21" in block.text or "sunny" in block.text


def test_tools_that_are_not_to_be_used(client: Anthropic) -> None:
    answer = ask(client, messages=ASK_WEATHER, tools=[WEATHER], tool_choice={"type": "none"})
    assert [block.type for block in answer.content] == ["text"]
    assert answer.stop_reason == "end_turn"


def test_a_schema_for_the_output(client: Anthropic) -> None:
    answer = ask(client, output_config={"format": {"type": "json_schema", "schema": SCHEMA}})
    jsonschema.validate(json.loads(answer.content[0].text), SCHEMA)


@pytest.mark.parametrize("said", ["The capital of France is", "The capital of", "The capital of France is Paris"])
def test_the_beginning_of_an_answer(client: Anthropic, said: str) -> None:
    messages = [*QUESTION, {"role": "assistant", "content": said}]
    answer = ask(client, messages=messages)
    assert said + "".join(block.text for block in answer.content) == ANSWER
    assert answer.stop_reason == "end_turn"
    with client.messages.stream(**fields_of(messages=messages, tools=[WEATHER])) as stream:
        assert said + "".join(stream.text_stream) == ANSWER
    counted = client.messages.count_tokens(model=MODEL, messages=messages)
    assert counted.input_tokens == answer.usage.input_tokens + answer.usage.cache_read_input_tokens


def test_a_beginning_that_no_answer_can_have(client: Anthropic) -> None:
    with pytest.raises(anthropic.BadRequestError, match="trailing whitespace"):
        ask(client, messages=[*QUESTION, {"role": "assistant", "content": "The capital "}])
    with pytest.raises(anthropic.BadRequestError, match=r"messages\[1\] is the beginning of the answer, and thinking"):
        ask(client, messages=[*QUESTION, {"role": "assistant", "content": "The"}], thinking={"type": "adaptive"})


def test_limits_and_stop_sequences(client: Anthropic) -> None:
    assert ask(client, max_tokens=3).stop_reason == "max_tokens"
    stopped = ask(client, stop_sequences=[" France"])
    assert (stopped.stop_reason, stopped.stop_sequence) == ("stop_sequence", " France")
    assert stopped.content[0].text == "The capital of"


def test_errors_are_the_clients_own_classes(client: Anthropic) -> None:
    with pytest.raises(anthropic.NotFoundError):
        ask(client, model="nothing")
    with pytest.raises(anthropic.BadRequestError, match="messages"):
        ask(client, messages=[])
    with pytest.raises(
        anthropic.BadRequestError, match=r"'prompt is too long: \d+ tokens > \d+ maximum; .*context holds"
    ):
        ask(client, messages=[{"role": "user", "content": "word " * 50_000}])


def test_models(client: Anthropic) -> None:
    page = client.models.list()
    assert MODEL in [model.id for model in page.data]
    assert client.models.retrieve(MODEL).id == MODEL


def test_leaving_a_stream_cancels(client: Anthropic, server: Any) -> None:
    endless = fields_of(messages=[{"role": "user", "content": "Count to 60."}], extra_body=WITHOUT_END)
    with client.messages.stream(**{**endless, "max_tokens": MAX_TOKENS}) as stream:
        next(iter(stream))
    end = time.monotonic() + 60
    while httpx.get(f"{server.url}/diag", timeout=60).json()["models"][0]["in_use"]:
        assert time.monotonic() < end
        time.sleep(0.05)
