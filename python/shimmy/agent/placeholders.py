"""`{{name}}` in texts: what it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec

from shimmy.agent.evaluation import Evaluation
from shimmy.agent.reference import parse_reference
from shimmy.agent.value_size import check_size
from shimmy.errors import ToolError

MAX_FILLED = 4 << 20
"""Characters that the placeholders of one value may come to."""

MAX_PLACEHOLDERS = 10_000
"""In one value."""

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def names_in(value: Any) -> set[str]:
    """The variables that the placeholders of a JSON value name. ToolError for one that names none, and for too many."""
    references: set[str] = set()
    left = MAX_PLACEHOLDERS
    for text in _texts(value):
        for found in _PLACEHOLDER.finditer(text):
            left -= 1
            if left < 0:
                raise ToolError(f"there are more than {MAX_PLACEHOLDERS} placeholders: split the step")
            references.add(found[1])
    return {name for reference in references for name in parse_reference(reference).names}


class Filling:
    """Puts values in the place of placeholders. What is put in is not looked at again."""

    def __init__(self, evaluation: Evaluation) -> None:
        self._evaluation = evaluation
        self._values: dict[str, Any] = {}
        self._texts: dict[str, str] = {}
        self._left = MAX_FILLED

    def fill(self, value: Any) -> Any:
        """`value` with its placeholders filled in: a text that is nothing but one becomes the value itself, of whatever
        type. ToolError for a name that is not there, for texts that become too large, and for too much work.
        """
        if isinstance(value, str):
            return self._fill_text(value)
        if isinstance(value, list):
            return [self.fill(item) for item in value]
        if isinstance(value, dict):
            return {self._fill_part(key): self.fill(item) for key, item in value.items()}
        return value

    def _fill_text(self, text: str) -> Any:
        whole = _PLACEHOLDER.fullmatch(text.strip())
        if whole is not None:
            self._spend(len(self._text_of(whole[1])))
            return self._value_of(whole[1])
        return self._fill_part(text)

    def _fill_part(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        text = self._text_of(found[1])
        self._spend(len(text))
        return text

    def _value_of(self, reference: str) -> Any:
        if reference not in self._values:
            self._evaluation.spend(1)
            parsed = parse_reference(reference)
            self._values[reference] = parsed.spoken(self._evaluation.scope, self._evaluation.spend)
        return self._values[reference]

    def _text_of(self, reference: str) -> str:
        if reference not in self._texts:
            self._texts[reference] = _as_text(self._value_of(reference))
        return self._texts[reference]

    def _spend(self, characters: int) -> None:
        self._left -= characters
        if self._left < 0:
            raise ToolError(f"the placeholders come to more than {MAX_FILLED} characters")


def _as_text(value: Any) -> str:
    """A value inside of a text: a text as it is, JSON of everything else."""
    if isinstance(value, str):
        return value
    check_size(value, MAX_FILLED, "the value of a placeholder")
    return msgspec.json.encode(value).decode()


def _texts(value: Any) -> Iterator[str]:
    below = [value]
    while below:
        item = below.pop()
        if isinstance(item, str):
            yield item
        elif isinstance(item, list):
            below += item
        elif isinstance(item, dict):
            below += item.keys()
            below += item.values()
