"""What the tools that come with shimmy answer."""

from __future__ import annotations

import asyncio
from datetime import datetime, timezone
from typing import Any

import jsonschema
import pytest

from shimmy.agent.tool_registry import ToolRegistry
from shimmy.agent.tools import BUILT_IN


def call(name: str, **arguments: Any) -> Any:
    tools = ToolRegistry(plugins=False)
    result = asyncio.run(tools.execute(name, arguments))
    return result.result if result.success else str(result.error)


@pytest.mark.parametrize("tool", BUILT_IN, ids=lambda tool: tool.name)
def test_definitions_are_schemas_of_objects(tool: Any) -> None:
    jsonschema.Draft202012Validator.check_schema(tool.definition.parameters)
    assert tool.definition.parameters["type"] == "object"
    assert tool.definition.parameters["additionalProperties"] is False
    assert tool.definition.description.endswith(".")


def test_calculator() -> None:
    assert call("calculator", expression="(3 + 4) * 2") == {"expression": "(3 + 4) * 2", "value": 14}
    assert call("calculator", expression="cos(pi)")["value"] == -1.0
    assert call("calculator", expression="2 ** 100")["value"] == 2**100
    assert call("calculator", expression="2 > 1")["value"] is True
    assert call("calculator", expression="1 / 0") == "division by zero"
    assert call("calculator", expression="'a'") == "the expression came to a text, not to a number"
    assert "no variable 'x'" in call("calculator", expression="x + 1")


def test_current_time() -> None:
    told = call("current_time")
    assert told["timezone"] == "UTC"
    assert abs(datetime.now(timezone.utc).timestamp() - told["unix"]) < 60
    assert datetime.fromisoformat(told["iso"]).timestamp() == told["unix"]
    assert told["iso"].startswith(told["date"])
    assert call("current_time", timezone="Asia/Kolkata")["utc_offset"] == "+0530"
    for bad in ("Mars/Olympus", "../../etc/passwd", "/etc/passwd", "\0", "Europe"):
        assert "there is no time zone" in call("current_time", timezone=bad)


def test_text_statistics() -> None:
    told = call("text_statistics", text="The cat's mat. The DOG?\n\nÄ end", most_common=1)
    assert told == {
        "characters": 30,
        "bytes": 31,
        "lines": 3,
        "paragraphs": 2,
        "sentences": 2,
        "words": 7,
        "unique_words": 6,
        "average_word_length": 3.0,
        "most_common": [{"word": "the", "count": 2}],
    }
    assert call("text_statistics", text="")["average_word_length"] == 0.0
    for long in ("." * 1_000_000 + "a", "\n" + " " * 1_000_000 + "x", "a-" * 500_000, "\n \n" * 250_000):
        assert call("text_statistics", text=long)["characters"] >= 1_000_000 - 250_000
    assert "`str` of length <= 1048576" in call("text_statistics", text="x" * 1_048_577)


def test_json_query() -> None:
    data = {"items": [{"id": 1}, {"id": 2}]}
    assert call("json_query", data=data, path="items[0].id") == {"value": 1, "count": 1}
    assert call("json_query", data='{"items": [{"id": 1}]}', path="$..id") == {"value": [1], "count": 1}
    assert call("json_query", data=data, path="items[*].id") == {"value": [1, 2], "count": 2}
    assert "no 'x', there is items" in call("json_query", data=data, path="x")
    assert "a text that is no JSON" in call("json_query", data="{", path="x")
