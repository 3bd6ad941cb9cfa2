"""The items of an input, with those that it refers to in their places."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import NamedTuple, TypeAlias

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.responses import ItemIn

Find: TypeAlias = Callable[[str, str], ItemIn]
"""The stored item of an id; the second is where the request names it, for errors."""


class Entry(NamedTuple):
    """One item that is said."""

    item: ItemIn
    place: str
    """In the request, for errors: input[0]."""
    referred: bool = False
    """It is a stored one, whose id it keeps."""


def entries_of(given: str | Sequence[ItemIn] | None, find: Find, known: Collection[str]) -> list[Entry]:
    """`known` are ids of items that the conversation has already: references do not repeat these, nor each other.

    InvalidRequestError and what `find` raises name the item at fault.
    """
    if given is None:
        return []
    if isinstance(given, str):
        return [Entry(ItemIn(role="user", content=given), "input")]
    entries: list[Entry] = []
    said = set(known)
    for index, item in enumerate(given):
        place = f"input[{index}]"
        if _refers(item):
            if not item.id:
                raise InvalidRequestError(f"{place}.id is required", f"{place}.id")
            if item.id not in said:
                entries.append(Entry(find(item.id, f"{place}.id"), place, referred=True))
        else:
            entries.append(Entry(item, place))
        if item.id:
            said.add(item.id)
    return entries


def _refers(item: ItemIn) -> bool:
    if item.type is None:
        return item.id is not None and item.role is None and item.content is None
    return item.type == "item_reference"
