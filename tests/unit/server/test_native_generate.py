"""POST /api/generate in its three forms."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shimmy.request import ChatPrompt

NDJSON = {"accept": "application/x-ndjson"}


def sse_events(text: str) -> list[tuple[str, str]]:
    """(event, data) as a browser's EventSource reads them."""
    events = []
    for block in text.split("\n\n")[:-1]:
        lines = [line.partition(": ")[::2] for line in block.split("\n")]
        data = "\n".join(value for name, value in lines if name == "data")
        events.append((dict(lines).get("event", "message"), data))
    return events


def test_streams_plain_text_by_default(server: Any) -> None:
    response = server.generate(prompt="one two\nthree")
    assert response.headers["content-type"].startswith("text/event-stream")
    *texts, usage, done = sse_events(response.text)
    assert done == ("message", "[DONE]")
    assert texts == [("message", "one"), ("message", " two\nthree")]
    assert usage[0] == "usage"
    last = json.loads(usage[1])
    assert (last["done"], last["done_reason"]) == (True, "stop")
    assert last["usage"]["total_tokens"] == 5


def test_ndjson_lines(server: Any) -> None:
    response = server.generate(NDJSON, prompt="one two")
    assert response.headers["content-type"] == "application/x-ndjson"
    lines = [json.loads(line) for line in response.text.splitlines()]
    assert [line["response"] for line in lines] == ["one", " two", ""]
    assert [line["done"] for line in lines] == [False, False, True]
    assert set(lines[0]) == {"model", "created_at", "response", "done"}
    assert (lines[-1]["done_reason"], lines[-1]["prompt_eval_count"], lines[-1]["eval_count"]) == ("stop", 2, 2)


def test_the_whole_answer(server: Any) -> None:
    answer = server.generate(prompt="one two", stream=False).json()
    assert (answer["response"], answer["done"]) == ("one two", True)
    assert answer["usage"]["completion_tokens"] == 2


def test_reasoning_is_kept_apart(server: Any) -> None:
    assert server.generate(prompt="think", stream=False).json()["thinking"] == "hmm "
    assert sse_events(server.generate(prompt="think").text)[0] == ("thinking", "hmm ")


def test_native_defaults_apply_where_the_client_said_nothing(server: Any) -> None:
    server.generate(prompt="x", top_k=7, temperature=None)
    assert server.engine.requests[-1].sampling == {
        "temperature": 0.7,
        "top_p": 0.9,
        "top_k": 7,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
    }


def test_prompt_and_messages(server: Any) -> None:
    server.generate(prompt="as it is")
    assert server.engine.requests[-1].prompt == "as it is"
    server.generate(prompt="question", system="be brief")
    expected = [{"role": "system", "content": "be brief"}, {"role": "user", "content": "question"}]
    assert server.engine.requests[-1].prompt == ChatPrompt(messages=expected)
    server.generate(messages=expected[1:], system="be brief")
    assert server.engine.requests[-1].prompt == ChatPrompt(messages=expected)


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({}, 400, "prompt or messages is required"),
        ({"prompt": "x", "messages": [{"role": "user", "content": "x"}]}, 400, "exclude each other"),
        ({"messages": []}, 400, "at least one message"),
        ({"prompt": 3}, 400, "prompt must be a string"),
        ({"prompt": "x", "max_tokens": 0}, 400, "at least 1"),
        ({"prompt": "x", "model": "nope"}, 404, "available: m"),
        ({"prompt": "x", "model": "broken"}, 502, "bad magic"),
        ({"prompt": "fail EngineDeadError"}, 502, "as asked"),
    ],
)
@pytest.mark.parametrize("stream", [True, False])
def test_errors_are_one_string(server: Any, fields: dict[str, Any], status: int, words: str, stream: bool) -> None:
    response = server.generate(**({"stream": stream} | fields))
    assert response.status_code == status
    assert set(response.json()) == {"error"}
    assert words in response.json()["error"]


def test_an_error_in_the_middle(server: Any) -> None:
    assert sse_events(server.generate(prompt="break").text) == [
        ("message", "partial"),
        ("error", '{"error":"as asked"}'),
    ]
    lines = server.generate(NDJSON, prompt="break").text.splitlines()
    assert json.loads(lines[-1]) == {"error": "as asked"}
