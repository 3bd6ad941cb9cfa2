"""Items as responses keep them, as later requests get them back, and as OpenAI lists them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from msgspec import UNSET

from shimmy.server.responses_conversation import arguments_of, messages_of, text_of
from shimmy.server.responses_input import Entry
from shimmy.server.schemas.responses import (
    CallItem,
    CustomCallItem,
    InputItem,
    InputItems,
    ItemIn,
    MessageItem,
    OutputItem,
    PartIn,
    ReasoningItem,
)

_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fco",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
}


def kept_items(response_id: str, entries: Sequence[Entry]) -> list[ItemIn]:
    """The input with ids of our own: what a client calls its items is no key of ours."""
    stem = response_id.removeprefix("resp_")
    kept: list[ItemIn] = []
    for number, entry in enumerate(entries):
        kind = entry.item.type or "message"
        item_id = entry.item.id if entry.referred else f"{_PREFIXES[kind]}_{stem}_{number}"
        kept.append(msgspec.structs.replace(entry.item, type=kind, id=item_id))
    return kept


def as_input(item: OutputItem) -> ItemIn:
    """As a request would send it back."""
    match item:
        case MessageItem():
            parts = [PartIn("output_text", part.text) for part in item.content]
            return ItemIn("message", item.id, role=item.role, content=parts)
        case ReasoningItem():
            return ItemIn("reasoning", item.id, content=[PartIn("reasoning_text", part.text) for part in item.content])
    called = ItemIn(id=item.id, call_id=item.call_id, name=item.name, namespace=item.namespace or None)
    match item:
        case CallItem():
            return msgspec.structs.replace(called, type="function_call", arguments=item.arguments)
        case CustomCallItem():
            return msgspec.structs.replace(called, type="custom_tool_call", input=item.input)


def messages_of_answer(output: Sequence[OutputItem]) -> list[dict[str, Any]]:
    """What the assistant said, as a later request continues it: at least one message."""
    items = [as_input(item) for item in output]
    if all(item.type == "reasoning" for item in items):
        items.append(ItemIn(role="assistant", content=""))
    return messages_of([Entry(item, "output") for item in items])


def input_items(items: Sequence[ItemIn]) -> InputItems:
    """GET /v1/responses/{id}/input_items: everything on one page, the newest first."""
    listed = [_listed(item) for item in reversed(items)]
    first, last = (listed[0].id, listed[-1].id) if listed else (None, None)
    return InputItems(data=listed, first_id=first, last_id=last)


def _listed(item: ItemIn) -> InputItem:
    listed = InputItem(id=item.id or "", type=item.type or "message", status="completed")
    match listed.type:
        case "message":
            listed.role = item.role or "user"
            kind = "output_text" if item.role == "assistant" else "input_text"
            listed.content = [{"type": kind, "text": text_of(item.content)}]
        case "reasoning":
            listed.summary = []
            listed.content = [{"type": "reasoning_text", "text": text_of(item.content or item.summary)}]
        case "function_call" | "custom_tool_call":
            listed.call_id, listed.name = item.call_id or "", item.name or ""
            listed.namespace = item.namespace or UNSET
            if listed.type == "function_call":
                listed.arguments = arguments_of(item)
            else:
                listed.input = item.input or ""
        case "function_call_output" | "custom_tool_call_output":
            listed.call_id = item.call_id or ""
            listed.output = "" if isinstance(item.output, dict) else text_of(item.output)
    return listed
