"""What an input holds: its items, those that it refers to in their places, and tools that came along."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.responses import ItemIn, ToolFlat

REPORTS = frozenset(
    {
        "apply_patch_call",
        "apply_patch_call_output",
        "code_interpreter_call",
        "computer_call",
        "computer_call_output",
        "file_search_call",
        "image_generation_call",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)
"""Items that tell what OpenAI's own tools did, which no function of a local model did."""

Find: TypeAlias = Callable[[str, str], ItemIn]
"""The stored item of an id; the second is where the request names it, for errors."""


class Entry(NamedTuple):
    """One item that is said."""

    item: ItemIn
    place: str
    """In the request, for errors: input[0]."""
    referred: bool = False
    """It is a stored one, whose id it keeps."""


class PlacedTool(NamedTuple):
    tool: ToolFlat
    place: str
    """In the request, for errors: tools[0]."""


class ResponseInput(NamedTuple):
    entries: list[Entry]
    tools: list[PlacedTool]
    """Of items `additional_tools`."""
    left_out: list[str]
    """Kinds of items, of `REPORTS`."""


def read_input(given: str | Sequence[ItemIn] | None, find: Find, known: Collection[str]) -> ResponseInput:
    """`known` are ids of items that the conversation has already: references do not repeat these, nor each other.

    InvalidRequestError and what `find` raises name the item at fault.
    """
    read = ResponseInput([], [], [])
    if isinstance(given, str):
        read.entries.append(Entry(ItemIn(role="user", content=given), "input"))
        return read
    said = set(known)
    for index, item in enumerate(given or ()):
        place = f"input[{index}]"
        if _refers(item):
            if not item.id:
                raise InvalidRequestError(f"{place}.id is required", f"{place}.id")
            if item.id not in said:
                read.entries.append(Entry(find(item.id, f"{place}.id"), place, referred=True))
        elif item.type == "additional_tools":
            tools = enumerate(item.tools or ())
            read.tools.extend(PlacedTool(tool, f"{place}.tools[{number}]") for number, tool in tools)
        elif item.type in REPORTS:
            read.left_out.append(item.type)
        else:
            read.entries.append(Entry(item, place))
        if item.id:
            said.add(item.id)
    return read


def _refers(item: ItemIn) -> bool:
    if item.type is None:
        return item.id is not None and item.role is None and item.content is None
    return item.type == "item_reference"
