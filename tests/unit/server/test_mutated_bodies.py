"""Whatever comes in on the routes around the models: an answer, or an error that is the client's."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shimmy.settings import Settings

BODIES: dict[str, Any] = {
    "/api/workflows/execute": {
        "workflow": {
            "id": "w",
            "name": "n",
            "steps": [
                {"id": "a", "type": "llm", "depends_on": [], "parameters": {"model": "m", "prompt": "say {{x}}"}},
                {
                    "id": "b",
                    "step_type": {"type": "conditional", "condition": "len(step_a) > 2 and x == 1"},
                    "parameters": {
                        "if_true": {
                            "type": "data_transform",
                            "parameters": {"operation": "map", "input": "{{list}}", "expression": "item * 2"},
                        }
                    },
                },
                {
                    "id": "c",
                    "type": "tool",
                    "depends_on": ["b"],
                    "parameters": {"tool_name": "calculator", "arguments": {"expression": "{{x}} + 1"}},
                },
            ],
            "inputs": {"x": 1},
            "outputs": ["b", "c"],
        },
        "context": {"list": [1, 2, 3]},
    },
    "/api/tools/json_query/execute": {"arguments": {"data": {"a": [{"b": 1}]}, "path": "$..a[0:1].b"}},
    "/api/tools/current_time/execute": {"timezone": "Europe/Vienna"},
    "/v1/feedback": {"query": "q", "response": "r", "weight": 1.5, "feedback": "f"},
    "/v1/messages": {
        "model": "m",
        "max_tokens": 5,
        "session_id": "s",
        "messages": [{"role": "user", "content": "hi"}],
    },
}
VALUES = (
    b"null",
    b"-1",
    b"1e308",
    b"2147483648",
    b"[]",
    b"{}",
    b'""',
    b"true",
    b'"\\u0000"',
    b"[[[]]]",
    b"{{",
    b'"{{y}}"',
)


@pytest.fixture
def server(start_server: Any, tmp_path: Path) -> Iterator[Any]:
    with start_server(Settings(bind="127.0.0.1:0", data_dir=tmp_path)) as server:
        yield server


@pytest.mark.parametrize("path", BODIES)
def test_mutations_never_give_5xx(server: Any, path: str) -> None:
    rng = random.Random(path)
    seed = json.dumps(BODIES[path]).encode()
    assert server.http.post(path, content=seed).status_code == 200
    for _ in range(200):
        body = bytearray(seed)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            if rng.random() < 0.4:
                body[at] = rng.randrange(256)
            else:
                body[at : at + rng.randint(0, 6)] = rng.choice(VALUES)
        response = server.http.post(path, content=bytes(body))
        assert response.status_code < 500, bytes(body)
        assert response.status_code != 422
        assert "unexpectedly" not in response.text, bytes(body)
        if response.status_code != 200:
            assert response.json()["error"]


@pytest.mark.parametrize("path", BODIES)
def test_every_field_of_every_kind(server: Any, path: str) -> None:
    """Each value of the body in turn becomes one of another kind."""
    for place in list(_places(BODIES[path])):
        for value in (None, 0, -1, 1e300, "", "{{nope}}", [], {}, [[]], True, "x" * 5000):
            body = json.loads(json.dumps(BODIES[path]))
            target = body
            for key in place[:-1]:
                target = target[key]
            target[place[-1]] = value
            response = server.http.post(path, json=body)
            assert response.status_code < 500, (place, value)
            assert "unexpectedly" not in response.text, (place, value)


def _places(value: Any, at: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield (*at, key)
        yield from _places(inner, (*at, key))
