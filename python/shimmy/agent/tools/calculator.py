"""Arithmetic, for models that cannot do it."""

from __future__ import annotations

import math
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shimmy.agent.expression import MAX_LENGTH, parse_expression
from shimmy.agent.functions import number
from shimmy.agent.tool import Tool
from shimmy.agent.value_path import kind_of
from shimmy.errors import ToolError

_CONSTANTS = {"pi": math.pi, "e": math.e, "tau": math.tau}


class Calculation(msgspec.Struct, forbid_unknown_fields=True):
    expression: Annotated[
        str,
        Meta(
            max_length=MAX_LENGTH,
            description="Such as (3 + 4) * 2 ** 10, sqrt(2) or max(1, 2.5); pi, e and tau are known.",
        ),
    ]


def calculate(calculation: Calculation) -> dict[str, Any]:
    value = parse_expression(calculation.expression).evaluate(_CONSTANTS)
    if isinstance(value, list | str | dict | None):
        raise ToolError(f"the expression came to {kind_of(value)}, not to a number")
    return {"expression": calculation.expression, "value": value if isinstance(value, bool) else number(value)}


calculator = Tool(
    "calculator",
    "Evaluate an arithmetic expression exactly: + - * / // % **, comparisons, and functions such as sqrt, sin, ln, "
    "round, min, max, sum, mean and factorial.",
    Calculation,
    calculate,
)
