"""The input of a stored response, in the form in which OpenAI lists it."""

from __future__ import annotations

from typing import Any

from shimmy.server.response_store import StoredResponse
from shimmy.server.schemas.responses import InputItem, InputItems


def input_items(stored: StoredResponse) -> InputItems:
    """GET /v1/responses/{id}/input_items: everything on one page, the newest first."""
    items = [item for number, message in enumerate(stored.given) for item in _items(stored, message, number)]
    items.reverse()
    first, last = (items[0].id, items[-1].id) if items else (None, None)
    return InputItems(data=items, first_id=first, last_id=last)


def _items(stored: StoredResponse, message: dict[str, Any], number: int) -> list[InputItem]:
    stem = f"{stored.response.id.removeprefix('resp_')}_{number}"
    if message["role"] == "tool":
        output = InputItem(id=f"fco_{stem}", type="function_call_output", call_id=message["tool_call_id"])
        output.output = message["content"]
        return [output]
    items: list[InputItem] = []
    if message["content"] is not None:
        kind = "output_text" if message["role"] == "assistant" else "input_text"
        content = [{"type": kind, "text": message["content"]}]
        items.append(
            InputItem(id=f"msg_{stem}", type="message", role=message["role"], status="completed", content=content)
        )
    for index, call in enumerate(message.get("tool_calls", ())):
        function = call["function"]
        item = InputItem(id=f"fc_{stem}_{index}", type="function_call", call_id=call["id"], name=function["name"])
        item.arguments = function["arguments"]
        items.append(item)
    return items
