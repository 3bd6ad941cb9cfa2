"""Tools of Responses: which of them the model may call, as which functions, and what their calls are for clients."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.server.conversation import ToolSelection, function_of, select_tools
from shimmy.server.custom_tool import PARAMETERS, described
from shimmy.server.responses_input import PlacedTool
from shimmy.server.schemas.chat import MAX_TOOLS, AllowedTool, AllowedTools, FunctionIn, ToolChoice, ToolName
from shimmy.server.schemas.responses import ResponsesRequest, ToolChoiceFlat, ToolFlat

_OWN = re.compile(
    r"(web_search(?:_preview)?|file_search|code_interpreter|image_generation|computer(?:_use(?:_preview)?)?|mcp|shell"
    r"|local_shell|apply_patch|tool_search|programmatic_tool_calling)(?:_\d{4}_\d\d_\d\d)?"
)
"""OpenAI's own tools: they run there, or are known to its models alone."""
_BARE = "functions"
"""The namespace that tools without one are in."""


class CalledTool(NamedTuple):
    """What a function is for the client."""

    name: str
    namespace: str | None = None
    custom: bool = False


class ResponseTools(NamedTuple):
    selection: ToolSelection
    called: dict[str, CalledTool]
    """By the names of the functions."""
    in_force: list[dict[str, Any]]
    """As the response echoes them."""
    left_out: list[str]
    """Kinds of OpenAI's own tools that were given."""


def function_name(name: str, namespace: str | None) -> str:
    """What the model knows a tool by."""
    if not namespace or namespace == _BARE:
        return name
    return f"{namespace}{name}" if namespace.endswith("__") else f"{namespace}__{name}"


def tools_of(body: ResponsesRequest, earlier: Sequence[ToolFlat], given: Sequence[PlacedTool]) -> ResponseTools:
    """`tools`, those that came in items of the conversation and of the input, and what `tool_choice` leaves of them.

    Of two with one name the later counts. InvalidRequestError names the one at fault.
    """
    placed = [PlacedTool(tool, f"tools[{index}]") for index, tool in enumerate(body.tools or ())]
    placed += [PlacedTool(tool, f"previous_response_id.tools[{index}]") for index, tool in enumerate(earlier)]
    offer = _Offer()
    for tool, place in [*placed, *given]:
        offer.add(tool, place)
    return ResponseTools(offer.select(body.tool_choice), offer.called, offer.in_force(), offer.left_out)


class _Offer:
    """Tools, one added after the other."""

    def __init__(self) -> None:
        self.functions: dict[str, dict[str, Any]] = {}
        self.called: dict[str, CalledTool] = {}
        self.left_out: list[str] = []
        self._echoes: dict[str, dict[str, Any]] = {}
        self._about: dict[str, str | None] = {}
        """What namespaces are said to be."""

    def add(self, tool: ToolFlat, place: str) -> None:
        if own := _OWN.fullmatch(tool.type or ""):
            self.left_out.append(own[1])
        elif tool.type == "namespace":
            name = _name(tool, place)
            self._about[name] = tool.description
            for index, one in enumerate(tool.tools or ()):
                self._add_function(one, f"{place}.tools[{index}]", name)
        else:
            self._add_function(tool, place, None)

    def in_force(self) -> list[dict[str, Any]]:
        """In the form in which they were given."""
        told: list[dict[str, Any]] = []
        spaces: dict[str, list[dict[str, Any]]] = {}
        for name, (_, space, _) in self.called.items():
            if space is None:
                told.append(self._echoes[name])
                continue
            if space not in spaces:
                spaces[space] = []
                echo = {"type": "namespace", "name": space, "description": self._about[space]}
                told.append({**echo, "tools": spaces[space]})
            spaces[space].append(self._echoes[name])
        return told

    def _add_function(self, tool: ToolFlat, place: str, namespace: str | None) -> None:
        if tool.type not in ("function", "custom"):
            if tool.type is None:
                raise InvalidRequestError(f"{place}.type is required", f"{place}.type")
            kinds = "function, custom or namespace" if namespace is None else "function or custom in a namespace"
            raise InvalidRequestError(f"{place}.type {tool.type!r} is not supported: use {kinds}", f"{place}.type")
        called = CalledTool(_name(tool, place), namespace, tool.type == "custom")
        name = function_name(called.name, namespace)
        if self.called.setdefault(name, called) != called:
            raise InvalidRequestError(
                f"{place}.name: the model knows another tool as {name!r} already", f"{place}.name"
            )
        if called.custom:
            given = FunctionIn(name, described(tool.description, tool.format, place), PARAMETERS)
        else:
            given = FunctionIn(name, tool.description, tool.parameters, tool.strict)
        self.functions[name], self._echoes[name] = function_of(given, place), _echo(tool)
        if len(self.functions) > MAX_TOOLS:
            raise InvalidRequestError(f"tools must hold at most {MAX_TOOLS} functions, namespaces included", "tools")

    def select(self, choice: str | ToolChoiceFlat | None) -> ToolSelection:
        functions = list(self.functions.values())
        if choice == "required" and not functions and self.left_out:
            kinds = ", ".join(sorted(set(self.left_out)))
            raise InvalidRequestError(
                f"tool_choice demands a call, but tools holds only {kinds}, which this server does not have",
                "tool_choice",
            )
        if choice is None or isinstance(choice, str):
            return select_tools(functions, choice)
        if choice.type == "allowed_tools":
            tools = enumerate(choice.tools or ())
            names = [name for index, one in tools for name in self._names(one, f"tool_choice.tools[{index}]")]
            allowed = AllowedTools(choice.mode or "auto", [AllowedTool(ToolName(name)) for name in names])
            return select_tools(functions, ToolChoice("allowed_tools", None, allowed))
        if _OWN.fullmatch(choice.type):
            raise InvalidRequestError(
                f"tool_choice demands {choice.type}, which this server does not have", "tool_choice.type"
            )
        if choice.type not in ("function", "custom"):
            raise InvalidRequestError(
                f"tool_choice.type must be function, custom or allowed_tools, got {choice.type!r}", "tool_choice.type"
            )
        (name,) = self._names(choice, "tool_choice")
        return select_tools(functions, ToolChoice("function", ToolName(name)))

    def _names(self, choice: ToolChoiceFlat, place: str) -> list[str]:
        """The functions that one of `tool_choice` means: many of a namespace, none of what is left out."""
        if _OWN.fullmatch(choice.type):
            return []
        if choice.type == "namespace":
            found = [name for name, called in self.called.items() if called.namespace == choice.name]
        else:
            full = function_name(choice.name or "", choice.namespace)
            alike = {name for name, called in self.called.items() if called.custom == (choice.type == "custom")}
            short = [name for name in alike if choice.namespace is None and self.called[name].name == choice.name]
            found = [full] if full in alike else short if len(short) == 1 else []
        if not found:
            known = ", ".join(self.called) or "none"
            raise InvalidRequestError(f"{place}.name is {choice.name!r}, tools holds {known}", f"{place}.name")
        return found


def _name(tool: ToolFlat, place: str) -> str:
    if not tool.name:
        raise InvalidRequestError(f"{place}.name is required", f"{place}.name")
    return tool.name


def _echo(tool: ToolFlat) -> dict[str, Any]:
    told = {"type": tool.type, "name": tool.name, "description": tool.description}
    if tool.type == "custom":
        grammar = tool.format is not None and tool.format.type == "grammar"
        return {**told, "format": msgspec.to_builtins(tool.format) if grammar else {"type": "text"}}
    return {**told, "parameters": tool.parameters, "strict": tool.strict}
