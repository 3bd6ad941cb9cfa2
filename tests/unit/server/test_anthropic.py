"""POST /v1/messages and its neighbours, over a scripted engine."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from shimmy.request import ChatPrompt

MODEL = "m"
TOOL = {"name": "weather", "description": "Weather.", "input_schema": {"type": "object"}}


def ask(server: Any, content: Any, **fields: Any) -> httpx.Response:
    body = {"model": MODEL, "max_tokens": 50, "messages": [{"role": "user", "content": content}], **fields}
    return server.http.post("/v1/messages", json={name: value for name, value in body.items() if value is not ...})


def named_events(response: httpx.Response) -> list[dict[str, Any]]:
    """Each event's data, after a look that its name is the data's type."""
    events = []
    for part in response.text.strip().split("\n\n"):
        name, data = part.split("\n")
        events.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {events[-1]['type']}"
    return events


def prompt_of(server: Any) -> ChatPrompt:
    prompt = server.engine.requests[-1].prompt
    assert isinstance(prompt, ChatPrompt)
    return prompt


def error_of(response: httpx.Response) -> tuple[int, str, str]:
    body = response.json()
    assert body["type"] == "error"
    assert body["request_id"] == response.headers["request-id"] == response.headers["x-request-id"]
    return response.status_code, body["error"]["type"], body["error"]["message"]


def test_a_whole_message(server: Any) -> None:
    answer = ask(server, "hello there").json()
    assert answer.pop("id").startswith("msg_")
    assert answer.pop("timings")["predicted_n"] == 2
    assert answer == {
        "type": "message",
        "role": "assistant",
        "model": MODEL,
        "content": [{"type": "text", "text": "hello there"}],
        "stop_reason": "end_turn",
        "stop_sequence": None,
        "usage": {
            "input_tokens": 1,
            "cache_creation_input_tokens": 0,
            "cache_read_input_tokens": 1,
            "output_tokens": 2,
            "output_tokens_details": {"thinking_tokens": 0},
        },
    }


def test_the_events_of_a_text(server: Any) -> None:
    events = named_events(ask(server, "hello there you", stream=True))
    assert [event["type"] for event in events] == [
        "message_start",
        "content_block_start",
        *["content_block_delta"] * 3,
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    message = events[0]["message"]
    assert (message["content"], message["stop_reason"], message["usage"]["output_tokens"]) == ([], None, 0)
    assert message["usage"]["input_tokens"] + message["usage"]["cache_read_input_tokens"] == 3
    assert events[1]["content_block"] == {"type": "text", "text": ""}
    assert "".join(event["delta"]["text"] for event in events[2:5]) == "hello there you"
    assert events[-2]["delta"] == {"stop_reason": "end_turn", "stop_sequence": None}
    assert events[-2]["usage"]["output_tokens"] == 3


def test_thinking_comes_before_the_text_in_a_block_of_its_own(server: Any) -> None:
    answer = ask(server, "think", max_tokens=2000, thinking={"type": "enabled", "budget_tokens": 1024}).json()
    assert answer["content"] == [
        {"type": "thinking", "thinking": "hmm ", "signature": ""},
        {"type": "text", "text": "so it is"},
    ]
    assert answer["usage"]["output_tokens_details"] == {"thinking_tokens": 1}
    events = named_events(ask(server, "think", stream=True))
    kinds = [(event["type"], event.get("index"), event.get("delta", {}).get("type")) for event in events[1:-2]]
    assert kinds == [
        ("content_block_start", 0, None),
        ("content_block_delta", 0, "thinking_delta"),
        ("content_block_delta", 0, "signature_delta"),
        ("content_block_stop", 0, None),
        ("content_block_start", 1, None),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_delta", 1, "text_delta"),
        ("content_block_stop", 1, None),
    ]


def test_tool_calls(server: Any) -> None:
    answer = ask(server, "tool weather", tools=[TOOL]).json()
    assert answer["stop_reason"] == "tool_use"
    assert [(one["type"], one["name"], one["input"]) for one in answer["content"]] == [
        ("tool_use", "weather", {"city": "Rome"}),
        ("tool_use", "weather", {"city": "Oslo"}),
    ]
    assert len({one["id"] for one in answer["content"]}) == 2
    events = named_events(ask(server, "tool weather", tools=[TOOL], stream=True))
    starts = [event for event in events if event["type"] == "content_block_start"]
    assert [(event["index"], event["content_block"]["input"]) for event in starts] == [(0, {}), (1, {})]
    for index, city in enumerate(("Rome", "Oslo")):
        deltas = [e["delta"]["partial_json"] for e in events if e.get("index") == index and "delta" in e]
        assert json.loads("".join(deltas)) == {"city": city}
    assert events[-2]["delta"]["stop_reason"] == "tool_use"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        (None, ("auto", None, True)),
        ({"type": "auto"}, ("auto", None, True)),
        ({"type": "any"}, ("required", None, True)),
        ({"type": "none"}, ("none", None, True)),
        ({"type": "tool", "name": "weather"}, ("required", "weather", True)),
        ({"type": "any", "disable_parallel_tool_use": True}, ("required", None, False)),
    ],
)
def test_tool_choice(server: Any, choice: Any, expected: tuple[Any, ...]) -> None:
    assert ask(server, "hi", tools=[TOOL], tool_choice=choice).status_code == 200
    prompt = prompt_of(server)
    assert (prompt.tool_choice, prompt.tool_name, prompt.parallel_tool_calls) == expected
    (tool,) = prompt.tools
    assert tool["function"] == {"name": "weather", "description": "Weather.", "parameters": {"type": "object"}}


def test_a_conversation_with_everything(server: Any) -> None:
    turns = [
        {"role": "user", "content": [{"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}}]},
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "t", "signature": "s"},
                {"type": "redacted_thinking", "data": "x"},
                {"type": "text", "text": "b"},
                {"type": "tool_use", "id": "c1", "name": "weather", "input": {"city": "Rome"}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "c1", "content": [{"type": "text", "text": "sun"}]},
                {"type": "tool_result", "tool_use_id": "c2", "content": "no", "is_error": True},
                {"type": "something_new", "text": "skipped"},
                {"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "d"}},
                {"type": "text", "text": "e"},
            ],
        },
    ]
    system = [
        {"type": "text", "text": "x-anthropic-billing-header: cc_version=2; cch=1f2e"},
        {"type": "text", "text": "Be brief."},
    ]
    assert ask(server, "", messages=turns, system=system, tools=[TOOL]).status_code == 200
    prompt = prompt_of(server)
    arguments = '{"city":"Rome"}'
    assert prompt.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": "b",
            "reasoning_content": "t",
            "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "weather", "arguments": arguments}}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
        {"role": "tool", "tool_call_id": "c2", "content": "Error: no"},
        {"role": "user", "content": "d\ne"},
    ]
    assert prompt.enable_thinking is False


def test_thinking_and_effort(server: Any) -> None:
    for kind, expected in (("enabled", True), ("adaptive", True), ("disabled", False)):
        ask(server, "hi", thinking={"type": kind}, output_config={"effort": "max"})
        assert prompt_of(server).enable_thinking is expected
        assert prompt_of(server).template_kwargs == {"reasoning_effort": "high"}


@pytest.mark.parametrize("budget", [1023, 0, -1, 2000, 1e9, 1024.5, "many"])
def test_a_budget_that_cannot_be_meant_is_refused(server: Any, budget: Any) -> None:
    answer = ask(server, "hi", max_tokens=2000, thinking={"type": "enabled", "budget_tokens": budget})
    assert answer.status_code == 400
    assert "budget_tokens" in answer.json()["error"]["message"]


def test_a_budget_may_be_more_than_one_turn_s_with_tools(server: Any) -> None:
    tools = [{"name": "weather", "input_schema": {"type": "object"}}]
    thinking = {"type": "enabled", "budget_tokens": 4096}
    assert ask(server, "hi", max_tokens=100, thinking=thinking, tools=tools).status_code == 200


def test_a_schema_for_the_output(server: Any) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}}
    assert ask(server, "hi", output_config={"format": {"type": "json_schema", "schema": schema}}).status_code == 200
    grammar = server.engine.requests[-1].grammar
    assert grammar is not None
    assert grammar.json_schema == schema


def test_stop_reasons(server: Any) -> None:
    assert ask(server, "count 9", max_tokens=4).json()["stop_reason"] == "max_tokens"
    assert ask(server, "hi", stop_sequences=["END"]).status_code == 200
    assert server.engine.requests[-1].stop == ["END"]
    answer = ask(server, "stopped END").json()
    assert (answer["stop_reason"], answer["stop_sequence"]) == ("stop_sequence", "END")
    answer = ask(server, "full", stream=True)
    assert named_events(answer)[-2]["delta"]["stop_reason"] == "model_context_window_exceeded"


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"max_tokens": ...}, "max_tokens is required"),
        ({"max_tokens": 0}, "max_tokens must be at least 1"),
        ({"messages": []}, "messages must hold at least one message"),
        ({"messages": [{"role": "robot", "content": "x"}]}, "messages[0].role"),
        ({"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "messages[0].content[0] is an image"),
        ({"messages": [{"role": "user", "content": [{"type": "document"}]}]}, "messages[0].content[0] is a document"),
        ({"messages": [{"role": "user", "content": [{"type": "text"}]}]}, "messages[0].content[0].text is required"),
        ({"messages": [{"role": "user", "content": [{"type": "tool_result"}]}]}, "tool_use_id is required"),
        ({"messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "a"}]}]}, "name is required"),
        ({"tools": [{"type": "web_search_20250305", "name": "web_search"}]}, "tools[0].type"),
        ({"tools": [{"name": "a"}]}, "tools[0].input_schema is required"),
        ({"tools": [TOOL], "tool_choice": {"type": "some"}}, "tool_choice.type must be one of"),
        ({"tool_choice": {"type": "any"}}, "tool_choice demands a call"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "b"}}, "tools holds weather"),
        ({"output_config": {"format": {"type": "xml"}}}, "output_config.format.type"),
        ({"output_config": {"format": {"type": "json_schema"}}}, "output_config.format.schema is required"),
        ({"stop_sequences": [""]}, "stop_sequences must not hold an empty string"),
        ({"temperature": "hot"}, "temperature must be a number"),
    ],
)
def test_bad_requests_name_what_is_wrong(server: Any, fields: dict[str, Any], named: str) -> None:
    status, kind, text = error_of(ask(server, "hi", **fields))
    assert (status, kind) == (400, "invalid_request_error")
    assert named in text


@pytest.mark.parametrize(
    ("name", "status", "kind"),
    [
        ("QueueFullError", 429, "rate_limit_error"),
        ("EngineDeadError", 502, "api_error"),
        ("ModelNotReadyError", 503, "overloaded_error"),
    ],
)
def test_errors_have_anthropics_types(server: Any, name: str, status: int, kind: str) -> None:
    for stream in (False, True):
        assert error_of(ask(server, f"fail {name}", stream=stream))[:2] == (status, kind)


def test_an_unknown_model_and_route(server: Any) -> None:
    assert error_of(ask(server, "hi", model="none"))[:2] == (404, "not_found_error")
    assert error_of(server.http.get("/v1/messages/nothing"))[:2] == (404, "not_found_error")
    assert error_of(server.http.get("/v1/messages"))[0] == 405


def test_a_late_error_is_an_event(server: Any) -> None:
    events = named_events(ask(server, "break", stream=True))
    assert events[-1]["type"] == "error"
    assert events[-1]["error"]["type"] == "api_error"
    assert "message_stop" not in [event["type"] for event in events]


SAID = "The capital of France is"


def turns(content: Any = SAID, **fields: Any) -> list[dict[str, Any]]:
    return [{"role": "user", "content": "And?"}, {"role": "assistant", "content": content, **fields}]


@pytest.mark.parametrize("content", [SAID, [{"type": "text", "text": SAID}]])
def test_a_last_text_of_the_assistant_is_gone_on_with(server: Any, content: Any) -> None:
    assert ask(server, "", messages=turns(content)).status_code == 200
    assert prompt_of(server).continue_final_message
    assert prompt_of(server).messages[-1] == {"role": "assistant", "content": SAID}


@pytest.mark.parametrize("content", ["", []])
def test_an_empty_last_turn_says_nothing(server: Any, content: Any) -> None:
    assert ask(server, "", messages=turns(content), thinking={"type": "adaptive"}).status_code == 200
    assert not prompt_of(server).continue_final_message
    assert prompt_of(server).messages == [{"role": "user", "content": "And?"}]


def test_a_last_turn_of_calls_is_none_to_go_on_with(server: Any) -> None:
    call = {"type": "tool_use", "id": "toolu_1", "name": "weather", "input": {}}
    assert ask(server, "", messages=turns([{"type": "text", "text": SAID}, call]), tools=[TOOL]).status_code == 200
    assert not prompt_of(server).continue_final_message


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"messages": turns(SAID + " ")}, "messages[1]: final assistant content cannot end with trailing whitespace"),
        ({"messages": turns([{"type": "text", "text": "\n"}])}, "trailing whitespace"),
        ({"messages": turns()[1:]}, "messages[0] answers nothing"),
        ({"messages": turns()[1:], "system": "Be brief."}, "messages[0] answers nothing"),
        ({"thinking": {"type": "enabled", "budget_tokens": 1024}, "max_tokens": 2000}, "or thinking"),
        ({"thinking": {"type": "adaptive"}}, "or thinking"),
        ({"output_config": {"format": {"type": "json_schema", "schema": {"type": "object"}}}}, "output_config.format"),
        ({"tools": [TOOL], "tool_choice": {"type": "any"}}, "or tool_choice"),
        ({"tools": [TOOL], "tool_choice": {"type": "tool", "name": "weather"}}, "or tool_choice"),
    ],
)
def test_what_no_answer_goes_on_with(server: Any, fields: dict[str, Any], words: str) -> None:
    status, kind, message = error_of(ask(server, "", **{"messages": turns(), **fields}))
    assert (status, kind) == (400, "invalid_request_error")
    assert words in message


@pytest.mark.parametrize("messages", [turns(), turns(SAID + " "), turns()[1:]])
def test_all_of_them_can_be_counted(server: Any, messages: Any) -> None:
    answer = server.http.post("/v1/messages/count_tokens", json={"model": MODEL, "messages": messages})
    assert answer.status_code == 200


def test_count_tokens(server: Any) -> None:
    body = {"model": MODEL, "messages": [{"role": "user", "content": "hello"}]}
    assert server.http.post("/v1/messages/count_tokens", json=body).json() == {"input_tokens": 1 + len("<user>hello")}
    body["messages"] = []
    assert error_of(server.http.post("/v1/messages/count_tokens", json=body))[:2] == (400, "invalid_request_error")


def test_the_list_of_models_in_the_shape_of_the_asking(server: Any) -> None:
    headers = {"anthropic-version": "2023-06-01"}
    page = server.http.get("/v1/models", headers=headers).json()
    assert (page["has_more"], page["first_id"], page["last_id"]) == (False, MODEL, "broken")
    assert set(page["data"][0]) == {"type", "id", "display_name", "created_at"}
    assert server.http.get("/v1/models/org/chat:8b", headers=headers).json()["id"] == "org/chat:8b"
    assert error_of(server.http.get("/v1/models/none", headers=headers))[:2] == (404, "not_found_error")
    assert server.http.get("/v1/models").json()["object"] == "list"
