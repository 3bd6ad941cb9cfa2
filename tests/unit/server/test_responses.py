"""OpenAI's Responses, over a scripted engine."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

TOOL = {"type": "function", "name": "weather", "description": "Weather.", "parameters": {"type": "object"}}


def create(server: Any, given: Any, **fields: Any) -> Any:
    return server.http.post("/v1/responses", json={"model": "m", "input": given, **fields})


def events(response: Any) -> list[dict[str, Any]]:
    """Each event's data, after a look at its name and number."""
    found = []
    for number, part in enumerate(response.text.strip().split("\n\n")):
        name, data = part.split("\n")
        found.append(json.loads(data.removeprefix("data: ")))
        assert name == f"event: {found[-1]['type']}"
        assert found[-1]["sequence_number"] == number
    return found


def prompt_of(server: Any) -> Any:
    return server.engine.requests[-1].prompt


def wait_for(server: Any, response_id: str, status: str) -> Any:
    end = time.monotonic() + 5
    while (answer := server.http.get(f"/v1/responses/{response_id}").json())["status"] != status:
        assert time.monotonic() < end, answer
        time.sleep(0.005)
    return answer


def test_a_whole_response(server: Any) -> None:
    answer = create(server, "hello there", metadata={"a": "b"}, temperature=0.5).json()
    assert answer["id"].startswith("resp_")
    assert (answer["object"], answer["status"], answer["model"]) == ("response", "completed", "m")
    (item,) = answer["output"]
    assert item.pop("id").startswith("msg_")
    text = {"type": "output_text", "text": "hello there", "annotations": [], "logprobs": []}
    assert item == {"type": "message", "role": "assistant", "status": "completed", "content": [text]}
    assert answer["usage"] == {
        "input_tokens": 2,
        "input_tokens_details": {"cached_tokens": 1, "cache_write_tokens": 0},
        "output_tokens": 2,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 4,
    }
    assert (answer["metadata"], answer["temperature"], answer["error"]) == ({"a": "b"}, 0.5, None)


def test_the_events_of_a_text(server: Any) -> None:
    told = events(create(server, "hello there", stream=True))
    assert [event["type"] for event in told] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    assert told[0]["response"]["output"] == []
    assert told[2]["item"]["content"] == []
    assert told[3]["part"]["text"] == ""
    assert [event["delta"] for event in told[4:6]] == ["hello", " there"]
    assert told[6]["text"] == told[8]["item"]["content"][0]["text"] == "hello there"
    assert told[-1]["response"]["output"] == [told[8]["item"]]
    assert told[-1]["response"]["usage"]["output_tokens"] == 2


def test_reasoning_is_an_item_of_its_own(server: Any) -> None:
    told = events(create(server, "think", stream=True))
    kinds = [(event["type"], event.get("output_index")) for event in told[2:-1]]
    assert kinds[:7] == [
        ("response.output_item.added", 0),
        ("response.content_part.added", 0),
        ("response.reasoning_text.delta", 0),
        ("response.reasoning_text.done", 0),
        ("response.content_part.done", 0),
        ("response.output_item.done", 0),
        ("response.output_item.added", 1),
    ]
    reasoning, message = told[-1]["response"]["output"]
    assert (reasoning["type"], reasoning["content"][0]["text"]) == ("reasoning", "hmm ")
    assert message["content"][0]["text"] == "so it is"
    assert told[-1]["response"]["usage"]["output_tokens_details"]["reasoning_tokens"] == 1


def test_calls(server: Any) -> None:
    told = events(create(server, "tool weather", tools=[TOOL], stream=True))
    deltas = [event["delta"] for event in told if event["type"] == "response.function_call_arguments.delta"]
    assert deltas == ['{"city": ', '"Rome"}', '{"city": "Oslo"}']
    done = [event for event in told if event["type"] == "response.function_call_arguments.done"]
    assert [(event["name"], json.loads(event["arguments"])["city"]) for event in done] == [
        ("weather", "Rome"),
        ("weather", "Oslo"),
    ]
    calls = told[-1]["response"]["output"]
    assert [(call["type"], call["name"], call["status"]) for call in calls] == [
        ("function_call", "weather", "completed"),
        ("function_call", "weather", "completed"),
    ]
    assert len({call["call_id"] for call in calls}) == 2
    assert prompt_of(server).tools[0]["function"]["name"] == "weather"


def test_input_items_become_a_conversation(server: Any) -> None:
    items = [
        {"role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
        {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "b"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    ]
    assert create(server, items, instructions="Be brief.").status_code == 200
    function = {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert prompt_of(server).messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "a"},
        {
            "role": "assistant",
            "content": "b",
            "reasoning_content": "t",
            "tool_calls": [{"id": "c1", "type": "function", "function": function}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": "sun"},
    ]


def test_a_response_is_continued(server: Any) -> None:
    first = create(server, "one", instructions="Only for the first.").json()
    second = create(server, "two", previous_response_id=first["id"], stream=True)
    second_id = events(second)[-1]["response"]["id"]
    create(server, "three", previous_response_id=second_id)
    assert [message["content"] for message in prompt_of(server).messages] == ["one", "one", "two", "two", "three"]
    called = create(server, "tool weather", tools=[TOOL]).json()
    output = {"type": "function_call_output", "call_id": called["output"][0]["call_id"], "output": "sun"}
    create(server, [output], previous_response_id=called["id"], tools=[TOOL])
    messages = prompt_of(server).messages
    assert messages[1]["tool_calls"][0]["id"] == messages[2]["tool_call_id"]


def test_reading_and_deleting(server: Any) -> None:
    answer = create(server, [{"role": "user", "content": "hello"}]).json()
    path = f"/v1/responses/{answer['id']}"
    assert server.http.get(path).json() == answer
    (item,) = server.http.get(f"{path}/input_items").json()["data"]
    assert (item["role"], item["content"]) == ("user", [{"type": "input_text", "text": "hello"}])
    assert server.http.delete(path).json() == {"id": answer["id"], "object": "response", "deleted": True}
    for response in (server.http.get(path), server.http.delete(path), server.http.get(f"{path}/input_items")):
        assert response.status_code == 404
        assert response.json()["error"]["code"] == "response_not_found"
    unstored = create(server, "hello", store=False).json()
    assert server.http.get(f"/v1/responses/{unstored['id']}").status_code == 404


def test_in_the_background(server: Any) -> None:
    queued = create(server, "slow 5", background=True).json()
    assert (queued["status"], queued["background"]) == ("queued", True)
    done = wait_for(server, queued["id"], "completed")
    assert done["output"][0]["content"][0]["text"] == "0 1 2 3 4 "
    hanging = create(server, "hang", background=True).json()
    busy = create(server, "more", previous_response_id=hanging["id"])
    assert (busy.status_code, busy.json()["error"]["param"]) == (400, "previous_response_id")
    assert server.http.post(f"/v1/responses/{hanging['id']}/cancel").json()["status"] == "cancelled"
    server.wait_until(lambda: server.engine.running == 0)
    failed = create(server, "fail EngineDeadError", background=True).json()
    assert wait_for(server, failed["id"], "failed")["error"] == {"code": "engine_dead", "message": "as asked"}
    refused = server.http.post(f"/v1/responses/{create(server, 'hi').json()['id']}/cancel")
    assert refused.status_code == 400
    assert create(server, "hi", model="none", background=True).status_code == 404
    deleted = create(server, "hang", background=True).json()
    assert server.http.delete(f"/v1/responses/{deleted['id']}").json()["deleted"] is True
    server.wait_until(lambda: server.engine.running == 0)
    assert server.http.get(f"/v1/responses/{deleted['id']}").status_code == 404  # and does not come back


def test_what_is_asked_for_is_passed_on(server: Any) -> None:
    schema = {"type": "object"}
    form = {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": False}}
    create(server, "hi", text=form, max_output_tokens=7, reasoning={"effort": "low"}, tools=[TOOL], tool_choice="none")
    request = server.engine.requests[-1]
    assert (request.grammar.json_schema, request.max_tokens) == (schema, 7)
    assert (request.prompt.template_kwargs, request.prompt.tool_choice) == ({"reasoning_effort": "low"}, "none")
    create(server, "hi", tools=[TOOL], tool_choice={"type": "function", "name": "weather"})
    assert (prompt_of(server).tool_choice, prompt_of(server).tool_name) == ("required", "weather")
    other = {**TOOL, "name": "time"}
    allowed = {"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "time"}]}
    create(server, "hi", tools=[TOOL, other], tool_choice=allowed)
    assert [tool["function"]["name"] for tool in prompt_of(server).tools] == ["time"]
    scored = create(server, "hi", include=["message.output_text.logprobs"], top_logprobs=2).json()
    (score,) = scored["output"][0]["content"][0]["logprobs"]
    assert (score["token"], len(score["top_logprobs"])) == ("hi", 2)


def test_a_limit_makes_it_incomplete(server: Any) -> None:
    answer = create(server, "count 9", max_output_tokens=3).json()
    assert (answer["status"], answer["incomplete_details"]) == ("incomplete", {"reason": "max_output_tokens"})
    assert answer["output"][0]["status"] == "incomplete"
    assert events(create(server, "count 9", max_output_tokens=3, stream=True))[-1]["type"] == "response.incomplete"


def test_counting_input_tokens(server: Any) -> None:
    answer = server.http.post("/v1/responses/input_tokens", json={"model": "m", "input": "hello"}).json()
    assert answer == {"object": "response.input_tokens", "input_tokens": 1 + len("<user>hello")}


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": None}, "input"),
        ({"input": []}, "input"),
        ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role"),
        ({"input": [{"type": "item_reference"}]}, "input[0].id"),
        ({"input": [{"type": "item_reference", "id": "msg_none"}]}, "input[0].id"),
        ({"input": [{"role": "user", "content": [{"type": "input_image"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "function_call", "name": "x"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output"}]}, "input[0].call_id"),
        ({"previous_response_id": "resp_none"}, "previous_response_id"),
        ({"max_output_tokens": 0}, "max_output_tokens"),
        ({"input": [{"type": "compaction", "encrypted_content": "x"}]}, "input[0].type"),
        ({"input": [{"role": "user", "content": [{"text": "x"}]}]}, "input[0].content[0].type"),
        ({"input": [{"type": "custom_tool_call", "call_id": "c"}]}, "input[0].name"),
        ({"input": [{"type": "custom_tool_call_output"}]}, "input[0].call_id"),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": {}}]}, "input[0].output"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"text": {"format": {"type": "xml"}}}, "response_format.type"),
        ({"reasoning": {"effort": "huge"}}, "reasoning.effort"),
        ({"truncation": "sometimes"}, "truncation"),
        ({"conversation": "conv_1"}, "conversation"),
        ({"background": True, "store": False}, "background"),
    ],
)
def test_bad_requests(server: Any, fields: dict[str, Any], param: str) -> None:
    answer = server.http.post("/v1/responses", json={"model": "m", "input": "hi", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_errors_before_and_after_the_first_token(server: Any) -> None:
    assert create(server, "fail QueueFullError", stream=True).status_code == 429
    last = events(create(server, "break", stream=True))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.failed", "failed")
    assert last["response"]["error"] == {"code": "engine_dead", "message": "as asked"}
