"""A custom tool of Responses takes text: a function with one string stands for it, and here is the way back."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.responses import CustomFormat

PARAMETERS: dict[str, Any] = {
    "type": "object",
    "properties": {"input": {"type": "string", "description": "What the tool gets, as plain text."}},
    "required": ["input"],
    "additionalProperties": False,
}

_HEAD = re.compile(r'\s*\{\s*"input"\s*:\s*"')
_TEXT = re.compile(
    r'(?:[^"\\]|\\["\\/bfnrt]|\\u(?![dD][89a-fA-F])[0-9a-fA-F]{4}'
    r"|\\u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2})+"
)


def custom_arguments(text: str) -> str:
    """The arguments of the function."""
    return msgspec.json.encode({"input": text}).decode()


def described(description: str | None, form: CustomFormat | None, place: str) -> str | None:
    """What the model reads of the tool: a grammar is told, not enforced."""
    if form is None or form.type == "text":
        return description
    if form.type != "grammar":
        raise InvalidRequestError(
            f"{place}.format.type must be text or grammar, got {form.type!r}", f"{place}.format.type"
        )
    if not form.definition:
        raise InvalidRequestError(f"{place}.format.definition is required", f"{place}.format.definition")
    rule = f"The input has to match this {form.syntax or 'lark'} grammar:\n{form.definition}"
    return f"{description}\n\n{rule}" if description else rule


class CustomInput:
    """The text in the function's arguments, while their JSON arrives.

    Arguments that are something else than the one string become the text as they are.
    """

    def __init__(self) -> None:
        self._pending = ""
        self._begun = False

    def add(self, fragment: str) -> str:
        """What is known of the text now, behind what was told before."""
        self._pending += fragment
        if not self._begun and (head := _HEAD.match(self._pending)):
            self._begun, self._pending = True, self._pending[head.end() :]
        text = _TEXT.match(self._pending) if self._begun else None
        if text is None:
            return ""
        self._pending = self._pending[text.end() :]
        return str(json.loads(f'"{text[0]}"', strict=False))

    def rest(self) -> str:
        """What is left when nothing follows; an escape that is none, or was cut, stays as it is."""
        if self._begun:
            return "" if self._pending.startswith('"') else self._pending
        try:
            told = msgspec.json.decode(self._pending, type=dict[str, Any]).get("input")
        except (msgspec.MsgspecError, RecursionError):
            told = None
        return told if isinstance(told, str) else self._pending
