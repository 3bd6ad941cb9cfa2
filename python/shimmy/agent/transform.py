"""The work of a data_transform step: taking values apart and putting them together."""

from __future__ import annotations

from collections import ChainMap
from typing import Any, Literal

import msgspec
from msgspec import UNSET

from shimmy.agent.evaluation import Evaluation
from shimmy.agent.expression import parse_expression, truth, weight_of
from shimmy.agent.placeholders import Filling, names_in
from shimmy.agent.reference import parse_reference
from shimmy.agent.value_path import kind_of, parse_path
from shimmy.errors import ToolError

MAX_ITEMS = 10_000
"""Members of a list that is filtered, mapped or reduced."""
_OWN = {"item", "index", "acc"}


class Transform(msgspec.Struct, forbid_unknown_fields=True):
    """Parameters of a data_transform step.

    extract takes the path `expression` out of `input`, or out of all variables. The others go through the list `input`
    with `item` and `index` as further variables: filter keeps the members for which `expression` is true, map makes a
    list of what it comes to, reduce puts it into `acc`, which begins as `initial`, or else as the first member.
    """

    operation: Literal["extract", "filter", "map", "reduce"]
    expression: str
    input: Any = UNSET
    initial: Any = UNSET

    def names(self) -> set[str]:
        """The variables that it looks up. ToolError for what cannot be done with any values."""
        named = set() if self.input is UNSET else names_in(self.input)
        if self.operation == "extract":
            if self.input is not UNSET:
                parse_path(self._path)
                return named
            return named | set(parse_reference(self._path).names)
        if self.input is UNSET:
            raise ToolError(f"{self.operation} needs input, a list or a placeholder of one")
        return named | (parse_expression(self.expression).names - _OWN)

    def run(self, evaluation: Evaluation) -> Any:
        """The result. ToolError says why there is none."""
        scope, spend = evaluation.scope, evaluation.spend
        given = UNSET if self.input is UNSET else Filling(evaluation).fill(self.input)
        if self.operation == "extract":
            path = self._path
            return parse_reference(path).get(scope, spend) if given is UNSET else parse_path(path).get(given, spend)
        if not isinstance(given, list):
            raise ToolError(f"{self.operation} needs a list as input, not {kind_of(given)}")
        if len(given) > MAX_ITEMS:
            raise ToolError(f"input has {len(given)} members, the limit is {MAX_ITEMS}")
        return self._through(given, evaluation)

    @property
    def _path(self) -> str:
        """The path, also when it stands in braces."""
        text = self.expression.strip()
        return text[2:-2] if text.startswith("{{") and text.endswith("}}") else text

    def _through(self, items: list[Any], evaluation: Evaluation) -> Any:
        expression = parse_expression(self.expression)
        start = 1 if self.operation == "reduce" and self.initial is UNSET else 0
        if start and not items:
            raise ToolError("the list is empty, and there is no initial value")
        acc = items[0] if start else self.initial
        made: list[Any] = []
        variables = dict(evaluation.scope)
        for index, item in enumerate(items[start:], start):
            own = {"item": item, "index": index} | ({"acc": acc} if self.operation == "reduce" else {})
            value = expression.evaluate(ChainMap(own, variables), evaluation)
            evaluation.spend(weight_of(value))
            if self.operation == "reduce":
                acc = value
            elif self.operation == "map":
                made.append(value)
            elif truth(value):
                made.append(item)
        return acc if self.operation == "reduce" else made
