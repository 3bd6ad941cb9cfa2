"""A model with random weights through the JavaScript clients and LangChain: what holds here is enforced, not obeyed."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import pytest
from client_scripts import run_node, run_python

CITY: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
CALLS = ("required", "requiredStreamed", "named", "namedStreamed")
SHAPES = ("structured", "structuredStreamed")
PARSED = ("parsed", "parsedStreamed")
HOT: dict[str, Any] = {"model": "random", "temperature": 1.5}
SEED = {"seed": 1}
"""Besides: no reasoning, which this model would never end, and one call at most, as it would go on calling."""
JAVASCRIPT: dict[str, dict[str, Any]] = {
    "openai": {**HOT, **SEED, "reasoning_effort": "none", "parallel_tool_calls": False},
    "responses": {**HOT, **SEED, "reasoning": {"effort": "none"}, "parallel_tool_calls": False},
    "anthropic": {**HOT, **SEED},
    "ollama": {"model": "random", "options": {"temperature": 1.5, **SEED, "num_predict": 100}, "think": False},
}
LANGCHAIN: dict[str, dict[str, Any]] = {
    "langchain-openai": {**HOT, **SEED, "reasoning_effort": "none"},
    "langchain-openai-responses": {**HOT, "extra_body": SEED, "reasoning": {"effort": "none"}},
    "langchain-anthropic": {**HOT, "model_kwargs": {"extra_body": SEED}},
    "langchain-ollama": {**HOT, **SEED, "reasoning": False},
}

Seen: TypeAlias = Callable[[str, str], Any]


def cases_of(client: str) -> tuple[str, ...]:
    """Ollama's protocol has no tool_choice, and its client no parser."""
    return (*SHAPES, "tools", "toolsStreamed") if client == "ollama" else (*CALLS, *SHAPES, *PARSED)


@pytest.fixture(scope="module")
def seen(random_server: Any, javascript: Path) -> Seen:
    """What a JavaScript client saw in a case; a script runs once for each template."""
    reports: dict[str, Any] = {}

    def look(client: str, case: str) -> Any:
        if client not in reports:
            given = {"fields": JAVASCRIPT[client], "cases": cases_of(client)}
            reports[client] = run_node(javascript, f"{client}.mjs", random_server.url, **given)
        return reports[client][case]

    return look


@pytest.fixture(scope="module")
def chain(random_server: Any) -> Seen:
    """What a client of LangChain saw in a case; the script runs once for each template."""
    cases = (*CALLS, "tools", "structured", "structuredByCall")
    report = run_python("with_langchain.py", random_server.url, fields=LANGCHAIN, cases=cases)
    return lambda client, case: report[client][case]


@pytest.mark.parametrize(
    ("client", "case"), [(client, case) for client in JAVASCRIPT for case in CALLS if client != "ollama"]
)
def test_a_forced_call(seen: Seen, client: str, case: str) -> None:
    answer = seen(client, case)
    reasons = {"openai": "tool_calls", "anthropic": "tool_use", "responses": "completed"}
    assert answer["finish_reason"] == reasons[client], answer
    (call,) = answer["calls"]
    assert call["name"] == ("get_time" if case.startswith("named") else "get_weather")
    jsonschema.validate(json.loads(call["arguments"]), CITY)


@pytest.mark.parametrize("case", ["tools", "toolsStreamed"])
def test_no_call_that_was_not_made(seen: Seen, case: str) -> None:
    assert seen("ollama", case)["calls"] == []


@pytest.mark.parametrize("client", JAVASCRIPT)
@pytest.mark.parametrize("case", SHAPES)
def test_an_answer_keeps_to_its_schema(seen: Seen, client: str, case: str) -> None:
    jsonschema.validate(seen(client, case), CITY)


@pytest.mark.parametrize("client", [client for client in JAVASCRIPT if client != "ollama"])
@pytest.mark.parametrize("case", PARSED)
def test_the_clients_parse_it(seen: Seen, client: str, case: str) -> None:
    parsed = seen(client, case)
    assert parsed["city"] in ("Paris", "Rome"), parsed
    assert isinstance(parsed["capital"], bool)


@pytest.mark.parametrize(
    ("client", "case"), [(client, case) for client in LANGCHAIN for case in CALLS if client != "langchain-ollama"]
)
def test_a_forced_call_through_langchain(chain: Seen, client: str, case: str) -> None:
    (call,) = chain(client, case)
    assert call["name"] in (("get_time",) if case.startswith("named") else ("get_weather", "get_time"))
    jsonschema.validate(call["arguments"], CITY)


def test_no_call_that_was_not_made_through_langchain(chain: Seen) -> None:
    assert chain("langchain-ollama", "tools") == []


@pytest.mark.parametrize(
    ("client", "case"),
    [
        *((client, "structured") for client in LANGCHAIN),
        *((client, "structuredByCall") for client in LANGCHAIN if client != "langchain-ollama"),
    ],
)
def test_classes_through_langchain(chain: Seen, client: str, case: str) -> None:
    answer = chain(client, case)
    assert answer.get("city") in ("Paris", "Rome"), answer
    assert isinstance(answer["capital"], bool)
