"""One tool: a name, what it does, what it takes, and the function that does it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar

import msgspec

from shimmy.errors import ToolError

Arguments = TypeVar("Arguments", bound=msgspec.Struct)

_NAME = re.compile(r"[a-zA-Z][\w-]{0,63}", re.ASCII)


class ToolDefinition(msgspec.Struct, frozen=True):
    """What a model or a client has to know. `parameters` is a JSON schema, of an object."""

    name: str
    description: str
    parameters: dict[str, Any]


class ToolResult(msgspec.Struct, frozen=True):
    """What came of a call: a JSON value, or why there is none."""

    success: bool
    result: Any = None
    error: str | None = None


class Tool(Generic[Arguments]):
    """A function under a name. `arguments` is a msgspec struct: its fields, types, `Meta` bounds and descriptions are
    the tool's JSON schema, and what `run` gets was checked against them.

    `run` returns what JSON can hold, or raises ToolError with a message for the caller. Written with `async def` it is
    cancelled when its `seconds` are over; otherwise it runs on a thread of its own, which nothing can end. Raises
    ValueError for a name that models cannot call.
    """

    def __init__(
        self,
        name: str,
        description: str,
        arguments: type[Arguments],
        run: Callable[[Arguments], Any | Awaitable[Any]],
        *,
        seconds: float = 10.0,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name for a tool: up to 64 letters, digits, _ and -, a letter first")
        (schema,), parts = msgspec.json.schema_components((arguments,), ref_template="#/$defs/{name}")
        top = parts.pop(schema["$ref"].removeprefix("#/$defs/"))
        parameters = {key: value for key, value in top.items() if key not in ("title", "description")}
        self.definition = ToolDefinition(name, description, parameters | ({"$defs": parts} if parts else {}))
        self.run = run
        self.seconds = seconds
        self._arguments = arguments

    @property
    def name(self) -> str:
        return self.definition.name

    def check(self, arguments: dict[str, Any]) -> Arguments:
        """The arguments as `run` wants them. ToolError names the one that does not fit."""
        unknown = [name for name in arguments if name not in self.definition.parameters["properties"]]
        if unknown:
            known = ", ".join(self.definition.parameters["properties"]) or "none"
            raise ToolError(f"the tool {self.name!r} has no argument {unknown[0]!r}; it takes {known}")
        try:
            return msgspec.convert(arguments, self._arguments)
        except msgspec.ValidationError as error:
            raise ToolError(f"the arguments of the tool {self.name!r} do not fit: {error}") from error
