"""Messages and tools as clients send them, made into what `ChatPrompt` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.chat import (
    ChatCompletionRequest,
    ContentPart,
    FunctionIn,
    MessageIn,
    ToolCallIn,
    ToolChoice,
    ToolIn,
)
from shimmy.server.schemas.decoding import check_size

_ROLES = ("system", "developer", "user", "assistant", "tool", "function")
_TEXT_PARTS = ("text", "input_text", "output_text", "refusal")


def messages_of(messages: Sequence[MessageIn]) -> list[dict[str, Any]]:
    """OpenAI's messages with text parts joined by line ends. InvalidRequestError names the message at fault."""
    if not messages:
        raise InvalidRequestError("messages must hold at least one message", "messages")
    return [_message(message, f"messages[{index}]") for index, message in enumerate(messages)]


def _message(message: MessageIn, place: str) -> dict[str, Any]:
    if message.role not in _ROLES:
        known = ", ".join(_ROLES)
        raise InvalidRequestError(f"{place}.role must be one of {known}, got {message.role!r}", f"{place}.role")
    out: dict[str, Any] = {"role": "tool" if message.role == "function" else message.role}
    if message.content is None and message.role != "assistant":
        raise InvalidRequestError(f"{place}.content is required for role {message.role}", f"{place}.content")
    if isinstance(message.content, list):
        out["content"] = _joined(message.content, f"{place}.content")
    elif message.content is None and not message.tool_calls:
        out["content"] = ""
    else:
        out["content"] = message.content
    for name in ("name", "tool_call_id", "reasoning_content"):
        if (value := getattr(message, name)) is not None:
            out[name] = value
    if message.tool_calls:
        if message.role != "assistant":
            raise InvalidRequestError(f"{place}.tool_calls belongs to role assistant only", f"{place}.tool_calls")
        out["tool_calls"] = [_tool_call(call, f"{place}.tool_calls[{k}]") for k, call in enumerate(message.tool_calls)]
    return out


def _joined(parts: Sequence[ContentPart], place: str) -> str:
    texts: list[str] = []
    for index, part in enumerate(parts):
        if part.type not in _TEXT_PARTS:
            raise InvalidRequestError(
                f"{place}[{index}].type {part.type!r} is not supported: this model reads text parts only",
                f"{place}[{index}].type",
            )
        if part.text is None and part.type != "refusal":
            raise InvalidRequestError(f"{place}[{index}].text is required", f"{place}[{index}].text")
        texts.append(part.text or "")
    return "\n".join(texts)


def _tool_call(call: ToolCallIn, place: str) -> dict[str, Any]:
    arguments = call.function.arguments or "{}"
    if not isinstance(arguments, str):
        check_size(arguments, f"{place}.function.arguments")
        arguments = msgspec.json.encode(arguments).decode()
    out: dict[str, Any] = {"type": "function", "function": {"name": call.function.name, "arguments": arguments}}
    if call.id is not None:
        out["id"] = call.id
    return out


REASONING_EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")


def effort_kwargs(effort: str | None) -> dict[str, Any]:
    """`reasoning_effort` for templates that know it, which is low, medium or high there."""
    if effort is None:
        return {}
    known = {"minimal": "low", "xhigh": "high", "max": "high"}
    return {"reasoning_effort": known.get(effort, effort)}


class ToolSelection(NamedTuple):
    """The tools that the model may see, and whether it has to call one."""

    tools: list[dict[str, Any]]
    choice: str = "auto"
    """auto, required or none."""
    name: str | None = None
    """With required: the one to call."""


def tools_of(body: ChatCompletionRequest) -> ToolSelection:
    """What `tools` and `tool_choice` say together. InvalidRequestError for a choice that the tools do not allow."""
    return select_tools(functions_of(body.tools or []), body.tool_choice)


def select_tools(tools: list[dict[str, Any]], choice: str | ToolChoice | None) -> ToolSelection:
    """What a choice leaves of the tools. InvalidRequestError as `tools_of`."""
    if isinstance(choice, ToolChoice):
        selection = _selected(tools, choice)
    elif choice in (None, "auto", "none", "required"):
        selection = ToolSelection(tools, choice or "auto")
    else:
        raise InvalidRequestError(
            f"tool_choice must be none, auto, required or an object, got {choice!r}", "tool_choice"
        )
    if selection.choice == "required" and not selection.tools:
        raise InvalidRequestError("tool_choice demands a call, so tools must hold at least one function", "tool_choice")
    return selection


def functions_of(tools: Sequence[ToolIn]) -> list[dict[str, Any]]:
    """The tools as `ChatPrompt` wants them. InvalidRequestError names the one at fault."""
    return [_tool(tool, f"tools[{index}]") for index, tool in enumerate(tools)]


def _selected(tools: list[dict[str, Any]], choice: ToolChoice) -> ToolSelection:
    """What the object forms of tool_choice leave of `tools`."""
    if choice.type == "function":
        if choice.function is None:
            raise InvalidRequestError("tool_choice.function is required", "tool_choice.function")
        _check_known([choice.function.name], tools, "tool_choice.function.name")
        return ToolSelection(tools, "required", choice.function.name)
    if choice.type != "allowed_tools":
        raise InvalidRequestError(
            f"tool_choice.type must be function or allowed_tools, got {choice.type!r}", "tool_choice.type"
        )
    allowed = choice.allowed_tools
    if allowed is None:
        raise InvalidRequestError("tool_choice.allowed_tools is required", "tool_choice.allowed_tools")
    if allowed.mode not in ("auto", "required"):
        raise InvalidRequestError(
            f"tool_choice.allowed_tools.mode must be auto or required, got {allowed.mode!r}",
            "tool_choice.allowed_tools.mode",
        )
    names = [tool.function.name for tool in allowed.tools if tool.function is not None]
    _check_known(names, tools, "tool_choice.allowed_tools.tools")
    return ToolSelection([tool for tool in tools if tool["function"]["name"] in names], allowed.mode)


def _check_known(names: Sequence[str], tools: Sequence[dict[str, Any]], param: str) -> None:
    known = [tool["function"]["name"] for tool in tools]
    for name in names:
        if name not in known:
            raise InvalidRequestError(f"{param} is {name!r}, tools holds {', '.join(known) or 'none'}", param)


def _tool(tool: ToolIn, place: str) -> dict[str, Any]:
    if tool.type != "function":
        raise InvalidRequestError(f"{place}.type {tool.type!r} is not supported: use function", f"{place}.type")
    if tool.function is None:
        raise InvalidRequestError(f"{place}.function is required", f"{place}.function")
    return function_of(tool.function, f"{place}.function")


def function_of(given: FunctionIn, place: str) -> dict[str, Any]:
    """One function as `ChatPrompt` wants it. InvalidRequestError for parameters that are too large."""
    parameters = given.parameters or {"type": "object", "properties": {}}
    check_size(parameters, f"{place}.parameters")
    function: dict[str, Any] = {"name": given.name}
    if given.description is not None:
        function["description"] = given.description
    function["parameters"] = parameters
    if given.strict is not None:
        function["strict"] = given.strict
    return {"type": "function", "function": function}
