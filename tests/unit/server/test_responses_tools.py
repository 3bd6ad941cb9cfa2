"""Tools of Responses beside functions: custom ones, namespaces, and OpenAI's own, which are left out."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from typing import Any

import pytest

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
GRAMMAR = {"type": "grammar", "syntax": "lark", "definition": "start: /.+/"}
PATCH = {"type": "custom", "name": "apply_patch", "description": "Edit files.", "format": GRAMMAR}
SPACE = {"type": "namespace", "name": "mcp__files", "description": "Files.", "tools": [{**TOOL, "name": "read"}, PATCH]}
OWN = [
    {"type": "web_search", "external_web_access": True},
    {"type": "web_search_preview_2025_03_11"},
    {"type": "image_generation", "output_format": "png"},
    {"type": "file_search", "vector_store_ids": ["v"]},
    {"type": "code_interpreter", "container": {"type": "auto"}},
    {"type": "mcp", "server_label": "s", "server_url": "https://example.org"},
    {"type": "computer_use_preview", "display_width": 1, "display_height": 1, "environment": "browser"},
    {"type": "local_shell"},
    {"type": "shell", "environment": {"type": "local"}},
    {"type": "apply_patch"},
    {"type": "tool_search", "execution": "client", "parameters": {}},
]
TEXT = '*** Begin\né \N{GRINNING FACE}"'
USER = {"role": "user", "content": "go on"}


def post(server: Any, given: Any, **fields: Any) -> Any:
    return server.http.post("/v1/responses", json={"model": "m", "input": given, **fields})


def create(server: Any, given: Any, **fields: Any) -> Any:
    answer = post(server, given, **fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def prompt_of(server: Any) -> Any:
    return server.engine.requests[-1].prompt


def offered(server: Any) -> list[str]:
    return [tool["function"]["name"] for tool in prompt_of(server).tools]


def test_openais_own_tools_are_left_out(server: Any) -> None:
    answer = create(server, "hello", tools=[*OWN, TOOL])
    assert offered(server) == ["weather"]
    assert [tool["name"] for tool in answer["tools"]] == ["weather"]
    assert create(server, "hello", tools=OWN)["tools"] == []
    assert offered(server) == []


def test_what_is_left_out_is_logged_once(start_server: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    item = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
    with start_server() as server, caplog.at_level(logging.WARNING, "shimmy.server"):
        for _ in range(2):
            create(server, [item, USER], tools=[{"type": "web_search_preview_2025_03_11"}, {"type": "mcp"}])
    told = [text for record in caplog.records if "is left out" in (text := record.getMessage())]
    assert [text.split()[0] for text in told] == ["mcp", "web_search_call", "web_search_preview"]


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"tools": OWN, "tool_choice": "required"}, "tool_choice"),
        ({"tools": [TOOL, *OWN], "tool_choice": {"type": "web_search_preview"}}, "tool_choice.type"),
        ({"tools": [TOOL, *OWN], "tool_choice": {"type": "mcp", "server_label": "s"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "banana"}}, "tool_choice.type"),
        ({"tools": [TOOL], "tool_choice": {"type": "function", "name": "time"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "custom", "name": "weather"}}, "tool_choice.name"),
        ({"tools": [TOOL], "tool_choice": {"type": "function"}}, "tool_choice.name"),
        (
            {
                "tools": [TOOL, *OWN],
                "tool_choice": {"type": "allowed_tools", "mode": "required", "tools": [{"type": "web_search"}]},
            },
            "tool_choice",
        ),
        (
            {"tools": [TOOL], "tool_choice": {"type": "allowed_tools", "tools": [{"type": "function", "name": "x"}]}},
            "tool_choice.tools[0].name",
        ),
        ({"tools": [TOOL, {"type": "banana"}]}, "tools[1].type"),
        ({"tools": [{"name": "weather"}]}, "tools[0].type"),
        ({"tools": [{"type": "function"}]}, "tools[0].name"),
        ({"tools": [{"type": "custom"}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "tools": []}]}, "tools[0].name"),
        ({"tools": [{"type": "namespace", "name": "n", "tools": [SPACE]}]}, "tools[0].tools[0].type"),
        ({"tools": [{**PATCH, "format": {"type": "xml"}}]}, "tools[0].format.type"),
        ({"tools": [{**TOOL, "name": "mcp__files__read"}, SPACE]}, "tools[1].tools[0].name"),
        ({"tools": [{**SPACE, "tools": [{**TOOL, "name": str(n)} for n in range(513)]}]}, "tools"),
        ({"input": [{"type": "additional_tools", "tools": [{"type": "banana"}]}]}, "input[0].tools[0].type"),
    ],
)
def test_what_is_refused(server: Any, fields: dict[str, Any], param: str) -> None:
    answer = server.http.post("/v1/responses", json={"model": "m", "input": "hi", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_a_custom_tool_is_a_function_with_one_string(server: Any) -> None:
    answer = create(server, "hello", tools=[PATCH], tool_choice={"type": "custom", "name": "apply_patch"})
    (tool,) = prompt_of(server).tools
    assert tool["function"]["parameters"]["required"] == ["input"]
    assert tool["function"]["description"].startswith("Edit files.")
    assert GRAMMAR["definition"] in tool["function"]["description"]
    assert (prompt_of(server).tool_choice, prompt_of(server).tool_name) == ("required", "apply_patch")
    assert answer["tools"] == [PATCH]


def test_the_events_of_a_custom_call(server: Any) -> None:
    answer = post(server, "custom apply_patch", tools=[PATCH], stream=True)
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    kinds = [event["type"] for event in told[2:-1]]
    assert kinds == [
        "response.output_item.added",
        *["response.custom_tool_call_input.delta"] * 3,
        "response.custom_tool_call_input.done",
        "response.output_item.done",
    ]
    assert (told[2]["item"]["type"], told[2]["item"]["input"]) == ("custom_tool_call", "")
    assert "".join(event["delta"] for event in told[3:6]) == told[6]["input"] == TEXT
    item = told[7]["item"]
    assert item["id"].startswith("ctc_")
    assert {event["item_id"] for event in told[3:7]} == {item["id"]}
    assert (item["name"], item["input"], item["status"]) == ("apply_patch", TEXT, "completed")
    assert told[-1]["response"]["output"] == [item]


def test_arguments_without_the_string_become_the_input(server: Any) -> None:
    answer = post(server, "tool apply_patch", tools=[PATCH], stream=True)
    told = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    deltas = [event["delta"] for event in told if event["type"] == "response.custom_tool_call_input.delta"]
    inputs = [item["input"] for item in told[-1]["response"]["output"]]
    assert deltas == inputs == ['{"city": "Rome"}', '{"city": "Oslo"}']


def test_a_custom_call_goes_back(server: Any) -> None:
    first = create(server, "custom apply_patch", tools=[PATCH])
    (call,) = first["output"]
    done = {"type": "custom_tool_call_output", "call_id": call["call_id"], "output": "Done."}
    inline = create(server, [{"role": "user", "content": "custom apply_patch"}, call, done], tools=[PATCH])
    messages = prompt_of(server).messages
    (made,) = messages[1]["tool_calls"]
    assert (made["id"], made["function"]["name"]) == (call["call_id"], "apply_patch")
    assert json.loads(made["function"]["arguments"]) == {"input": TEXT}
    assert messages[2] == {"role": "tool", "tool_call_id": call["call_id"], "content": "Done."}
    create(server, [done], previous_response_id=first["id"], tools=[PATCH])
    assert prompt_of(server).messages == messages
    reference = {"type": "item_reference", "id": call["id"]}
    create(server, [{"role": "user", "content": "custom apply_patch"}, reference, done], tools=[PATCH])
    assert prompt_of(server).messages == messages
    listed = server.http.get(f"/v1/responses/{inline['id']}/input_items").json()["data"]
    assert [item["type"] for item in listed] == ["custom_tool_call_output", "custom_tool_call", "message"]
    assert (listed[0]["output"], listed[1]["input"]) == ("Done.", TEXT)


def test_tools_of_a_namespace(server: Any) -> None:
    answer = create(server, "tool mcp__files__read", tools=[SPACE, TOOL])
    assert offered(server) == ["mcp__files__read", "mcp__files__apply_patch", "weather"]
    assert [tool["type"] for tool in answer["tools"]] == ["namespace", "function"]
    assert [tool["name"] for tool in answer["tools"][0]["tools"]] == ["read", "apply_patch"]
    call = answer["output"][0]
    assert (call["type"], call["name"], call["namespace"]) == ("function_call", "read", "mcp__files")
    output = {"type": "function_call_output", "call_id": call["call_id"], "output": "x"}
    create(server, [call, output], tools=[SPACE])
    assert prompt_of(server).messages[0]["tool_calls"][0]["function"]["name"] == "mcp__files__read"
    create(server, [*answer["output"], output], previous_response_id=answer["id"], tools=[SPACE])
    names = [call["function"]["name"] for call in prompt_of(server).messages[1]["tool_calls"]]
    assert set(names) == {"mcp__files__read"}
    (custom,) = create(server, "custom mcp__files__apply_patch", tools=[SPACE])["output"]
    assert (custom["type"], custom["name"], custom["namespace"]) == ("custom_tool_call", "apply_patch", "mcp__files")
    (plain, _) = create(server, "tool weather", tools=[SPACE, TOOL])["output"]
    assert "namespace" not in plain


@pytest.mark.parametrize(
    ("namespace", "name"),
    [("crm", "crm__read"), ("mcp__crm__", "mcp__crm__read"), ("functions", "read")],
)
def test_names_in_a_namespace(server: Any, namespace: str, name: str) -> None:
    create(server, "hello", tools=[{**SPACE, "name": namespace, "tools": [{**TOOL, "name": "read"}]}])
    assert offered(server) == [name]


def test_choosing_among_namespaces(server: Any) -> None:
    other = {**SPACE, "name": "crm", "tools": [{**TOOL, "name": "read"}, {**TOOL, "name": "find"}]}
    fields = {"tools": [SPACE, other, TOOL, *OWN]}
    for choice, name in (
        ({"type": "function", "name": "find"}, "crm__find"),
        ({"type": "function", "name": "crm__read"}, "crm__read"),
        ({"type": "function", "name": "read", "namespace": "mcp__files"}, "mcp__files__read"),
        ({"type": "custom", "name": "apply_patch"}, "mcp__files__apply_patch"),
    ):
        create(server, "hello", **fields, tool_choice=choice)
        assert prompt_of(server).tool_name == name
    assert post(server, "hello", **fields, tool_choice={"type": "function", "name": "read"}).status_code == 400
    allowed = [{"type": "namespace", "name": "crm"}, {"type": "function", "name": "weather"}, {"type": "web_search"}]
    create(server, "hello", **fields, tool_choice={"type": "allowed_tools", "mode": "auto", "tools": allowed})
    assert offered(server) == ["crm__read", "crm__find", "weather"]


def test_tools_that_come_as_an_item(server: Any) -> None:
    item = {"type": "additional_tools", "role": "developer", "tools": [SPACE, {"type": "web_search"}]}
    first = create(server, [item, {"role": "user", "content": "custom mcp__files__apply_patch"}], tools=[TOOL])
    names = ["weather", "mcp__files__read", "mcp__files__apply_patch"]
    assert offered(server) == names
    assert first["output"][0]["type"] == "custom_tool_call"
    assert [message["role"] for message in prompt_of(server).messages] == ["user"]
    second = create(server, "hello", previous_response_id=first["id"], tools=[TOOL])
    assert offered(server) == names
    later = {**item, "tools": [{**SPACE, "tools": [{**TOOL, "name": "read", "description": "New."}]}]}
    third = create(server, [later, USER], previous_response_id=second["id"], tools=[TOOL])
    assert offered(server) == names
    assert [tool["name"] for tool in third["tools"]] == ["weather", "mcp__files"]
    assert [tool["description"] for tool in third["tools"][1]["tools"]] == ["New.", "Edit files."]
    assert prompt_of(server).tools[1]["function"]["description"] == "New."


REPORTS = [
    {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search", "query": "x"}},
    {"type": "file_search_call", "id": "fs_1", "status": "completed", "queries": ["x"], "results": None},
    {"type": "image_generation_call", "id": "ig_1", "status": "completed", "result": "aGk="},
    {
        "type": "code_interpreter_call",
        "id": "ci_1",
        "status": "completed",
        "code": "1",
        "outputs": [],
        "container_id": "",
    },
    {"type": "computer_call_output", "call_id": "c", "output": {"type": "computer_screenshot", "image_url": "x"}},
    {"type": "mcp_list_tools", "id": "m", "server_label": "s", "tools": [{"name": "x", "input_schema": {}}]},
    {"type": "mcp_call", "id": "m", "server_label": "s", "name": "x", "arguments": "{}", "output": "y"},
    {"type": "tool_search_call", "call_id": "t", "arguments": {"query": "x"}, "execution": "client"},
    {"type": "tool_search_output", "call_id": "t", "tools": [TOOL], "execution": "client", "status": "completed"},
    {
        "type": "shell_call_output",
        "call_id": "s",
        "output": [{"stdout": "x", "stderr": "", "outcome": {"type": "exit"}}],
    },
]


def test_reports_of_openais_own_tools_are_left_out(server: Any) -> None:
    answer = create(server, [*REPORTS, USER])
    assert prompt_of(server).messages == [USER]
    (item,) = server.http.get(f"/v1/responses/{answer['id']}/input_items").json()["data"]
    assert item["role"] == "user"
    assert post(server, REPORTS).json()["error"]["param"] == "input"


def test_what_codex_sends(server: Any) -> None:
    """Its first request and the one after a call, shortened."""
    body = {
        "instructions": "You are a coding agent.",
        "tools": [{**TOOL, "name": "exec_command", "strict": False}, PATCH, {"type": "web_search"}, SPACE],
        "tool_choice": "auto",
        "parallel_tool_calls": True,
        "reasoning": {"effort": "medium", "summary": "auto"},
        "store": False,
        "include": ["reasoning.encrypted_content"],
        "prompt_cache_key": "k",
        "text": {"verbosity": "low"},
        "client_metadata": {"x": "y"},
    }
    asked = [
        {"type": "message", "role": "developer", "content": [{"type": "input_text", "text": "Sandbox."}]},
        {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "tool exec_command"}]},
    ]
    output = create(server, asked, **body)["output"]
    assert {call["name"] for call in output} == {"exec_command"}
    done = [{"type": "function_call_output", "call_id": call["call_id"], "output": "ok"} for call in output]
    thought = {"type": "reasoning", "summary": [], "content": None, "encrypted_content": "x"}
    create(server, [*asked, thought, *output, *done], **body)
    roles = [message["role"] for message in prompt_of(server).messages]
    assert roles == ["system", "developer", "user", "assistant", "tool", "tool"]
