"""Ways into JSON values: a.b[0].c, as RFC 9535 (JSONPath) writes them, without its filters.

`name` and `['any name']` enter an object, `[0]` and `[-1]` a list, `[1:3]` takes a part of one, `[*]` or `.*` all that
is in it, `..name` all of that name at any depth. A leading `$` is the value itself and may be left out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeAlias

from shimmy.errors import ToolError

MAX_LENGTH = 1024
"""Characters of a path."""
MAX_VISITS = 200_000
"""Values that one search looks at."""


class Every(NamedTuple):
    """All members of a list or an object."""


class Deep(NamedTuple):
    """All members of that name, however deep."""

    name: str


Part: TypeAlias = str | int | slice | Every | Deep
"""A member's name, an index, or what may match several."""

_PART = re.compile(
    r"""\.\.(?P<deep>[^.\[\]\s]+)
      | \.?\[\s*(?:(?P<index>-?\d{1,9})
               | (?P<start>-?\d{1,9})?\s*:\s*(?P<stop>-?\d{1,9})?(?:\s*:\s*(?P<step>-?\d{1,9})?)?
               | (?P<all>\*)
               | "(?P<double>[^"]*)" | '(?P<single>[^']*)')\s*\]
      | \.?(?P<every>\*)
      | \.?(?P<name>[^.\[\]*\s][^.\[\]*]*)""",
    re.VERBOSE,
)


Spend: TypeAlias = Callable[[int], None]
"""Is told of steps as they are taken, and may raise to end the work."""


def for_nothing(steps: int) -> None:
    """The Spend of those who do not count."""


class ValuePath(NamedTuple):
    """A parsed path."""

    parts: tuple[Part, ...]

    @property
    def single(self) -> bool:
        """It leads to one value at most."""
        return all(isinstance(part, str | int) for part in self.parts)

    def get(self, value: Any, spend: Spend = for_nothing) -> Any:
        """The one value that a single path leads to; the list of all that another one finds. ToolError names the part
        that leads nowhere. `spend` is told the values that are looked at.
        """
        if not self.single:
            return self.find(value, spend)
        spend(len(self.parts))
        for part in self.parts:
            value = _member(value, part)
        return value

    def find(self, value: Any, spend: Spend = for_nothing) -> list[Any]:
        """Everything that it leads to, in the order of the value. ToolError when that is too much to look at. `spend`
        as for `get`.
        """
        found = [value]
        left = MAX_VISITS
        for part in self.parts:
            after: list[Any] = []
            for item in found:
                spend(1)
                for below in _matches(item, part):
                    spend(1)
                    left -= 1
                    if left < 0:
                        raise ToolError(f"the path leads to more than {MAX_VISITS} values")
                    if below is not _NONE:
                        after.append(below)
            found = after
        return found


_NONE = object()


def parse_path(text: str) -> ValuePath:
    """ToolError for what is no path."""
    if len(text) > MAX_LENGTH:
        raise ToolError(f"a path may have {MAX_LENGTH} characters, this one has {len(text)}")
    text = text.strip()
    at = 1 if text.startswith("$") else 0
    parts: list[Part] = []
    while at < len(text):
        found = _PART.match(text, at)
        if found is None or (at and found["name"] and text[at] not in "."):
            raise ToolError(f"{text!r} is not a path such as a.b[0] or $.items[*].name, from {text[at : at + 20]!r} on")
        parts.append(_part(found))
        at = found.end()
    return ValuePath(tuple(parts))


def _part(found: re.Match[str]) -> Part:
    if found["deep"] is not None:
        return Deep(found["deep"])
    if found["index"] is not None:
        return int(found["index"])
    if found["all"] or found["every"]:
        return Every()
    for name in ("double", "single", "name"):
        if found[name] is not None:
            return found[name].strip() if name == "name" else found[name]
    bounds = [None if found[name] is None else int(found[name]) for name in ("start", "stop", "step")]
    if bounds[2] == 0:
        raise ToolError("the step of a slice may not be 0")
    return slice(*bounds)


def _member(value: Any, part: Part) -> Any:
    if isinstance(part, str):
        if isinstance(value, dict) and part in value:
            return value[part]
        if isinstance(value, dict):
            raise ToolError(f"there is no {part!r}, there {_names(value)}")
        raise ToolError(f"there is no {part!r} in {kind_of(value)}")
    if not isinstance(value, list):
        raise ToolError(f"there is no [{part}] in {kind_of(value)}")
    try:
        return value[part]  # type: ignore[index]
    except IndexError:
        raise ToolError(f"there is no [{part}] in a list of {len(value)}") from None


def _matches(value: Any, part: Part) -> Iterable[Any]:
    """What a part leads to; _NONE counts a look that found nothing."""
    if isinstance(part, Every):
        return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if isinstance(part, slice):
        return value[part] if isinstance(value, list) else ()
    if isinstance(part, Deep):
        return _deep(value, part.name)
    try:
        return (_member(value, part),)
    except ToolError:
        return ()


def _deep(value: Any, name: str) -> Iterator[Any]:
    below = [value]
    while below:
        item = below.pop()
        if isinstance(item, dict):
            yield item.get(name, _NONE)
            below += reversed(item.values())
        elif isinstance(item, list):
            yield _NONE
            below += reversed(item)
        else:
            yield _NONE


def kind_of(value: Any) -> str:
    """What a JSON value is, in words."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true or false"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a text"
    return "a list" if isinstance(value, list) else "an object"


def _names(value: dict[str, Any], most: int = 10) -> str:
    if not value:
        return "is nothing"
    names = ", ".join(list(value)[:most])
    return f"are {names}, ..." if len(value) > most else f"are {names}" if len(value) > 1 else f"is {names}"
