"""GET /api/tools and POST /api/tools/{name}/execute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from shimmy.settings import Settings


def execute(server: Any, name: str, body: Any) -> Any:
    return server.http.post(f"/api/tools/{name}/execute", json=body)


def test_the_list(server: Any) -> None:
    tools = {tool["name"]: tool for tool in server.http.get("/api/tools").json()["tools"]}
    assert {"calculator", "current_time", "json_query", "text_statistics"} <= set(tools)
    assert set(tools["calculator"]) == {"name", "description", "parameters"}
    assert tools["calculator"]["parameters"]["required"] == ["expression"]


@pytest.mark.parametrize(
    "body", [{"expression": "6 * 7"}, {"name": "calculator", "arguments": {"expression": "6 * 7"}}]
)
def test_a_call(server: Any, body: Any) -> None:
    answer = execute(server, "calculator", body)
    assert answer.status_code == 200
    assert answer.json() == {"success": True, "result": {"expression": "6 * 7", "value": 42}, "error": None}


def test_a_call_without_arguments(server: Any) -> None:
    answer = server.http.post("/api/tools/current_time/execute")
    assert answer.json()["result"]["timezone"] == "UTC"


def test_what_goes_wrong_in_a_tool_is_its_result(server: Any) -> None:
    for body, words in (({"expression": "1/0"}, "division by zero"), ({}, "missing required field `expression`")):
        answer = execute(server, "calculator", body)
        assert answer.status_code == 200
        assert (answer.json()["success"], answer.json()["result"]) == (False, None)
        assert words in answer.json()["error"]


def test_bad_requests(server: Any) -> None:
    answer = execute(server, "no/such", {})
    assert answer.status_code == 404
    assert "there is no tool 'no/such'; there are calculator" in answer.json()["error"]
    for content, words in ((b"[]", "must be an object"), (b"{", "not valid JSON"), (b'{"a":' * 100_000, "nested")):
        answer = server.http.post("/api/tools/calculator/execute", content=content)
        assert answer.status_code == 400
        assert words in answer.json()["error"]
    deep: Any = 1
    for _ in range(70):
        deep = [deep]
    answer = execute(server, "json_query", {"data": deep, "path": "$"})
    assert (answer.status_code, answer.json()) == (400, {"error": "arguments is nested more than 64 levels deep"})


def test_a_key_needs_the_scope(start_server: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[ann]\nkey = "ann-secret"\n[bob]\nkey = "bob-secret"\nscopes = ["tools"]\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys)) as server:
        for method, path in (("GET", "/api/tools"), ("POST", "/api/tools/current_time/execute")):
            assert server.http.request(method, path, headers={"x-api-key": "ann-secret"}).status_code == 403
            assert server.http.request(method, path, headers={"x-api-key": "bob-secret"}).status_code == 200
