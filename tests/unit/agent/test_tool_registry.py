"""Tools: what they check, how they fail, and where they come from."""

from __future__ import annotations

import asyncio
import importlib.metadata
import subprocess
import sys
import threading
from typing import Annotated, Any

import jsonschema
import msgspec
import pytest
from msgspec import Meta

from shimmy.agent.tool import Tool, ToolResult
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.errors import ToolError, ToolNotFoundError


class Inner(msgspec.Struct):
    deep: int


class Greeting(msgspec.Struct):
    name: Annotated[str, Meta(min_length=1, description="Whom.")]
    times: Annotated[int, Meta(ge=1, le=3)] = 1
    inner: Inner | None = None


def greet(greeting: Greeting) -> str:
    return " ".join([f"hello {greeting.name}"] * greeting.times)


def tool_of(run: Any, **options: Any) -> Tool[Greeting]:
    return Tool("greet", "Greets.", Greeting, run, **options)


def execute(tools: ToolRegistry, tool: str, /, **arguments: Any) -> ToolResult:
    return asyncio.run(tools.execute(tool, arguments))


def test_the_schema_is_that_of_the_struct() -> None:
    definition = tool_of(greet).definition
    jsonschema.Draft202012Validator.check_schema(definition.parameters)
    assert definition.parameters["properties"]["name"] == {"type": "string", "minLength": 1, "description": "Whom."}
    assert definition.parameters["required"] == ["name"]
    validator = jsonschema.Draft202012Validator(definition.parameters)
    assert validator.is_valid({"name": "x", "inner": {"deep": 1}})
    assert not validator.is_valid({"name": "x", "inner": {"deep": "1"}})


@pytest.mark.parametrize("name", ["", "1a", "a b", "a" * 65, "a/b", "ä"])
def test_names_that_models_cannot_call(name: str) -> None:
    with pytest.raises(ValueError, match="no name for a tool"):
        Tool(name, "", Greeting, greet)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({}, "missing required field `name`"),
        ({"name": 5}, "Expected `str`, got `int` - at `$.name`"),
        ({"name": "x", "times": 4}, "Expected `int` <= 3 - at `$.times`"),
        ({"name": "x", "nmae": "y"}, "no argument 'nmae'; it takes name, times, inner"),
    ],
)
def test_arguments_are_checked(arguments: dict[str, Any], words: str) -> None:
    result = execute(ToolRegistry([tool_of(greet)], plugins=False), "greet", **arguments)
    assert (result.success, result.result) == (False, None)
    assert words in str(result.error)


def test_a_call() -> None:
    tools = ToolRegistry(plugins=False)
    tools.add(tool_of(greet))
    assert execute(tools, "greet", name="Ann", times=2) == ToolResult(True, "hello Ann hello Ann")


def test_an_unknown_tool() -> None:
    tools = ToolRegistry(plugins=False)
    with pytest.raises(ToolNotFoundError, match="no tool 'x'; there are calculator, current_time"):
        execute(tools, "x")


def test_failures_are_results() -> None:
    def fail(error: Exception) -> Any:
        def run(_: Greeting) -> None:
            raise error

        return run

    def call(run: Any, **options: Any) -> str:
        result = execute(ToolRegistry([tool_of(run, **options)], plugins=False), "greet", name="x")
        assert not result.success
        return str(result.error)

    assert call(fail(ToolError("out of greetings"))) == "out of greetings"
    assert call(fail(KeyError("secret"))) == "the tool 'greet' failed: KeyError"
    assert call(fail(StopIteration())) == "the tool 'greet' failed: RuntimeError"
    assert call(lambda _: "x" * (1 << 21)) == "the result has more than 1048576 characters and members"
    assert call(lambda _: "é" * (1 << 19)) == "the result has 1048578 bytes, the limit is 1048576"
    assert call(lambda _: object()) == "the tool 'greet' failed: TypeError"


def test_time_is_up() -> None:
    cancelled: list[bool] = []
    release = threading.Event()

    async def hang(_: Greeting) -> None:
        try:
            await asyncio.sleep(60)
        finally:
            cancelled.append(True)

    for run in (hang, lambda _: release.wait(20)):
        result = execute(ToolRegistry([tool_of(run, seconds=0.05)], plugins=False), "greet", name="x")
        assert result.error == "the tool 'greet' took longer than 0.05 seconds"
    release.set()
    assert cancelled == [True]


def test_tools_that_hang_keep_few_threads_and_no_process() -> None:
    program = """
import asyncio, threading, msgspec
from shimmy.agent.tool import Tool
from shimmy.agent.tool_registry import ToolRegistry
class Nothing(msgspec.Struct):
    pass
async def main():
    tools = ToolRegistry([Tool("hang", "", Nothing, lambda _: threading.Event().wait(), seconds=0.2)], plugins=False)
    results = await asyncio.gather(*(tools.execute("hang", {}) for _ in range(9)))
    assert all("took longer than 0.2 seconds" in result.error for result in results), results
    assert threading.active_count() == 5, threading.enumerate()
    print("ended")
asyncio.run(main())
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "ended\n"), done.stderr


def test_tools_of_installed_packages(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    class Point:
        def __init__(self, value: str, loaded: Any) -> None:
            self.value = value
            self._loaded = loaded

        def load(self) -> Any:
            if isinstance(self._loaded, Exception):
                raise self._loaded
            return self._loaded

    looked: list[str] = []

    def points(*, group: str) -> list[Point]:
        looked.append(group)
        other = Tool("other", "", Greeting, greet)
        return [Point("broken:x", ImportError("gone")), Point("one:x", tool_of(greet)), Point("two:x", [other])]

    monkeypatch.setattr("shimmy.agent.tool_registry.entry_points", points)
    tools = ToolRegistry()
    assert looked == []
    names = [definition.name for definition in tools.definitions()]
    assert {"greet", "other", "calculator"} <= set(names)
    assert names == sorted(names)
    assert tools.get("greet").definition.description == "Greets."
    assert looked == ["shimmy.tools"]
    assert "the tools of broken:x cannot be loaded" in caplog.text
    tools.add(Tool("calculator", "Mine.", Greeting, greet))
    assert tools.get("calculator").definition.description == "Mine."


def test_packages_are_imported_on_a_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    on: list[str] = []

    def points(*, group: str) -> list[Any]:
        on.append(threading.current_thread().name)
        return []

    monkeypatch.setattr("shimmy.agent.tool_registry.entry_points", points)
    tools = ToolRegistry()
    asyncio.run(tools.load())
    assert "calculator" in {definition.name for definition in tools.definitions()}
    assert on == ["shimmy-tool"]


def test_this_package_declares_none_itself() -> None:
    assert not importlib.metadata.entry_points(group="shimmy.tools")
