"""What expressions can call. Every function is pure, and bounded by the size of what it is given."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from shimmy.agent.value_path import kind_of
from shimmy.errors import ToolError

MAX_BITS = 4096
"""Of a whole number."""
MAX_TEXT = 1 << 20
"""Characters of a text that an expression may make."""


class Function(NamedTuple):
    """`call` takes between `least` and `most` values (None: any number)."""

    call: Callable[..., Any]
    least: int = 1
    most: int | None = 1


def number(value: Any) -> int | float:
    """The value, which must be a number. ToolError for others."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ToolError(f"a number is needed here, not {kind_of(value)}")
    return value


def same(one: Any, other: Any) -> bool:
    """Equal as JSON, also inside of lists and objects: true is not 1."""
    return _identity(one) == _identity(other)


def is_among(part: Any, items: list[Any]) -> bool:
    """One of the items is the `same`."""
    wanted = _identity(part)
    return any(_identity(item) == wanted for item in items)


def _identity(value: Any) -> Hashable:
    """Equal for what is the same, and for nothing else."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, list):
        return (list, tuple(map(_identity, value)))
    if isinstance(value, dict):
        return (dict, frozenset((key, _identity(item)) for key, item in value.items()))
    number_or_text: Hashable = value
    return number_or_text


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise ToolError(f"a text is needed here, not {kind_of(value)}")
    return value


def _items(value: Any) -> list[Any]:
    if not isinstance(value, list):
        raise ToolError(f"a list is needed here, not {kind_of(value)}")
    return value


def _numbers(values: tuple[Any, ...]) -> list[int | float]:
    """Those given, or those of the one list given."""
    found = values[0] if len(values) == 1 and isinstance(values[0], list) else values
    if not found:
        raise ToolError("at least one number is needed here")
    return [number(value) for value in found]


def _whole(value: Any, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise ToolError(f"a whole number from {least} to {most} is needed here")
    return value


def _real(function: Callable[..., float]) -> Callable[..., float]:
    return lambda *values: function(*map(number, values))


def _sorted(value: Any) -> list[Any]:
    items = _items(value)
    if len({isinstance(item, str) for item in items}) > 1:
        raise ToolError("only numbers or only texts can be sorted")
    return sorted(items) if items and isinstance(items[0], str) else sorted(items, key=number)


def _size(value: Any) -> int:
    if isinstance(value, str | list | dict):
        return len(value)
    raise ToolError(f"{kind_of(value)} has no length")


def _contains(whole: Any, part: Any) -> bool:
    if isinstance(whole, str):
        return _text(part) in whole
    if isinstance(whole, list | dict):
        return is_among(part, whole) if isinstance(whole, list) else isinstance(part, str) and part in whole
    raise ToolError(f"{kind_of(whole)} contains nothing")


def _to_number(value: Any) -> int | float:
    if not isinstance(value, str):
        return number(value)
    for convert in (int, float):
        try:
            found: int | float = convert(value.strip()[:400])
        except ValueError:
            continue
        if math.isfinite(found) if isinstance(found, float) else found.bit_length() <= MAX_BITS:
            return found
    raise ToolError(f"{value[:40]!r} is not a number")


def _round(value: Any, digits: Any = 0) -> int | float:
    rounded = round(number(value), _whole(digits, -300, 300))
    return int(rounded) if digits <= 0 else rounded


def _join(items: Any, by: Any) -> str:
    texts = [_text(item) for item in _items(items)]
    if sum(map(len, texts)) + len(_text(by)) * max(0, len(texts) - 1) > MAX_TEXT:
        raise ToolError(f"the result has more than {MAX_TEXT} characters")
    return str(by.join(texts))


def _unique(value: Any) -> list[Any]:
    seen: dict[Hashable, Any] = {}
    for item in _items(value):
        seen.setdefault(_identity(item), item)
    return list(seen.values())


def _end(value: Any, index: int) -> Any:
    items = _items(value)
    if not items:
        raise ToolError("the list is empty")
    return items[index]


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ToolError(f"an object is needed here, not {kind_of(value)}")
    return value


FUNCTIONS: dict[str, Function] = {
    "abs": Function(lambda value: abs(number(value))),
    "ceil": Function(lambda value: math.ceil(number(value))),
    "floor": Function(lambda value: math.floor(number(value))),
    "round": Function(_round, 1, 2),
    "sqrt": Function(_real(math.sqrt)),
    "exp": Function(_real(math.exp)),
    "ln": Function(_real(math.log)),
    "log": Function(_real(math.log), 1, 2),
    "log2": Function(_real(math.log2)),
    "log10": Function(_real(math.log10)),
    "sin": Function(_real(math.sin)),
    "cos": Function(_real(math.cos)),
    "tan": Function(_real(math.tan)),
    "asin": Function(_real(math.asin)),
    "acos": Function(_real(math.acos)),
    "atan": Function(_real(math.atan)),
    "atan2": Function(_real(math.atan2), 2, 2),
    "degrees": Function(_real(math.degrees)),
    "radians": Function(_real(math.radians)),
    "hypot": Function(_real(math.hypot), 1, None),
    "factorial": Function(lambda value: math.factorial(_whole(value, 0, 400))),
    "gcd": Function(lambda one, other: math.gcd(_whole(one, 0, 1 << 64), _whole(other, 0, 1 << 64)), 2, 2),
    "min": Function(lambda *values: min(_numbers(values)), 1, None),
    "max": Function(lambda *values: max(_numbers(values)), 1, None),
    "sum": Function(lambda *values: sum(_numbers(values)) if values != ([],) else 0, 1, None),
    "mean": Function(lambda *values: statistics.fmean(_numbers(values)), 1, None),
    "median": Function(lambda *values: statistics.median(_numbers(values)), 1, None),
    "len": Function(_size),
    "number": Function(_to_number),
    "lower": Function(lambda value: _text(value).lower()),
    "upper": Function(lambda value: _text(value).upper()),
    "trim": Function(lambda value: _text(value).strip()),
    "contains": Function(_contains, 2, 2),
    "starts_with": Function(lambda value, start: _text(value).startswith(_text(start)), 2, 2),
    "ends_with": Function(lambda value, end: _text(value).endswith(_text(end)), 2, 2),
    "split": Function(lambda value, by: _text(value).split(_text(by) or None), 2, 2),
    "join": Function(_join, 2, 2),
    "keys": Function(lambda value: list(_object(value))),
    "values": Function(lambda value: list(_object(value).values())),
    "first": Function(lambda value: _end(value, 0)),
    "last": Function(lambda value: _end(value, -1)),
    "sort": Function(_sorted),
    "reverse": Function(lambda value: value[::-1] if isinstance(value, str) else _items(value)[::-1]),
    "unique": Function(_unique),
}
