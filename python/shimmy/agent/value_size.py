"""How large a JSON value is, before anything is made of it."""

from __future__ import annotations

from typing import Any

from shimmy.errors import ToolError

MAX_DEPTH = 200
"""Lists and objects inside of each other."""


def check_size(value: Any, most: int, what: str) -> None:
    """ToolError when `value` has more than `most` characters and members together, or is nested too deeply.

    A part that is there twice counts twice, as it would in JSON; no more than `most` of it is looked at.
    """
    left = most
    level = [value]
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            left -= _own_size(item)
            if left < 0:
                raise ToolError(f"{what} has more than {most} characters and members")
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        if not below:
            return
        level = below
    raise ToolError(f"{what} is nested more than {MAX_DEPTH} levels deep")


def _own_size(item: Any) -> int:
    """Without what its members hold, but with one for each: no level that is looked at is larger than `most`."""
    if isinstance(item, str):
        return 1 + len(item)
    if isinstance(item, dict):
        return 1 + len(item) + sum(len(key) for key in item if isinstance(key, str))
    return 1 + len(item) if isinstance(item, list) else 1
