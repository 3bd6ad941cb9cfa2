"""llama.cpp's grammars of tool calls, held to what was asked for: calls and nothing else, and as many as may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
# What names of rules cannot hold: llama.cpp writes "-" for it.
_UNWRITABLE = re.compile(r"[^a-zA-Z0-9-]+")

# Triggers of llama.cpp that depend on how a text is cut into tokens, or that match text in front of what the grammar
# begins with, and those that do neither.
_WHOLE_TRIGGERS = {
    r"^\s+to$": r"^(\s+to)(?:=|$)",
    r"^<\|channel\|>(?:commentary|analysis)\s+to=functions$": (
        r"^(<\|channel\|>(?:commentary|analysis)\s+to=functions)(?:\.|$)"
    ),
    ">>>(?!all)": r"(?:^|>>>)((?!all\n)[^\n>]+\n)",
}


def whole_triggers(triggers: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A lazy grammar's (kind, value) pairs so that what they match is what the grammar begins with, however the text is
    cut into tokens.
    """
    return [(kind, _WHOLE_TRIGGERS.get(value, value)) for kind, value in triggers]


def check_names(tools: Sequence[dict[str, Any]]) -> None:
    """InvalidRequestError for tools that the grammar could not tell from its own rules, whose calls would begin over
    and over or have another's arguments, or from each other: of these only one could be called.
    """
    written: dict[str, str] = {}
    for tool in tools:
        function = tool.get("function")
        name = function.get("name") if isinstance(function, dict) else None
        if not isinstance(name, str):
            continue  # whoever renders them says what is wrong
        if name in _TAKEN:
            raise InvalidRequestError(f"a tool cannot be named {name!r}: give it a longer name", "tools")
        other = written.setdefault(_written(name), name)
        if other != name:
            raise InvalidRequestError(
                f"the tools {other!r} and {name!r} differ only in what is no ASCII letter or digit: rename one", "tools"
            )
    for tool in tools:
        for rule, name in _clashes(tool, written):
            raise InvalidRequestError(
                f"the tool {name!r} is named as the grammar's rule for {rule} of the tool "
                f"{tool['function']['name']!r}: rename one",
                "tools",
            )


def _clashes(tool: dict[str, Any], written: dict[str, str]) -> Iterator[tuple[str, str]]:
    """Names of other tools that the rules of this one's arguments have, with what these rules are about. Of "tool-X"
    that is "tool-X-schema", of its parameter P "tool-X-schema-P" and "tool-X-arg-P", and more below these two.
    """
    function = tool.get("function")
    if not isinstance(function, dict) or not isinstance(function.get("name"), str):
        return
    own = _written(function["name"])
    if f"{own}-schema" in written:
        yield "the arguments", written[f"{own}-schema"]
    parameters = function.get("parameters")
    properties = parameters.get("properties") if isinstance(parameters, dict) else None
    for parameter in properties if isinstance(properties, dict) else ():
        for rule in (f"{own}-schema-{_written(parameter)}", f"{own}-arg-{_written(parameter)}"):
            for other, name in written.items():
                if other == rule or other.startswith(f"{rule}-"):
                    yield f"the parameter {parameter!r}", name


def _written(name: str) -> str:
    return _UNWRITABLE.sub("-", name)


def calls_at_once(gbnf: str) -> str | None:
    """A grammar of required calls without the text before them; reasoning stays. None for a grammar of another form."""
    changed, found = _ROOT.subn(lambda root: root["prompt"] + (root["reasoning"] or ""), gbnf)
    return changed if found else None


def whole_calls(gbnf: str, *, parallel: bool) -> str:
    """The grammar with at least one call where it lists calls, and with exactly one unless `parallel`."""
    return _LIST.sub(r"tool-calls ::= (tool-call\1)+" if parallel else r"tool-calls ::= tool-call\1", gbnf)
