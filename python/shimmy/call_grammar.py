"""llama.cpp's grammars of tool calls, held to what was asked for: calls and nothing else, and as many as may be."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from shimmy.errors import InvalidRequestError

# Its parser takes text before a call, so its grammar of required calls allows it too, without end.
_ROOT = re.compile(
    r'^(?P<prompt>root ::= (?:"(?:[^"\\]|\\.)*" )?)'
    r"(?:(?P<reasoning>space \(.*\)\? )|space )?until-\d+\? (?=tool-calls?$)",
    re.MULTILINE,
)
# Of dialects that mark each call: their list may be empty, and long.
_LIST = re.compile(r"^tool-calls ::= \(tool-call\??( space)?\)\+$", re.MULTILINE)

# The rule of a tool is called "tool-" and its name, and these two are rules of the calls themselves.
_TAKEN = ("call", "calls")


def check_names(tools: Sequence[dict[str, Any]]) -> None:
    """InvalidRequestError for a tool whose name the grammar needs: its calls would begin over and over."""
    for tool in tools:
        function = tool.get("function")
        if isinstance(function, dict) and function.get("name") in _TAKEN:
            raise InvalidRequestError(f"a tool cannot be named {function['name']!r}: give it a longer name", "tools")


def calls_at_once(gbnf: str) -> str | None:
    """A grammar of required calls without the text before them; reasoning stays. None for a grammar of another form."""
    changed, found = _ROOT.subn(lambda root: root["prompt"] + (root["reasoning"] or ""), gbnf)
    return changed if found else None


def whole_calls(gbnf: str, *, parallel: bool) -> str:
    """The grammar with at least one call where it lists calls, and with exactly one unless `parallel`."""
    return _LIST.sub(r"tool-calls ::= (tool-call\1)+" if parallel else r"tool-calls ::= tool-call\1", gbnf)
