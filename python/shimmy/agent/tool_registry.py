"""The tools that there are, by name: those built in, those that an embedder adds, those of installed packages."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Iterable
from importlib.metadata import entry_points
from typing import Any

import msgspec

from shimmy.agent.daemon_threads import DaemonThreads
from shimmy.agent.tool import Tool, ToolDefinition, ToolResult
from shimmy.agent.tools import BUILT_IN
from shimmy.agent.value_size import check_size
from shimmy.errors import ToolError, ToolNotFoundError

ENTRY_POINTS = "shimmy.tools"
"""The group in which a package names a `Tool`, or a list of them."""
MAX_RESULT_BYTES = 1 << 20
"""Of a result as JSON."""

logger = logging.getLogger("shimmy.agent")


class ToolRegistry:
    """The built-in tools and `tools`; with `plugins` also those that installed packages declare, looked up once, by
    `load` or when they are first asked for. Of one name an embedder's goes before a package's, and that before a
    built-in.
    """

    def __init__(self, tools: Iterable[Tool[Any]] = (), *, plugins: bool = True) -> None:
        self._built_in = {tool.name: tool for tool in BUILT_IN}
        self._added = {tool.name: tool for tool in tools}
        self._plugins: dict[str, Tool[Any]] | None = None if plugins else {}
        self._looking = threading.Lock()
        self._threads = DaemonThreads("shimmy-tool")

    async def load(self) -> None:
        """Import what installed packages declare, on a thread: it may take long, so before the first request."""
        await self._threads.run(self._tools)

    def add(self, tool: Tool[Any]) -> None:
        """From now on `tool` answers to its name."""
        self._added[tool.name] = tool

    def definitions(self) -> list[ToolDefinition]:
        return [tool.definition for _, tool in sorted(self._tools().items())]

    def get(self, name: str) -> Tool[Any]:
        """ToolNotFoundError names those that there are."""
        tools = self._tools()
        if name not in tools:
            raise ToolNotFoundError(f"there is no tool {name!r}; there are {', '.join(sorted(tools)) or 'none'}")
        return tools[name]

    async def execute(self, name: str, arguments: dict[str, Any]) -> ToolResult:
        """Call a tool. What goes wrong in it is its result; ToolNotFoundError as `get`."""
        tool = self.get(name)
        try:
            result = await asyncio.wait_for(self._run(tool, arguments), tool.seconds)
            check_size(result, MAX_RESULT_BYTES, "the result")
            size = len(msgspec.json.encode(result))
        except ToolError as error:
            return ToolResult(False, error=error.message)
        except asyncio.TimeoutError:
            return ToolResult(False, error=f"the tool {name!r} took longer than {tool.seconds:g} seconds")
        except Exception as error:
            logger.exception("the tool %s failed", name)
            return ToolResult(False, error=f"the tool {name!r} failed: {type(error).__name__}")
        if size > MAX_RESULT_BYTES:
            return ToolResult(False, error=f"the result has {size} bytes, the limit is {MAX_RESULT_BYTES}")
        return ToolResult(True, result)

    async def _run(self, tool: Tool[Any], arguments: dict[str, Any]) -> Any:
        checked = tool.check(arguments)
        if inspect.iscoroutinefunction(tool.run):
            return await tool.run(checked)
        return await self._threads.run(lambda: tool.run(checked))

    def _tools(self) -> dict[str, Tool[Any]]:
        with self._looking:
            if self._plugins is None:
                self._plugins = _installed()
            return {**self._built_in, **self._plugins, **self._added}


def _installed() -> dict[str, Tool[Any]]:
    """The tools of installed packages. One that cannot be loaded is left out, and logged."""
    tools: dict[str, Tool[Any]] = {}
    for point in entry_points(group=ENTRY_POINTS):
        try:
            loaded = point.load()
            for tool in [loaded] if isinstance(loaded, Tool) else list(loaded):
                tools[tool.name] = tool
        except Exception:
            logger.exception("the tools of %s cannot be loaded", point.value)
    return tools
