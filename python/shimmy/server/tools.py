"""GET /api/tools and POST /api/tools/{name}/execute."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.agent.tool import ToolDefinition, ToolResult
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.server.endpoint import Call, Endpoint, Reply, reading
from shimmy.server.errors import native_error
from shimmy.server.operation import JSON, Family, Operation
from shimmy.server.schemas.decoding import check_size


class ToolRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, tools: ToolRegistry, max_body_bytes: int) -> None:
        self._tools = tools
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        execute = Endpoint(self._execute, native_error, self._max_body_bytes)
        return [
            Route("/api/tools", reading(self._list, native_error), methods=["GET"]),
            Route("/api/tools/{name:path}/execute", execute, methods=["POST"]),
        ]

    @Operation(Family.SHIMMY, "List the tools", answers={JSON: dict[str, list[ToolDefinition]]})
    async def _list(self, request: Request) -> dict[str, list[ToolDefinition]]:
        return {"tools": self._tools.definitions()}

    @Operation(
        Family.SHIMMY,
        "Call a tool",
        body=dict[str, Any],
        may_be_empty=True,
        answers={JSON: ToolResult},
        errors=(404,),
    )
    async def _execute(self, call: Call) -> Reply:
        tool = self._tools.get(call.params["name"])
        given = await call.body.decode(dict[str, Any]) if call.body else {}
        arguments = _arguments(given, tool.definition)
        return Reply(msgspec.json.encode(await self._tools.execute(tool.name, arguments)))


def _arguments(given: dict[str, Any], definition: ToolDefinition) -> dict[str, Any]:
    """The body is the arguments, or holds them as a model's call does, under "arguments"."""
    inner = given.get("arguments")
    if isinstance(inner, dict) and "arguments" not in definition.parameters["properties"]:
        given = inner
    check_size(given, "arguments")
    return given
