"""Anthropic's messages, system prompt and tools, made into what `ChatPrompt` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.final_message import begins_the_answer, text_to_go_on_with
from shimmy.request import ChatPrompt
from shimmy.server.conversation import ToolSelection, effort_kwargs
from shimmy.server.schemas.anthropic import BlockIn, Conversation, CustomTool, Source, TurnIn
from shimmy.server.schemas.decoding import check_size

# Claude Code's first system block: a hash that is another one in each request, so no prefix would ever be shared.
_BILLING = "x-anthropic-billing-header"

_CHOICES = {"auto": "auto", "any": "required", "tool": "required", "none": "none"}


def messages_of(body: Conversation) -> list[dict[str, Any]]:
    """The turns of the request, without an empty one at the end, where the answer begins anyway. InvalidRequestError
    names the message or block at fault.
    """
    if not body.messages:
        raise InvalidRequestError("messages must hold at least one message", "messages")
    messages = [message for index, turn in enumerate(body.messages) for message in _turn(turn, f"messages[{index}]")]
    if len(messages) > 1 and messages[-1] == {"role": "assistant", "content": ""}:
        messages.pop()
    return messages


def prompt_of(body: Conversation, history: Sequence[dict[str, Any]] = ()) -> ChatPrompt:
    """The conversation for the model's template, after the `history` of its session. InvalidRequestError names the
    message, block or tool at fault.
    """
    messages = [*history, *messages_of(body)]
    if system := _system(body.system):
        messages.insert(0, {"role": "system", "content": system})
    selection = _tools(body)
    choice = body.tool_choice
    return ChatPrompt(
        messages=messages,
        continue_final_message=begins_the_answer(messages),
        tools=selection.tools,
        tool_choice=selection.choice,
        tool_name=selection.name,
        parallel_tool_calls=not (choice and choice.disable_parallel_tool_use),
        enable_thinking=body.thinking is not None and body.thinking.type != "disabled",
        template_kwargs=effort_kwargs(body.output_config.effort if body.output_config else None),
    )


def check_prefill(body: Conversation, prompt: ChatPrompt) -> None:
    """InvalidRequestError, as from Anthropic, for a prompt that `ends_in_text` which no answer can go on with."""
    place = f"messages[{len(body.messages) - 1}]"
    text = text_to_go_on_with(prompt.messages, place)
    if text != text.rstrip():
        raise InvalidRequestError(
            f"{place}: final assistant content cannot end with trailing whitespace, the answer goes on with it: cut it "
            "off",
            place,
        )
    for field, set_ in (
        ("thinking", prompt.enable_thinking),
        ("output_config.format", schema_of(body) is not None),
        ("tool_choice", prompt.tool_choice == "required"),
    ):
        if set_:
            raise InvalidRequestError(
                f"{place} is the beginning of the answer, and {field} is about answers from their beginning: leave the "
                f"message out, or {field}",
                field,
            )


def schema_of(body: Conversation) -> dict[str, Any] | None:
    """What output_config.format demands. InvalidRequestError for a format without a schema."""
    wanted = body.output_config.format if body.output_config else None
    if wanted is None:
        return None
    if wanted.type != "json_schema":
        raise InvalidRequestError(
            f"output_config.format.type must be json_schema, got {wanted.type!r}", "output_config.format.type"
        )
    if wanted.schema is None:
        raise InvalidRequestError("output_config.format.schema is required", "output_config.format.schema")
    check_size(wanted.schema, "output_config.format.schema")
    return wanted.schema


def _system(system: str | list[BlockIn] | None) -> str:
    if isinstance(system, str):
        return system
    texts = [block.text or "" for block in system or () if block.type == "text"]
    return "\n".join(text for text in texts if not text.startswith(_BILLING))


def _turn(turn: TurnIn, place: str) -> list[dict[str, Any]]:
    """One message as one or more of OpenAI's: results of tools are messages of their own there, before what follows."""
    if turn.role not in ("user", "assistant", "system"):
        raise InvalidRequestError(f"{place}.role must be user, assistant or system, got {turn.role!r}", f"{place}.role")
    if isinstance(turn.content, str):
        return [{"role": turn.role, "content": turn.content}]
    if turn.role == "assistant":
        return [_assistant(turn.content, place)]
    messages: list[dict[str, Any]] = []
    texts: list[str] = []
    for index, block in enumerate(turn.content):
        where = f"{place}.content[{index}]"
        if block.type == "tool_result":
            if block.tool_use_id is None:
                raise InvalidRequestError(f"{where}.tool_use_id is required", f"{where}.tool_use_id")
            content = _result(block, where)
            messages.append({"role": "tool", "tool_call_id": block.tool_use_id, "content": content})
        elif (text := _text(block, where)) is not None:
            texts.append(text)
    if texts or not messages:
        messages.append({"role": turn.role, "content": "\n".join(texts)})
    return messages


def _assistant(blocks: Sequence[BlockIn], place: str) -> dict[str, Any]:
    texts: list[str] = []
    thoughts: list[str] = []
    calls: list[dict[str, Any]] = []
    for index, block in enumerate(blocks):
        where = f"{place}.content[{index}]"
        if block.type == "thinking":
            thoughts.append(block.thinking or "")
        elif block.type == "tool_use":
            calls.append(_call(block, where))
        elif (text := _text(block, where)) is not None:
            texts.append(text)
    message: dict[str, Any] = {"role": "assistant", "content": "\n".join(texts) if texts or not calls else None}
    if thoughts:
        message["reasoning_content"] = "\n".join(thoughts)
    if calls:
        message["tool_calls"] = calls
    return message


def _call(block: BlockIn, place: str) -> dict[str, Any]:
    if not block.id or not block.name:
        field = "name" if block.id else "id"
        raise InvalidRequestError(f"{place}.{field} is required", f"{place}.{field}")
    check_size(block.input or {}, f"{place}.input")
    arguments = msgspec.json.encode(block.input or {}).decode()
    return {"id": block.id, "type": "function", "function": {"name": block.name, "arguments": arguments}}


def _result(block: BlockIn, place: str) -> str:
    if isinstance(block.content, list):
        parts = [_text(part, f"{place}.content[{index}]") for index, part in enumerate(block.content)]
        text = "\n".join(part for part in parts if part is not None)
    else:
        text = block.content if isinstance(block.content, str) else ""
    return f"Error: {text}" if block.is_error else text


def _text(block: BlockIn, place: str) -> str | None:
    """What a block says in words; None for kinds that this version does not know."""
    match block.type:
        case "text":
            if block.text is None:
                raise InvalidRequestError(f"{place}.text is required", f"{place}.text")
            return block.text
        case "image":
            raise InvalidRequestError(f"{place} is an image: this model reads text only", f"{place}.type")
        case "document":
            if not isinstance(block.source, Source) or block.source.type != "text" or block.source.data is None:
                raise InvalidRequestError(
                    f"{place} is a document whose source is not of type text: this model reads text only",
                    f"{place}.source",
                )
            return block.source.data
        case "search_result":
            parts = block.content if isinstance(block.content, list) else []
            return "\n".join([block.title or "", *(part.text or "" for part in parts)]).strip()
    return None


def _tools(body: Conversation) -> ToolSelection:
    tools = [_tool(tool, f"tools[{index}]") for index, tool in enumerate(body.tools or [])]
    choice = body.tool_choice
    if choice is None:
        return ToolSelection(tools)
    if choice.type not in _CHOICES:
        known = ", ".join(_CHOICES)
        raise InvalidRequestError(f"tool_choice.type must be one of {known}, got {choice.type!r}", "tool_choice.type")
    if choice.type in ("any", "tool") and not tools:
        raise InvalidRequestError("tool_choice demands a call, so tools must hold at least one tool", "tool_choice")
    if choice.type != "tool":
        return ToolSelection(tools, _CHOICES[choice.type])
    names = [tool["function"]["name"] for tool in tools]
    if choice.name not in names:
        raise InvalidRequestError(
            f"tool_choice.name is {choice.name!r}, tools holds {', '.join(names)}", "tool_choice.name"
        )
    return ToolSelection(tools, "required", choice.name)


def _tool(tool: CustomTool, place: str) -> dict[str, Any]:
    if tool.type not in (None, "custom"):
        raise InvalidRequestError(
            f"{place}.type {tool.type!r} is a tool that runs at Anthropic: give tools with an input_schema",
            f"{place}.type",
        )
    if tool.input_schema is None:
        raise InvalidRequestError(f"{place}.input_schema is required", f"{place}.input_schema")
    check_size(tool.input_schema, f"{place}.input_schema")
    function: dict[str, Any] = {"name": tool.name, "parameters": tool.input_schema}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.strict is not None:
        function["strict"] = tool.strict
    return {"type": "function", "function": function}
