"""The official Ollama client against the real server and the embedded model."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import jsonschema
import ollama
import pytest
from ollama import Client

MODEL = "shimmy-mini"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
RESULT = '{"condition": "sunny", "temperature": 21}'
GREEDY = {"temperature": 0, "repeat_penalty": 1.0}
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
WEATHER = {
    "type": "function",
    "function": {"name": "get_weather", "description": "Get the current weather in a city", "parameters": SCHEMA},
}


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Client]:
    client = Client(host=server.url, timeout=60)
    yield client
    client._client.close()


def chat(client: Client, **fields: Any) -> Any:
    return client.chat(**{"model": MODEL, "messages": QUESTION, "options": GREEDY, **fields})


def test_a_chat(client: Client) -> None:
    answer = chat(client)
    assert answer.message.content == ANSWER
    assert (answer.done, answer.done_reason) == (True, "stop")
    assert 5 < answer.eval_count < 15
    assert answer.prompt_eval_count > 5
    assert answer.total_duration >= answer.eval_duration > 0


def test_a_stream_says_the_same(client: Client) -> None:
    parts = list(chat(client, stream=True))
    assert "".join(part.message.content for part in parts) == ANSWER
    assert [part.done for part in parts] == [False] * (len(parts) - 1) + [True]


def test_generate_and_its_context(client: Client) -> None:
    first = client.generate(MODEL, QUESTION[0]["content"], options=GREEDY)
    assert first.response == ANSWER
    assert (
        "".join(part.response for part in client.generate(MODEL, QUESTION[0]["content"], options=GREEDY, stream=True))
        == ANSWER
    )
    again = client.generate(MODEL, "Who are you?", context=first.context, options=GREEDY)
    assert "Shimmy" in again.response
    assert list(again.context)[: len(first.context)] == list(first.context)


def test_a_raw_prompt(client: Client) -> None:
    answer = client.generate(MODEL, "Once upon a time", raw=True, options={**GREEDY, "num_predict": 8})
    assert answer.response
    assert answer.eval_count <= 8


@pytest.mark.parametrize("stream", [False, True])
def test_a_chat_that_goes_on_with_its_last_message(client: Client, stream: bool) -> None:
    answer = chat(
        client, messages=[*QUESTION, {"role": "assistant", "content": "The capital of France is"}], stream=stream
    )
    parts = list(answer) if stream else [answer]
    assert "".join(part.message.content or "" for part in parts) == " Paris."


def test_a_schema_for_the_output(client: Client) -> None:
    for said in (
        chat(client, format=SCHEMA).message.content,
        client.generate(MODEL, "France?", format=SCHEMA, options=GREEDY).response,
    ):
        jsonschema.validate(json.loads(said), SCHEMA)


@pytest.mark.parametrize("stream", [False, True])
def test_tools(client: Client, stream: bool) -> None:
    asked = [{"role": "user", "content": "What is the weather in Paris?"}]
    answer = chat(client, messages=asked, tools=[WEATHER], stream=stream)
    parts = list(answer) if stream else [answer]
    (call,) = [call for part in parts for call in part.message.tool_calls or []]
    assert (call.function.name, call.function.arguments) == ("get_weather", {"city": "Paris"})
    assert "".join(part.message.content or "" for part in parts) == ""
    assert (parts[-1].done, parts[-1].done_reason) == (True, "stop")
    turns = [*asked, {"role": "assistant", "tool_calls": [call]}]
    turns.append({"role": "tool", "tool_name": call.function.name, "content": RESULT})
    told = chat(client, messages=turns, tools=[WEATHER]).message.content
    assert "21" in told or "sunny" in told


def test_embeddings(client: Client) -> None:
    answer = client.embed(MODEL, ["one text", "another"])
    assert len(answer.embeddings) == 2
    assert sum(value * value for value in answer.embeddings[0]) == pytest.approx(1, abs=1e-3)
    assert list(client.embeddings(MODEL, "one text").embedding) == pytest.approx(list(answer.embeddings[0]), abs=1e-3)


def test_models(client: Client) -> None:
    (model,) = [model for model in client.list().models if model.model == MODEL]
    assert len(model.digest) == 64
    assert model.details.format == "gguf"
    shown = client.show(MODEL)
    architecture = shown.modelinfo["general.architecture"]
    assert shown.modelinfo[f"{architecture}.context_length"] >= 2048
    assert "completion" in shown.capabilities
    assert shown.template
    chat(client)
    (running,) = client.ps().models
    assert (running.model, running.context_length >= 2048) == (MODEL, True)


def test_loading_and_unloading(client: Client) -> None:
    assert client.generate(MODEL, keep_alive=0).done_reason == "unload"
    assert client.ps().models == []
    assert client.generate(MODEL).done_reason == "load"
    assert [model.model for model in client.ps().models] == [MODEL]


def test_errors_are_the_clients_own(client: Client) -> None:
    with pytest.raises(ollama.ResponseError) as missing:
        chat(client, model="nothing")
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="context holds 2048") as long:
        chat(client, messages=[{"role": "user", "content": "word " * 50_000}])
    assert long.value.status_code == 400


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    "options",
    [{"temperature": -1}, {"top_p": 2}, {"num_predict": "many"}, {"stop": 5}],
    ids=lambda options: min(options),
)
def test_a_bad_option(client: Client, options: dict[str, Any], stream: bool) -> None:
    with pytest.raises(ollama.ResponseError, match=min(options)) as refused:
        list(chat(client, options=options, stream=stream))
    assert refused.value.status_code == 400
