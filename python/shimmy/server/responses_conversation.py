"""Input items and formats of OpenAI's Responses, made into what the engine gets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from shimmy.context_policy import TRUNCATE_MIDDLE
from shimmy.errors import InvalidRequestError
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.conversation import REASONING_EFFORTS, ToolSelection, effort_kwargs
from shimmy.server.custom_tool import custom_arguments
from shimmy.server.generation import generate_request
from shimmy.server.responses_input import Entry
from shimmy.server.responses_tools import function_name
from shimmy.server.schemas.decoding import check_size
from shimmy.server.schemas.responses import ItemIn, PartIn, ResponsesRequest, TextFormat
from shimmy.server.schemas.structure import JsonSchemaFormat, ResponseFormat

_LOGPROBS = "message.output_text.logprobs"
_ROLES = ("system", "developer", "user", "assistant")
_TEXTS = ("input_text", "output_text", "text", "reasoning_text", "summary_text")


def response_request(
    request_id: str, body: ResponsesRequest, messages: Sequence[dict[str, Any]], selection: ToolSelection
) -> GenerateRequest:
    """What the engine gets for a conversation that ends with the input. InvalidRequestError for what it cannot do."""
    if body.max_output_tokens == 0:
        raise InvalidRequestError("max_output_tokens must be at least 1", "max_output_tokens")
    if body.text is not None and body.text.format is not None:
        if body.response_format is not None:
            raise InvalidRequestError("response_format and text.format exclude each other", "text.format")
        body.response_format = _format(body.text.format)
    wanted = body.top_logprobs is not None or _LOGPROBS in (body.include or ())
    logprobs = (body.top_logprobs or 0) if wanted else None
    body.context_policy = _policy(body)
    if body.conversation is not None:
        raise InvalidRequestError("conversation is not supported: use previous_response_id", "conversation")
    prompt = prompt_of(body, messages, selection)
    return generate_request(request_id, body, prompt, max_tokens=body.max_output_tokens, logprobs=logprobs)


def _policy(body: ResponsesRequest) -> str | None:
    if body.truncation in (None, "disabled"):
        return body.context_policy
    if body.truncation != "auto":
        raise InvalidRequestError(f"truncation must be auto or disabled, got {body.truncation!r}", "truncation")
    if body.context_policy is not None:
        raise InvalidRequestError("truncation and context_policy exclude each other", "truncation")
    return TRUNCATE_MIDDLE


def prompt_of(body: ResponsesRequest, messages: Sequence[dict[str, Any]], selection: ToolSelection) -> ChatPrompt:
    """Instructions are those of this request only, as OpenAI has it."""
    if not messages:
        raise InvalidRequestError("input is required", "input")
    instructions = [{"role": "system", "content": body.instructions}] if body.instructions else []
    effort = body.reasoning.effort if body.reasoning else None
    if effort is not None and effort not in REASONING_EFFORTS:
        raise InvalidRequestError(
            f"reasoning.effort must be one of {', '.join(REASONING_EFFORTS)}, got {effort!r}", "reasoning.effort"
        )
    return ChatPrompt(
        messages=[*instructions, *messages],
        tools=selection.tools,
        tool_choice=selection.choice,
        tool_name=selection.name,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        enable_thinking=effort != "none",
        template_kwargs=effort_kwargs(None if effort == "none" else effort),
    )


def messages_of(entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """The input as chat messages: reasoning and calls join the assistant's turn that they belong to.

    InvalidRequestError names the item at fault.
    """
    messages: list[dict[str, Any]] = []
    thoughts = ""
    for item, place, _ in entries:
        match item.type:
            case None | "message":
                messages.append(_message(item, place))
            case "reasoning":
                thoughts += text_of(item.content if isinstance(item.content, list) else item.summary, place)
                continue
            case "function_call" | "custom_tool_call":
                _add_call(messages, item, place)
            case "function_call_output" | "custom_tool_call_output":
                if item.call_id is None:
                    raise InvalidRequestError(f"{place}.call_id is required", f"{place}.call_id")
                if isinstance(item.output, dict):
                    raise InvalidRequestError(f"{place}.output must be a string or a list", f"{place}.output")
                content = text_of(item.output, f"{place}.output")
                messages.append({"role": "tool", "tool_call_id": item.call_id, "content": content})
            case other:
                raise InvalidRequestError(f"{place}.type {other!r} is not supported", f"{place}.type")
        if thoughts and messages[-1]["role"] == "assistant":
            messages[-1]["reasoning_content"] = thoughts
            thoughts = ""
    return messages


def _message(item: ItemIn, place: str) -> dict[str, Any]:
    if item.role not in _ROLES:
        raise InvalidRequestError(
            f"{place}.role must be one of {', '.join(_ROLES)}, got {item.role!r}", f"{place}.role"
        )
    return {"role": item.role, "content": text_of(item.content, f"{place}.content")}


def _add_call(messages: list[dict[str, Any]], item: ItemIn, place: str) -> None:
    if not item.call_id:
        raise InvalidRequestError(f"{place}.call_id is required", f"{place}.call_id")
    if not item.name:
        raise InvalidRequestError(f"{place}.name is required", f"{place}.name")
    function = {"name": function_name(item.name, item.namespace), "arguments": arguments_of(item, place)}
    call = {"id": item.call_id, "type": "function", "function": function}
    if messages and messages[-1]["role"] == "assistant":
        messages[-1].setdefault("tool_calls", []).append(call)
    else:
        messages.append({"role": "assistant", "content": None, "tool_calls": [call]})


def arguments_of(item: ItemIn, place: str = "") -> str:
    """JSON of the function, also of the one that stands for a custom tool."""
    if item.type == "custom_tool_call":
        return custom_arguments(item.input or "")
    if isinstance(item.arguments, dict):
        check_size(item.arguments, f"{place}.arguments")
        return msgspec.json.encode(item.arguments).decode()
    return item.arguments or "{}"


def text_of(given: str | Sequence[PartIn] | None, place: str = "") -> str:
    """The parts joined by line ends. InvalidRequestError for a part that is no text, named by `place`."""
    if given is None or isinstance(given, str):
        return given or ""
    texts: list[str] = []
    for index, part in enumerate(given):
        if part.type == "refusal":
            texts.append(part.refusal or "")
        elif part.type in _TEXTS:
            texts.append(part.text or "")
        elif part.type is None:
            raise InvalidRequestError(f"{place}[{index}].type is required", f"{place}[{index}].type")
        else:
            raise InvalidRequestError(
                f"{place}[{index}].type {part.type!r} is not supported: this model reads text only",
                f"{place}[{index}].type",
            )
    return "\n".join(texts)


def _format(wanted: TextFormat) -> ResponseFormat:
    if wanted.type != "json_schema":
        return ResponseFormat(type=wanted.type)
    schema = JsonSchemaFormat(schema=wanted.schema, strict=wanted.strict, name=wanted.name)
    return ResponseFormat(type="json_schema", json_schema=schema)
