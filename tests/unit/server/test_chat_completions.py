"""POST /v1/chat/completions, byte by byte where clients depend on it."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from shimmy.request import ChatPrompt

TOOL = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {"city": {"type": "string"}}}},
}


def test_the_whole_answer_has_openai_s_shape(server: Any) -> None:
    response = server.chat("hello big world")
    assert response.status_code == 200
    assert response.headers["content-type"] == "application/json"
    assert response.headers["x-request-id"].startswith("req_")
    answer = response.json()
    assert answer.pop("id").startswith("chatcmpl-")
    assert abs(answer.pop("created") - time.time()) < 60
    assert answer.pop("system_fingerprint").startswith("shimmy-")
    assert answer.pop("timings")["predicted_n"] == 3
    assert answer == {
        "object": "chat.completion",
        "model": "m",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "hello big world", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
        "usage": {
            "prompt_tokens": 3,
            "completion_tokens": 3,
            "total_tokens": 6,
            "prompt_tokens_details": {"cached_tokens": 1, "audio_tokens": 0, "cache_write_tokens": 0},
            "completion_tokens_details": {
                "reasoning_tokens": 0,
                "audio_tokens": 0,
                "accepted_prediction_tokens": 0,
                "rejected_prediction_tokens": 0,
            },
        },
    }


def test_stream_sends_role_content_finish_done(server: Any, events: Any) -> None:
    response = server.chat("a b", stream=True)
    assert response.headers["content-type"].startswith("text/event-stream")
    *chunks, done = events(response)
    assert done == "[DONE]"
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) == 1
    assert {chunk["object"] for chunk in chunks} == {"chat.completion.chunk"}
    assert [chunk["choices"][0]["delta"] for chunk in chunks] == [
        {"role": "assistant", "content": ""},
        {"content": "a"},
        {"content": " b"},
        {},
    ]
    assert [chunk["choices"][0]["finish_reason"] for chunk in chunks] == [None, None, None, "stop"]
    assert not any("usage" in chunk for chunk in chunks)


def test_include_usage_adds_one_chunk_without_choices(server: Any, events: Any) -> None:
    response = server.chat("a b", stream=True, stream_options={"include_usage": True})
    *_, finish, usage, done = events(response)
    assert finish["choices"][0]["finish_reason"] == "stop"
    assert usage["choices"] == []
    assert usage["usage"]["total_tokens"] == 4
    assert usage["id"] == finish["id"]
    assert done == "[DONE]"


def test_every_event_is_one_line_and_a_blank_one(server: Any) -> None:
    text = server.chat("a\nb", stream=True).text
    assert text.endswith("data: [DONE]\n\n")
    for event in text.split("\n\n")[:-1]:
        assert event.startswith("data: ")
        assert "\n" not in event


def test_a_cut_answer_says_length(server: Any) -> None:
    choice = server.chat("a b c", max_tokens=2).json()["choices"][0]
    assert (choice["message"]["content"], choice["finish_reason"]) == ("a b", "length")
    choice = server.chat("a b c", max_completion_tokens=1, max_tokens=2).json()["choices"][0]
    assert choice["message"]["content"] == "a"


def test_tool_calls_whole(server: Any) -> None:
    choice = server.chat("tool weather", tools=[TOOL]).json()["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [
        {"id": "call_a", "function": {"name": "weather", "arguments": '{"city": "Rome"}'}, "type": "function"},
        {"id": "call_b", "function": {"name": "weather", "arguments": '{"city": "Oslo"}'}, "type": "function"},
    ]


def test_tool_calls_in_chunks_name_each_call_once(server: Any, events: Any) -> None:
    chunks = events(server.chat("tool weather", tools=[TOOL], stream=True))[:-1]
    deltas = [chunk["choices"][0]["delta"] for chunk in chunks]
    assert [call for delta in deltas for call in delta.get("tool_calls", [])] == [
        {"index": 0, "id": "call_a", "type": "function", "function": {"name": "weather", "arguments": ""}},
        {"index": 0, "function": {"arguments": '{"city": '}},
        {"index": 0, "function": {"arguments": '"Rome"}'}},
        {
            "index": 1,
            "id": "call_b",
            "type": "function",
            "function": {"name": "weather", "arguments": '{"city": "Oslo"}'},
        },
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_reasoning_has_its_own_field(server: Any, events: Any) -> None:
    answer = server.chat("think").json()
    assert answer["usage"]["completion_tokens_details"]["reasoning_tokens"] == 1
    message = answer["choices"][0]["message"]
    assert (message["reasoning_content"], message["content"]) == ("hmm ", "so it is")
    deltas = [chunk["choices"][0]["delta"] for chunk in events(server.chat("think", stream=True))[:-1]]
    assert deltas[1] == {"reasoning_content": "hmm "}


def test_logprobs(server: Any, events: Any) -> None:
    logprobs = server.chat("a b", logprobs=True, top_logprobs=1).json()["choices"][0]["logprobs"]
    first = {"token": "a", "logprob": -0.5, "bytes": [97]}
    assert logprobs["refusal"] is None
    assert logprobs["content"][0] == {**first, "top_logprobs": [first]}
    assert len(logprobs["content"]) == 2
    chunks = events(server.chat("a b", logprobs=True, stream=True))[:-1]
    with_logprobs = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert [choice["delta"]["content"] for choice in with_logprobs] == ["a", " b"]
    assert with_logprobs[0]["logprobs"]["content"][0]["top_logprobs"] == []


def test_what_the_engine_gets(server: Any) -> None:
    messages = [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}], "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": ""}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sunny"},
    ]
    body = {
        "model": "m",
        "messages": messages,
        "tools": [TOOL],
        "tool_choice": "auto",
        "parallel_tool_calls": False,
        "stop": "END",
        "seed": 7,
        "temperature": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "repeat_penalty": 1.2,
        "logit_bias": {"12": -100},
        "user": "ignored",
        "metadata": {"ignored": True},
        "top_p": None,
        "chat_template_kwargs": {"enable_thinking": False, "style": "x"},
    }
    assert server.http.post("/chat/completions", json=body).status_code == 200
    (request,) = server.engine.requests
    assert request.sampling == {
        "temperature": 0.5,
        "top_k": 3,
        "min_p": 0.1,
        "repeat_penalty": 1.2,
        "logit_bias": {12: -100.0},
        "seed": 7,
    }
    assert request.stop == ["END"]
    assert request.max_tokens is None
    prompt = request.prompt
    assert isinstance(prompt, ChatPrompt)
    assert prompt.messages == [
        {"role": "system", "content": "be brief"},
        {"role": "user", "content": "one\ntwo", "name": "ann"},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [{"type": "function", "function": {"name": "weather", "arguments": "{}"}, "id": "c1"}],
        },
        {"role": "tool", "content": "sunny", "tool_call_id": "c1"},
    ]
    assert prompt.tools == [TOOL]
    assert not prompt.parallel_tool_calls
    assert not prompt.enable_thinking
    assert prompt.template_kwargs == {"style": "x"}


def test_allowed_tools_narrow_the_list(server: Any) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    choice = {
        "type": "allowed_tools",
        "allowed_tools": {"mode": "auto", "tools": [{"type": "function", "function": {"name": "other"}}]},
    }
    assert server.chat("hi", tools=[TOOL, other], tool_choice=choice).status_code == 200
    names = [tool["function"]["name"] for tool in server.engine.requests[-1].prompt.tools]
    assert names == ["other"]


@pytest.mark.parametrize(
    ("choice", "names", "wanted"),
    [
        ("required", ["weather", "other"], ("required", None)),
        ({"type": "function", "function": {"name": "other"}}, ["weather", "other"], ("required", "other")),
        (
            {
                "type": "allowed_tools",
                "allowed_tools": {"mode": "required", "tools": [{"function": {"name": "other"}}]},
            },
            ["other"],
            ("required", None),
        ),
        ("none", ["weather", "other"], ("none", None)),
    ],
)
def test_what_tool_choice_demands(server: Any, choice: Any, names: list[str], wanted: tuple[str, Any]) -> None:
    other = {"type": "function", "function": {"name": "other"}}
    assert server.chat("hi", tools=[TOOL, other], tool_choice=choice).status_code == 200
    prompt = server.engine.requests[-1].prompt
    assert [tool["function"]["name"] for tool in prompt.tools] == names
    assert (prompt.tool_choice, prompt.tool_name) == wanted


def test_several_choices_with_seeds_that_count_on(server: Any) -> None:
    answer = server.chat("guess", n=3, seed=6).json()
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2]
    assert [choice["message"]["content"] for choice in answer["choices"]] == ["guess 6", "guess 7", "guess 8"]
    assert answer["usage"] == {
        "prompt_tokens": 10,
        "completion_tokens": 9,
        "total_tokens": 19,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0, "cache_write_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 6,
            "rejected_prediction_tokens": 9,
        },
    }
    assert len({request.request_id for request in server.engine.requests}) == 3


def test_several_choices_in_one_stream(server: Any, events: Any) -> None:
    response = server.chat("a b c", n=2, stream=True, logprobs=True, stream_options={"include_usage": True})
    *chunks, usage, done = events(response)
    assert done == "[DONE]"
    assert (usage["usage"]["prompt_tokens"], usage["usage"]["completion_tokens"]) == (3, 6)
    for index in range(2):
        own = [chunk["choices"][0] for chunk in chunks if chunk["choices"][0]["index"] == index]
        assert own[0]["delta"] == {"role": "assistant", "content": ""}
        assert "".join(choice["delta"].get("content", "") for choice in own) == "a b c"
        assert [choice["finish_reason"] for choice in own] == [None] * 4 + ["stop"]
        assert sum(len(choice["logprobs"]["content"]) for choice in own if choice["logprobs"]) == 3


def test_a_failing_choice_fails_the_answer_and_cancels_the_rest(server: Any) -> None:
    assert server.chat("fail DecodeError", n=3).status_code == 500
    server.wait_until(lambda: len(server.engine.cancelled) == 3)


@pytest.mark.parametrize("n", [1, 2])
def test_an_answer_without_an_end_is_an_error(server: Any, events: Any, n: int) -> None:
    assert server.chat("vanish", n=n).status_code == 500
    last = events(server.chat("vanish", n=n, stream=True))[-1]
    assert "without a finish reason" in last["error"]["message"]


def test_a_deadline_is_a_limit(server: Any, events: Any) -> None:
    assert server.chat("guess", seed=9).json()["choices"][0]["finish_reason"] == "length"
    assert events(server.chat("guess", seed=9, stream=True))[-2]["choices"][0]["finish_reason"] == "length"


def test_extensions_reach_the_engine(server: Any) -> None:
    fields = {"min_tokens": 2, "ignore_eos": True, "banned_strings": ["no"], "priority": -3, "speculation": False}
    assert server.chat("hi", **fields).status_code == 200
    request = server.engine.requests[-1]
    assert {name: getattr(request, name) for name in fields} == fields


def test_no_tools_and_null_fields_mean_absent(server: Any) -> None:
    nulls = ("tools", "tool_choice", "stop", "seed", "logit_bias", "n", "stream", "response_format", "max_tokens")
    assert server.chat("hi", **dict.fromkeys(nulls)).status_code == 200
    assert server.chat("hi", tools=[], stream_options=None).status_code == 200
    assert server.engine.requests[-1].prompt.tools == []


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": []}, "messages", "at least one message"),
        ({"messages": None}, "messages", "must be a list"),
        ({"messages": [{"role": "king", "content": "x"}]}, "messages[0].role", "must be one of"),
        ({"messages": [{"role": "user"}]}, "messages[0].content", "is required"),
        ({"messages": [{"content": "x"}]}, "messages[0].role", "is required"),
        (
            {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
            "messages[0].content[0].type",
            "'image_url' is not supported",
        ),
        ({"model": None}, "model", "must be a string"),
        ({"n": 0}, "n", "at least 1"),
        ({"n": 129}, "n", "at most 128"),
        ({"max_tokens": 0}, "max_tokens", "at least 1"),
        ({"max_tokens": -1}, "max_tokens", "at least 0"),
        ({"max_tokens": 2**63}, "max_tokens", "at most"),
        ({"max_tokens": "9"}, "max_tokens", "must be an integer, got a string"),
        ({"temperature": -1}, "temperature", "at least 0"),
        ({"temperature": "hot"}, "temperature", "must be a number"),
        ({"tool_choice": "required"}, "tool_choice", "at least one function"),
        (
            {"tool_choice": {"type": "function", "function": {"name": "nope"}}, "tools": [TOOL]},
            "tool_choice.function.name",
            "'nope', tools holds weather",
        ),
        ({"tool_choice": {"type": "function"}, "tools": [TOOL]}, "tool_choice.function", "is required"),
        ({"tool_choice": {"type": "magic"}, "tools": [TOOL]}, "tool_choice.type", "function or allowed_tools"),
        ({"tool_choice": {"type": "allowed_tools"}}, "tool_choice.allowed_tools", "is required"),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "all"}}},
            "tool_choice.allowed_tools.mode",
            "auto or required",
        ),
        (
            {"tool_choice": {"type": "allowed_tools", "allowed_tools": {"tools": [{"function": {"name": "nope"}}]}}},
            "tool_choice.allowed_tools.tools",
            "tools holds none",
        ),
        ({"min_tokens": 3, "max_tokens": 2}, "min_tokens", "more than max_tokens"),
        ({"min_tokens": -1}, "min_tokens", "at least 0"),
        ({"banned_strings": [""]}, "banned_strings", "empty string"),
        ({"banned_strings": "no"}, "banned_strings", "must be a list"),
        ({"priority": 2**40}, "priority", "at most"),
        ({"tool_choice": "maybe"}, "tool_choice", "none, auto, required"),
        ({"tools": [{"type": "magic"}]}, "tools[0].type", "not supported"),
        ({"tools": [{"type": "function"}]}, "tools[0].function", "is required"),
        ({"tools": [TOOL] * 513}, "tools", "at most 512"),
        ({"logprobs": True, "top_logprobs": 21}, "top_logprobs", "at most 20"),
        ({"top_logprobs": 2}, "top_logprobs", "needs logprobs"),
        ({"logit_bias": {"word": 1}}, "logit_bias", "a key of logit_bias must be an integer"),
        ({"stop": ["x"] * 65}, "stop", "at most 64"),
        ({"stop": [""]}, "stop", "empty string"),
        ({"dry_sequence_breakers": ["x"] * 100_000}, "dry_sequence_breakers", "at most 64"),
        ({"messages": [{"role": "user", "content": "x"}] * 2049}, "messages", "at most 2048"),
        ({"chat_template_kwargs": {"messages": []}}, "chat_template_kwargs", "must not set 'messages'"),
        ({"lora": {"nope": 1.0}}, "model", "no adapter"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_fields_are_named(server: Any, fields: dict[str, Any], param: str, words: str, stream: bool) -> None:
    response = server.chat("hi", **({"stream": stream} | fields))
    assert response.status_code == (404 if "lora" in fields else 400)
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]
    assert set(error) == {"message", "type", "param", "code"}


def test_deep_tool_schemas_are_refused(server: Any) -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    tool = {"type": "function", "function": {"name": "f", "parameters": schema}}
    error = server.chat("hi", tools=[tool]).json()["error"]
    assert error["message"] == "tools[0].function.parameters is nested more than 64 levels deep"


@pytest.mark.parametrize(
    ("error", "status", "kind", "code"),
    [
        ("InvalidRequestError", 400, "invalid_request_error", None),
        ("TemplateError", 400, "invalid_request_error", "template_error"),
        ("ModelNotFoundError", 404, "not_found_error", "model_not_found"),
        ("QueueFullError", 429, "rate_limit_exceeded", "rate_limit_exceeded"),
        ("DecodeError", 500, "server_error", None),
        ("ModelNotReadyError", 503, "unavailable_error", "model_not_ready"),
        ("EngineDeadError", 502, "server_error", "engine_dead"),
    ],
)
@pytest.mark.parametrize("when", ["refuse", "fail"])
@pytest.mark.parametrize("stream", [False, True])
def test_engine_errors_before_the_first_token(
    server: Any, when: str, error: str, status: int, kind: str, code: str | None, stream: bool
) -> None:
    response = server.chat(f"{when} {error}", stream=stream)
    assert response.status_code == status
    body = response.json()["error"]
    assert (body["message"], body["type"], body["code"]) == ("as asked", kind, code)
    if status in (429, 503):
        assert int(response.headers["retry-after"]) >= 1


@pytest.mark.parametrize(
    ("path", "body", "param"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "long"}]}, "messages"),
        ("/v1/completions", {"prompt": "long"}, "prompt"),
        ("/v1/responses", {"input": "long"}, "input"),
        ("/v1/responses", {"input": "long", "stream": True}, "input"),
        ("/completion", {"prompt": "long"}, "prompt"),
    ],
)
def test_a_prompt_that_is_too_long_tells_both_numbers(server: Any, path: str, body: dict[str, Any], param: str) -> None:
    response = server.http.post(path, json={"model": "m", **body})
    assert response.status_code == 400
    error = response.json()["error"]
    assert (error["code"], error["param"]) == ("context_length_exceeded", param)
    assert (error["n_prompt_tokens"], error["n_ctx"]) == (999, 256)


def test_an_error_in_the_middle_is_the_last_event(server: Any, events: Any) -> None:
    response = server.chat("break", stream=True)
    assert response.status_code == 200
    *chunks, last = events(response)
    assert chunks[-1]["choices"][0]["delta"] == {"content": "partial"}
    assert last["error"]["message"] == "as asked"
    assert last["error"]["code"] == "engine_dead"
    assert "[DONE]" not in response.text


def test_a_dead_engine_is_replaced_on_the_next_request(server: Any) -> None:
    assert server.chat("break").status_code == 502
    before = len(server.engines)
    assert server.chat("again").json()["choices"][0]["message"]["content"] == "again"
    assert len(server.engines) == before + 1


def test_unknown_model_names_those_there_are(server: Any) -> None:
    response = server.chat("hi", model="nope")
    assert response.status_code == 404
    error = response.json()["error"]
    assert error["code"] == "model_not_found"
    assert "m, org/chat:8b, broken" in error["message"]


def test_a_model_that_does_not_load_is_502_without_retry(server: Any) -> None:
    for _ in range(2):
        response = server.chat("hi", model="broken")
        assert response.status_code == 502
        assert response.headers["x-should-retry"] == "false"
        assert "bad magic" in response.json()["error"]["message"]


def test_a_bug_is_a_500_in_the_same_shape(server: Any) -> None:
    response = server.chat("bug")
    assert response.status_code == 500
    assert response.json()["error"]["type"] == "server_error"
    assert server.chat("fine").status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("prompt", ["hang", "slow 100000"])
def test_a_client_that_leaves_cancels_its_request(server: Any, prompt: str, stream: bool) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": prompt}], "stream": stream}
    server.chat("warm up")
    with pytest.raises(httpx.ReadTimeout):  # noqa: SIM117
        with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=0.3) as response:
            if prompt == "hang" or not stream:
                response.read()
            else:
                next(response.iter_lines())
                raise httpx.ReadTimeout("enough")
    server.wait_until(lambda: server.engine.cancelled == [server.engine.requests[-1].request_id])


def test_streams_run_at_the_same_time(server: Any) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = [pool.submit(server.chat, f"slow {300 + i}", stream=True) for i in range(16)]
        server.wait_until(lambda: server.engine.running == 16)
    for i, answer in enumerate(answers):
        assert f'"content":"{299 + i} "' in answer.result().text


def test_unicode_and_line_ends_survive(server: Any) -> None:
    text = 'a\r\nb "q" 漢字 🎉 \u2028 \x00'
    assert server.chat(text).json()["choices"][0]["message"]["content"] == text
    deltas = [
        json.loads(line[6:])["choices"][0]["delta"].get("content", "")
        for line in server.chat(text, stream=True).text.split("\n\n")
        if line.startswith("data: {")
    ]
    assert "".join(deltas) == text
