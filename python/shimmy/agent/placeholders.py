"""`{{name}}` in texts: what it stands for."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from shimmy.agent.reference import parse_reference
from shimmy.agent.value_size import check_size
from shimmy.errors import ToolError

MAX_FILLED = 4 << 20
"""Characters that the placeholders of one value may come to."""

_PLACEHOLDER = re.compile(r"\{\{([^{}]*)\}\}")


def names_in(value: Any) -> set[str]:
    """The variables that the placeholders of a JSON value name. ToolError for one that names none."""
    return {
        name
        for text in _texts(value)
        for found in _PLACEHOLDER.finditer(text)
        for name in parse_reference(found[1]).names
    }


class Filling:
    """Puts values in the place of placeholders. What is put in is not looked at again."""

    def __init__(self, scope: Mapping[str, Any]) -> None:
        self._scope = scope
        self._texts: dict[str, str] = {}
        self._left = MAX_FILLED

    def fill(self, value: Any) -> Any:
        """`value` with its placeholders filled in: a text that is nothing but one becomes the value itself, of whatever
        type. ToolError for a name that is not there, and for texts that become too large.
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
            return parse_reference(whole[1]).spoken(self._scope)
        return self._fill_part(text)

    def _fill_part(self, text: str) -> str:
        return _PLACEHOLDER.sub(self._replacement, text)

    def _replacement(self, found: re.Match[str]) -> str:
        text = self._text_of(found[1])
        self._spend(len(text))
        return text

    def _text_of(self, reference: str) -> str:
        if reference not in self._texts:
            self._texts[reference] = _as_text(parse_reference(reference).spoken(self._scope))
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
