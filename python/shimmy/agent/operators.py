"""What the operators of expressions do, within bounds: no result may be huge, whatever it is made of."""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from typing import Any

from shimmy.agent.functions import MAX_BITS, MAX_TEXT, is_among, number, same
from shimmy.agent.value_path import kind_of
from shimmy.errors import ToolError

MAX_LIST = 100_000
"""Members of a list that it may make."""


def bounded(value: Any) -> Any:
    """A result as it is. ToolError for one that is too large, or no finite number."""
    if isinstance(value, float) and not math.isfinite(value):
        raise ToolError("the result is not a finite number")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise ToolError(f"the result has more than {MAX_BITS} bits")
    if isinstance(value, str) and len(value) > MAX_TEXT:
        raise ToolError(f"the result has more than {MAX_TEXT} characters")
    if isinstance(value, list) and len(value) > MAX_LIST:
        raise ToolError(f"the result has more than {MAX_LIST} members")
    return value


def _add(one: Any, other: Any) -> Any:
    if isinstance(one, str) and isinstance(other, str):
        return one + other
    if isinstance(one, list) and isinstance(other, list):
        return one + other
    return number(one) + number(other)


def _divide(one: Any, other: Any) -> Any:
    one, other = number(one), number(other)
    if isinstance(one, int) and isinstance(other, int) and other and one % other == 0:
        return one // other
    return one / other


def _power(base: Any, exponent: Any) -> Any:
    base, exponent = number(base), number(exponent)
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) > 1 and base.bit_length() * exponent > 2 * MAX_BITS:
            raise ToolError(f"the result has more than {MAX_BITS} bits")
        return base**exponent
    result = float(base) ** exponent
    if isinstance(result, complex):
        raise ToolError("a negative number has no such power")
    return result


def _contained(part: Any, whole: Any) -> bool:
    if isinstance(whole, str):
        return isinstance(part, str) and part in whole
    if isinstance(whole, list):
        return is_among(part, whole)
    if isinstance(whole, dict):
        return isinstance(part, str) and part in whole
    raise ToolError(f"{kind_of(whole)} contains nothing")


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any, Any], bool]:
    def call(one: Any, other: Any) -> bool:
        if isinstance(one, str) and isinstance(other, str):
            return compare(one, other)
        return compare(number(one), number(other))

    return call


BINARY: dict[str, Callable[[Any, Any], Any]] = {
    "+": _add,
    "-": lambda one, other: number(one) - number(other),
    "*": lambda one, other: number(one) * number(other),
    "/": _divide,
    "//": lambda one, other: number(one) // number(other),
    "%": lambda one, other: number(one) % number(other),
    "**": _power,
    "==": same,
    "!=": lambda one, other: not same(one, other),
    "<": _ordered(operator.lt),
    "<=": _ordered(operator.le),
    ">": _ordered(operator.gt),
    ">=": _ordered(operator.ge),
    "in": _contained,
    "not in": lambda part, whole: not _contained(part, whole),
}
