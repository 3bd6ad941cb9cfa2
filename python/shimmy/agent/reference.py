"""A variable by name, or a way into its value: `name`, `name.way.into[0]`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from shimmy.agent.value_path import Spend, ValuePath, for_nothing, parse_path
from shimmy.errors import ToolError

LLM_RESULT = "llm_generation"
"""The `type` of what an llm step results in."""


class Reference(NamedTuple):
    """A name may hold any character, so the whole text is tried as one before it is read as a path."""

    text: str
    path: ValuePath

    @property
    def names(self) -> list[str]:
        """The variables that it may look up."""
        first = self.path.parts[0]
        return [self.text, *([first] if isinstance(first, str) and first != self.text else [])]

    def get(self, scope: Mapping[str, Any], spend: Spend = for_nothing) -> Any:
        """The value. ToolError says what is not there. `spend` is told the steps that it takes."""
        if self.text in scope:
            return scope[self.text]
        root, *rest = self.path.parts
        if not isinstance(root, str):
            spend(len(scope))
            return self.path.get(dict(scope), spend)
        if root not in scope:
            known = ", ".join(list(scope)[:20]) or "none"
            raise ToolError(f"there is no variable {root!r}; there are {known}")
        return ValuePath(tuple(rest)).get(scope[root], spend)

    def spoken(self, scope: Mapping[str, Any], spend: Spend = for_nothing) -> Any:
        """As `get`, but what an llm step resulted in is its text: that is what it is named for."""
        value = self.get(scope, spend)
        if isinstance(value, dict) and value.get("type") == LLM_RESULT and isinstance(value.get("text"), str):
            return value["text"]
        return value


def parse_reference(text: str) -> Reference:
    """ToolError for what names nothing."""
    text = text.strip()
    path = parse_path(text)
    if not path.parts:
        raise ToolError(f"{text!r} names no variable")
    return Reference(text, path)
