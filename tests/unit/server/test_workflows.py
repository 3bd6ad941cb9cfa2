"""POST /api/workflows/execute, over a scripted engine."""

from __future__ import annotations

import json
import socket
from pathlib import Path
from typing import Any

import httpx
import pytest

from shimmy.request import ChatPrompt
from shimmy.settings import Settings


def execute(server: Any, *steps: Any, context: Any = None, **fields: Any) -> Any:
    workflow = {"id": "w", "name": "n", "description": "d", "steps": list(steps), "inputs": {}, "outputs": [], **fields}
    return server.http.post("/api/workflows/execute", json={"workflow": workflow, "context": context or {}})


def llm(name: str, *needs: str, **parameters: Any) -> dict[str, Any]:
    return {"id": name, "type": "llm", "depends_on": list(needs), "parameters": {"model": "m", **parameters}}


def test_steps_of_models_and_tools(server: Any) -> None:
    count = {"tool_name": "text_statistics", "arguments": {"text": "{{step_draft.text}}"}}
    answer = execute(
        server,
        llm("draft", prompt="write about {{topic}}", system="Be brief.", temperature=0),
        {"id": "count", "type": "tool", "depends_on": ["draft"], "parameters": count},
        llm("check", "count", prompt="{{step_count.words}} words: {{step_draft}}"),
        context={"topic": "the sea"},
        outputs=["check"],
    )
    assert answer.status_code == 200
    body = answer.json()
    assert (body["workflow_id"], body["success"]) == ("w", True)
    assert "error" not in body
    assert body["outputs"]["check"]["text"] == "4 words: write about the sea"
    draft = body["step_results"]["draft"]
    assert draft["execution_time_ms"] >= 0
    assert draft["result"]["usage"]["completion_tokens"] == 4
    assert {key: draft["result"][key] for key in ("type", "text", "model", "finish_reason")} == {
        "type": "llm_generation",
        "text": "write about the sea",
        "model": "m",
        "finish_reason": "stop",
    }
    first, second = server.engine.requests
    assert isinstance(first.prompt, ChatPrompt)
    assert first.prompt.messages == [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "write about the sea"},
    ]
    assert (first.sampling["temperature"], first.max_tokens) == (0, 512)
    assert second.prompt.messages[-1]["content"] == "4 words: write about the sea"


def test_parameters_of_a_model(server: Any) -> None:
    schema = {"type": "object"}
    answer = execute(
        server,
        llm("raw", prompt="as it is", raw=True, max_tokens=3, seed=1),
        llm("chat", messages=[{"role": "user", "content": '{"a":1}'}], json_schema=schema),
    ).json()
    raw, chat = sorted(server.engine.requests, key=lambda request: isinstance(request.prompt, ChatPrompt))
    assert (raw.prompt, raw.max_tokens, raw.sampling["seed"]) == ("as it is", 3, 1)
    assert chat.grammar.json_schema == schema
    assert answer["step_results"]["chat"]["result"]["json"] == {"a": 1}


def test_json_that_was_cut_is_said_so(server: Any) -> None:
    messages = [{"role": "user", "content": "stopped x"}]
    answer = execute(server, llm("a", messages=messages, json_schema={"type": "object"})).json()
    assert answer["step_results"]["a"]["error"] == "the answer is not whole JSON: it ended at the stop text 'x'"


def test_a_step_without_a_model_takes_the_one_in_use(server: Any) -> None:
    server.chat("warm up")
    answer = execute(server, {"id": "a", "type": "llm", "parameters": {"prompt": "hi"}}).json()
    assert answer["step_results"]["a"]["result"]["model"] == "m"


def test_failures_of_models_are_those_of_their_steps(server: Any) -> None:
    answer = execute(
        server,
        llm("unknown", model="nope", prompt="x"),
        llm("long", prompt="long"),
        llm("range", prompt="x", temperature="{{word}}"),
        llm("fine", prompt="x"),
        llm("after", "long", prompt="x"),
        context={"word": "hot"},
    )
    assert answer.status_code == 200
    errors = {name: one.get("error", "") for name, one in answer.json()["step_results"].items()}
    assert "model 'nope' not found; available: m" in errors["unknown"]
    assert "999 tokens" in errors["long"]
    assert errors["range"] == "temperature must be a number, got a string"
    assert errors["fine"] == ""
    assert errors["after"] == "not run: it depends on step 'long', which failed"
    assert answer.json()["error"].startswith("step 'unknown' failed")


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ([], "at least one step"),
        ([llm("a", "b", prompt="x"), llm("b", "a", prompt="x")], "in a circle"),
        ([llm("a", promt="x")], "has no field 'promt'; it takes"),
        ([llm(f"s{n}", prompt="x") for n in range(257)], "workflow.steps must hold at most 256 items"),
        ([llm("a")], "workflow.steps[0].parameters.prompt or workflow.steps[0].parameters.messages is required"),
        ([{"id": "", "type": "llm"}], "workflow.steps[0].id must hold at least 1 characters"),
        ([{"id": "a", "type": "llm", "parameters": 5}], "workflow.steps[0].parameters must be an object"),
    ],
)
def test_bad_workflows_are_400(server: Any, steps: Any, words: str) -> None:
    answer = execute(server, *steps)
    assert answer.status_code == 400
    assert words in answer.json()["error"]
    assert server.engine.requests == [] if server.engines else True


def test_bad_bodies_are_400(server: Any) -> None:
    deep = '{"a":' * 70 + "1" + "}" * 70
    bodies = {
        b"{}": "workflow is required",
        b'{"workflow": {"steps": []}}': "workflow.id is required",
        f'{{"workflow": {{"id": "w", "steps": []}}, "context": {deep}}}'.encode(): "context is nested more than 64",
    }
    for body, words in bodies.items():
        answer = server.http.post("/api/workflows/execute", content=body)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_a_client_that_leaves_cancels_its_steps(server: Any) -> None:
    server.chat("warm up")
    workflow = {"id": "w", "steps": [llm("a", prompt="hang"), llm("b", prompt="hang")]}
    body = json.dumps({"workflow": workflow}).encode()
    head = b"POST /api/workflows/execute HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body)
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as connection:
        connection.sendall(head + body)
        server.wait_until(lambda: server.engine.running == 2)
    server.wait_until(lambda: len(server.engine.cancelled) == 2 and server.engine.running == 0)


def test_steps_are_requests_like_any_other(start_server: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(
        '[bob]\nkey = "bob-secret"\nscopes = ["tools", "infer"]\n[cal]\nkey = "cal-secret"\nscopes = ["tools"]\n'
    )
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys)) as server:
        body = {"workflow": {"id": "w", "steps": [llm("a", prompt="x")]}}
        headers = {"x-api-key": "bob-secret"}
        assert server.http.post("/api/workflows/execute", json=body, headers=headers).json()["success"]
        assert server.engine.requests[-1].tenant == "bob"
        (line,) = server.http.get("/v1/requests", headers=headers).json()["data"]
        assert (line["model"], line["state"]) == ("m", "finished")
        refused = server.http.post("/api/workflows/execute", json=body, headers={"x-api-key": "cal-secret"})
        assert (refused.status_code, refused.json()) == (403, {"error": "this API key has no scope 'infer'"})
