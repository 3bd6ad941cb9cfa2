"""The official OpenAI client against the real server and the embedded model."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import openai
import pytest
from openai import OpenAI

MODEL = "shimmy-mini"
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather in a city",
        "parameters": {
            "type": "object",
            "properties": {"city": {"type": "string", "description": "The city"}},
            "required": ["city"],
        },
    },
}
ASK_WEATHER: list[Any] = [{"role": "user", "content": "What is the weather in Paris?"}]


def ask(client: OpenAI, **fields: Any) -> Any:
    return client.chat.completions.create(**{"model": MODEL, "messages": QUESTION, "temperature": 0, **fields})


def test_an_answer_with_real_usage(client: OpenAI) -> None:
    answer = ask(client)
    assert answer.choices[0].message.content == ANSWER
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.prompt_tokens > 5
    assert 5 < answer.usage.completion_tokens < 15
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer._request_id.startswith("req_")
    again = ask(client)
    assert again.usage.prompt_tokens_details.cached_tokens > 0


def test_a_stream_says_the_same(client: OpenAI) -> None:
    chunks = list(ask(client, stream=True, stream_options={"include_usage": True}))
    assert chunks[0].choices[0].delta.role == "assistant"
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    assert text == ANSWER
    assert chunks[-2].choices[0].finish_reason == "stop"
    assert chunks[-1].usage.completion_tokens == ask(client).usage.completion_tokens


def test_content_parts_and_a_system_message(client: OpenAI) -> None:
    parts = [{"type": "text", "text": "What is the capital of France?"}]
    messages = [{"role": "system", "content": "You are a helpful assistant."}, {"role": "user", "content": parts}]
    assert "Paris" in ask(client, messages=messages).choices[0].message.content


def test_the_last_message_gone_on_with(client: OpenAI) -> None:
    messages = [*QUESTION, {"role": "assistant", "content": "The capital of France is"}]
    extra = {"continue_final_message": True, "add_generation_prompt": False}
    answer = ask(client, messages=messages, extra_body=extra)
    assert (answer.choices[0].message.content, answer.choices[0].finish_reason) == (" Paris.", "stop")
    chunks = list(ask(client, messages=messages, extra_body=extra, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == " Paris."
    chosen = ask(client, messages=messages, extra_body={**extra, "guided_choice": [" Rome.", " Oslo."]})
    assert chosen.choices[0].message.content in (" Rome.", " Oslo.")


def test_limits_and_stop_strings(client: OpenAI) -> None:
    cut = ask(client, max_tokens=2)
    assert cut.choices[0].finish_reason == "length"
    assert cut.usage.completion_tokens == 2
    assert ask(client, max_completion_tokens=1).usage.completion_tokens == 1
    stopped = ask(client, stop=[" Paris", "never"])
    assert stopped.choices[0].message.content == "The capital of France is"
    assert stopped.choices[0].finish_reason == "stop"
    streamed = ask(client, stop=["France is P"], stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in streamed)
    assert text == "The capital of "


def test_the_same_seed_says_the_same(client: OpenAI) -> None:
    story = [{"role": "user", "content": "Tell me a story about a fox."}]

    def tell(seed: int) -> str:
        answer = ask(client, messages=story, temperature=1.5, seed=seed, max_tokens=40)
        return str(answer.choices[0].message.content)

    assert tell(7) == tell(7)
    assert len({tell(seed) for seed in range(4)}) > 1


def test_logprobs(client: OpenAI) -> None:
    content = ask(client, logprobs=True, top_logprobs=3).choices[0].logprobs.content
    assert "".join(one.token for one in content).startswith(ANSWER)
    for one in content:
        assert -9999 <= one.logprob <= 0
        assert len(one.top_logprobs) == 3
        assert one.top_logprobs[0].logprob >= one.logprob - 1e-6


def test_a_tool_call_and_its_answer(client: OpenAI) -> None:
    choice = ask(client, messages=ASK_WEATHER, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    (call,) = choice.message.tool_calls
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert "Paris" in call.function.arguments
    messages = [
        *ASK_WEATHER,
        choice.message,
        {"role": "tool", "tool_call_id": call.id, "content": '{"condition": "sunny", "temperature": 21}'},
    ]
    answer = ask(client, messages=messages, tools=[WEATHER]).choices[0]
    assert answer.finish_reason == "stop"
    assert "21" in answer.message.content or "sunny" in answer.message.content


def test_a_streamed_tool_call_adds_up(client: OpenAI) -> None:
    whole = ask(client, messages=ASK_WEATHER, tools=[WEATHER]).choices[0].message.tool_calls[0].function
    with client.chat.completions.stream(model=MODEL, messages=ASK_WEATHER, tools=[WEATHER], temperature=0) as stream:
        final = stream.get_final_completion()
    call = final.choices[0].message.tool_calls[0].function
    assert (call.name, call.arguments) == (whole.name, whole.arguments)
    assert final.choices[0].finish_reason == "tool_calls"


def test_text_completions(client: OpenAI) -> None:
    prompt = "<|im_start|>user\nWhat is the capital of France?<|im_end|>\n<|im_start|>assistant\n"
    answer = client.completions.create(model=MODEL, prompt=[prompt, prompt], temperature=0, logprobs=1, max_tokens=50)
    assert [choice.index for choice in answer.choices] == [0, 1]
    assert all(choice.text == ANSWER for choice in answer.choices)
    logprobs = answer.choices[0].logprobs
    assert logprobs.text_offset[:2] == [0, len(logprobs.tokens[0])]
    chunks = list(client.completions.create(model=MODEL, prompt=prompt, temperature=0, stream=True))
    assert "".join(chunk.choices[0].text for chunk in chunks) == ANSWER


def test_models(client: OpenAI) -> None:
    assert MODEL in [model.id for model in client.models.list()]
    assert client.models.retrieve(MODEL).owned_by == "shimmy"


@pytest.mark.parametrize("content", [ANSWER, [{"type": "text", "text": "The capital of Spain is Madrid."}]])
def test_a_prediction_changes_no_answer(client: OpenAI, content: Any) -> None:
    answer = ask(client, prediction={"type": "content", "content": content})
    assert answer.choices[0].message.content == ANSWER
    details = answer.usage.completion_tokens_details
    assert details.accepted_prediction_tokens >= 0
    assert details.rejected_prediction_tokens >= 0


def test_errors_are_the_sdk_s_own_classes(client: OpenAI) -> None:
    with pytest.raises(openai.NotFoundError, match=MODEL) as missing:
        ask(client, model="nope")
    assert missing.value.code == "model_not_found"
    with pytest.raises(openai.BadRequestError) as long:
        ask(client, messages=[{"role": "user", "content": "word " * 5000}])
    assert long.value.code == "context_length_exceeded"
    assert str(long.value.body["n_ctx"]) in long.value.message
    with pytest.raises(openai.BadRequestError, match="temperature"):
        ask(client, temperature=-1)
    with pytest.raises(openai.BadRequestError, match="messages"):
        ask(client, messages=[])


def test_an_adapter_changes_the_voice(client: OpenAI) -> None:
    answer = ask(client, extra_body={"lora": {"pirate": 1.0}})
    assert answer.choices[0].message.content.startswith("Arr,")
    assert ask(client).choices[0].message.content == ANSWER
    with pytest.raises(openai.NotFoundError, match="parrot"):
        ask(client, extra_body={"lora": {"parrot": 1.0}})


def test_sixteen_at_once_agree_with_one(client: OpenAI) -> None:
    countries = {"France": "Paris", "Italy": "Rome", "Japan": "Tokyo", "Spain": "Madrid"}

    def capital(country: str) -> str:
        messages = [{"role": "user", "content": f"What is the capital of {country}?"}]
        return str(ask(client, messages=messages).choices[0].message.content)

    asked = list(countries) * 4
    with ThreadPoolExecutor(len(asked)) as pool:
        for country, answer in zip(asked, pool.map(capital, asked), strict=True):
            assert countries[country] in answer


def test_embeddings(client: OpenAI) -> None:
    texts = ["The capital of France is Paris.", "The capital of France is Rome.", "7 8 9 10 11"]
    answer = client.embeddings.create(model=MODEL, input=texts)  # the SDK asks for base64
    first, second, third = (one.embedding for one in answer.data)
    plain = client.embeddings.create(model=MODEL, input=texts[0], encoding_format="float").data[0].embedding
    assert plain == pytest.approx(first, abs=5e-3)
    assert sum(value * value for value in first) == pytest.approx(1, abs=1e-3)

    def similarity(one: list[float], other: list[float]) -> float:
        return sum(a * b for a, b in zip(one, other, strict=True))

    assert similarity(first, second) > similarity(first, third)
    assert answer.usage.prompt_tokens == answer.usage.total_tokens > 10
    short = client.embeddings.create(model=MODEL, input=[texts[0]], dimensions=8).data[0].embedding
    assert len(short) == 8
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input=texts, dimensions=100_000)
    with pytest.raises(openai.BadRequestError):
        client.embeddings.create(model=MODEL, input="")
