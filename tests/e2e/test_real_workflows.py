"""Workflows, tools and feedback on the real server with the embedded model."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from http.client import HTTPConnection
from typing import Any

import httpx
import jsonschema
from endless import ENDLESS, requests_of, wait_until_running

MODEL = "shimmy-mini"
PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 12},
        "age": {"type": "integer", "minimum": 1, "maximum": 99},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}


def step(name: str, kind: str, **parameters: Any) -> dict[str, Any]:
    return {"id": name, "type": kind, "depends_on": [], "parameters": parameters}


def workflow(*steps: Any, **fields: Any) -> dict[str, Any]:
    return {"workflow": {"id": "w", "name": "", "description": "", "steps": list(steps), **fields}}


def execute(server: Any, *steps: Any, **fields: Any) -> dict[str, Any]:
    answer = httpx.post(f"{server.url}/api/workflows/execute", json=workflow(*steps, **fields), timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()  # type: ignore[no-any-return]


def test_models_and_tools_together(server: Any) -> None:
    capital = step("capital", "llm", model=MODEL, prompt="What is the capital of France?", temperature=0)
    counts = step("counts", "tool", tool_name="text_statistics", arguments={"text": "{{step_capital}}"})
    sum_up = step("sum", "tool", tool_name="calculator", arguments={"expression": "{{step_counts.words}} * 7"})
    result = execute(server, sum_up, counts, capital, outputs=["sum"])
    assert result["success"], result
    assert result["step_results"]["capital"]["result"]["text"] == "The capital of France is Paris."
    assert result["outputs"] == {"sum": {"expression": "6 * 7", "value": 42}}


def test_json_of_a_step_is_there_for_the_next(server: Any) -> None:
    result = execute(
        server,
        step("person", "llm", prompt="A person as JSON", json_schema=PERSON, seed=1),
        step("age", "data_transform", operation="extract", expression="step_person.json.age"),
        step("adult", "conditional", condition="step_age >= 1", if_true=step("x", "llm", prompt="Who are you?")),
    )
    assert result["success"], result
    person = result["step_results"]["person"]["result"]
    assert jsonschema.Draft202012Validator(PERSON).is_valid(person["json"])
    assert result["step_results"]["age"]["result"] == json.loads(person["text"])["age"]
    assert "Shimmy" in result["step_results"]["adult"]["result"]["text"]


def test_independent_steps_share_the_engine(server: Any) -> None:
    steps = [step(f"s{n}", "llm", prompt="Tell me a story about a fox.", seed=n, max_tokens=40) for n in range(8)]
    result = execute(server, *steps)
    assert result["success"], result
    spent = [one["execution_time_ms"] for one in result["step_results"].values()]
    assert result["execution_time_ms"] < sum(spent)


def test_a_client_that_leaves_ends_the_steps(server: Any) -> None:
    steps = [step(f"s{n}", "llm", prompt="Once", raw=True, **ENDLESS) for n in range(4)]
    connection = HTTPConnection(server.url.removeprefix("http://"), timeout=60)
    connection.request("POST", "/api/workflows/execute", json.dumps(workflow(*steps)))
    wait_until_running(server.url, 4)
    connection.close()
    end = time.monotonic() + 60
    while httpx.get(f"{server.url}/api/models/{MODEL}/status", timeout=60).json()["running"]:
        assert time.monotonic() < end
        time.sleep(0.02)
    assert [one["state"] for one in requests_of(server.url)[-4:]] == ["cancelled"] * 4


Start = Callable[..., AbstractContextManager[Any]]


def test_feedback_outlives_the_server(start: Start) -> None:
    entry = {"query": "q", "response": "r", "weight": 2.0}
    counts = []
    for _ in range(2):
        with start() as server:
            assert httpx.post(f"{server.url}/v1/feedback", json=entry, timeout=60).json() == {"status": "queued"}
            counts.append(httpx.get(f"{server.url}/v1/training/status", timeout=60).json()["queue_length"])
            server.process.kill()
    assert counts[1] == counts[0] + 1
