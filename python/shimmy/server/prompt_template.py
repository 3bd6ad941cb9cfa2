"""The templates of Ollama's /api/generate: the part of Go's text/template that those for one prompt are written in.

Text with `{{ .System }}`, `{{ .Prompt }}` and `{{ .Response }}`; `{{ if }}`, `{{ else if }}`, `{{ else }}`, `{{ end }}`
over these and over `and`, `or`, `not`, `eq`, `ne` and quoted strings; comments; `{{-` and `-}}`, which take white space
away (pkg.go.dev/text/template, and Ollama's docs/template.md). Nothing loops or calls, so a template ends.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from shimmy.errors import InvalidRequestError

MAX_CHARACTERS = 64 * 1024
MAX_DEPTH = 32
"""Of conditions in each other, and of parentheses."""
GROWTH = 8
"""How often a rendered prompt may be as long as all that went in, beside 64 Ki characters."""

FIELDS = frozenset((".System", ".Prompt", ".Response"))

Values: TypeAlias = Mapping[str, str]
Value: TypeAlias = "str | bool"
_Test: TypeAlias = Callable[[Values], Value]

_SPACE = " \t\r\n"
_TOKEN = re.compile(
    r"""\s*(?:
        (?P<close>-\}\}|\}\})
      | (?P<comment>/\*(?:[^*]|\*(?!/))*\*/)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|`[^`]*`)
      | (?P<field>(?:\.[A-Za-z_]\w*)+)
      | (?P<word>[A-Za-z_]\w*)
      | (?P<mark>[()])
      | (?P<other>\S[^\s(){}]*)
    )""",
    re.VERBOSE | re.ASCII,
)


class PromptTemplate:
    """A parsed template. InvalidRequestError (param "template") for one that says anything else, naming it."""

    def __init__(self, source: str) -> None:
        if len(source) > MAX_CHARACTERS:
            raise _refused(f"it has {len(source)} characters, at most {MAX_CHARACTERS} are taken")
        self._nodes = _Parser(source).nodes()
        self._size = len(source)
        self.fields = {node for node in _walk(self._nodes) if isinstance(node, _Field)}

    def says(self, field: str) -> bool:
        """Whether it shows `.System`, `.Prompt` or `.Response` anywhere."""
        return any(found.name == field for found in self.fields)

    def turn(self, system: str, prompt: str, response: str) -> str:
        """A whole turn. Without `.Response` in the template the answer stands at its end."""
        values = {".System": system, ".Prompt": prompt, ".Response": response}
        return self._rendered(values, cut=False) + ("" if self.says(".Response") else response)

    def opening(self, system: str, prompt: str) -> str:
        """A turn up to where its answer is to stand."""
        return self._rendered({".System": system, ".Prompt": prompt, ".Response": ""}, cut=True)

    def _rendered(self, values: Values, *, cut: bool) -> str:
        """InvalidRequestError when it grows beyond what `GROWTH` allows."""
        left = GROWTH * (self._size + sum(map(len, values.values()))) + MAX_CHARACTERS
        parts: list[str] = []
        for node in _shown(_cut(self._nodes) if cut else self._nodes, values):
            parts.append(node if isinstance(node, str) else values[node.name])
            left -= len(parts[-1])
            if left < 0:
                raise _refused("what it makes of the prompt is too long")
        return "".join(parts)


class _Field(NamedTuple):
    name: str


class _If(NamedTuple):
    branches: list[tuple[_Test, list[_Node]]]
    """`else` is one that is always true."""


_Node: TypeAlias = "str | _Field | _If"


def _shown(nodes: Sequence[_Node], values: Values) -> Iterator[str | _Field]:
    for node in nodes:
        if isinstance(node, _If):
            taken = next((body for test, body in node.branches if test(values)), [])
            yield from _shown(taken, values)
        else:
            yield node


def _walk(nodes: Sequence[_Node]) -> Iterator[_Node]:
    for node in nodes:
        yield node
        if isinstance(node, _If):
            for _, body in node.branches:
                yield from _walk(body)


def _cut(nodes: Sequence[_Node]) -> list[_Node]:
    """Without `.Response` and all that is written behind it, as Ollama cuts it."""
    return _before_response(nodes)[0]


def _before_response(nodes: Sequence[_Node]) -> tuple[list[_Node], bool]:
    kept: list[_Node] = []
    for node in nodes:
        if node == _Field(".Response"):
            return kept, True
        if isinstance(node, _If):
            branches: list[tuple[_Test, list[_Node]]] = []
            found = False
            for test, body in node.branches:
                inner, found = ([], True) if found else _before_response(body)
                branches.append((test, inner))
            kept.append(_If(branches))
            if found:
                return kept, True
        else:
            kept.append(node)
    return kept, False


class _Token(NamedTuple):
    kind: str
    text: str


class _Parser:
    """Reads a template from its beginning to its end, once."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._at = 0
        self._trim = False

    def nodes(self) -> list[_Node]:
        top: list[_Node] = []
        current, above = top, list[tuple[_If, list[_Node]]]()
        while (action := self._next_action(current)) is not None:
            if not action:
                continue  # a comment
            word = action[0].text if action[0].kind == "word" else ""
            if word == "if":
                if len(above) == MAX_DEPTH:
                    raise _refused(f"conditions are nested more than {MAX_DEPTH} deep")
                node = _If([(_expression(action[1:], "if"), [])])
                current.append(node)
                above.append((node, current))
                current = node.branches[-1][1]
            elif word == "else":
                current = _else(action, above)
            elif word == "end":
                if not above or len(action) > 1:
                    raise _refused("{{ end }} stands alone, and closes an {{ if }}")
                current = above.pop()[1]
            else:
                current.append(_printed(action))
        if above:
            raise _refused("an {{ if }} has no {{ end }}")
        return top

    def _next_action(self, nodes: list[_Node]) -> list[_Token] | None:
        """The tokens between the next braces, after the text before them went to `nodes`. None at the end."""
        begin = self._source.find("{{", self._at)
        text = self._source[self._at : len(self._source) if begin < 0 else begin]
        trims = (
            begin >= 0 and self._source[begin + 2 : begin + 3] == "-" and self._source[begin + 3 : begin + 4] in _SPACE
        )
        text = text.lstrip(_SPACE) if self._trim else text
        text = text.rstrip(_SPACE) if trims else text
        if text:
            nodes.append(text)
        if begin < 0:
            return None
        self._at = begin + (3 if trims else 2)
        return self._tokens(self._source[begin : begin + 40])

    def _tokens(self, shown: str) -> list[_Token]:
        tokens: list[_Token] = []
        n_comments = 0
        while (match := _TOKEN.match(self._source, self._at)) is not None:
            kind = str(match.lastgroup)
            text = match.group(kind)
            spaced = match.start(kind) > self._at
            self._at = match.end()
            if kind == "close":
                self._trim = text.startswith("-")
                if self._trim and not spaced:
                    raise _refused(f"a space is missing before -}}}} in {shown!r}")
                if n_comments + len(tokens) == 0:
                    raise _refused("{{ }} says nothing")
                return tokens
            if kind == "other":
                raise _refused(f"{text!r} is not supported: {_ABOUT}")
            if kind == "comment":
                n_comments += 1
            else:
                tokens.append(_Token(kind, text))
        raise _refused(f"}}}} is missing behind {shown!r}")


_ABOUT = "only .System, .Prompt and .Response, if, else, end, and, or, not, eq, ne and quoted strings are"


def _else(action: list[_Token], above: list[tuple[_If, list[_Node]]]) -> list[_Node]:
    """The body of the next branch of the innermost condition."""
    if not above:
        raise _refused("{{ else }} without an {{ if }}")
    branches = above[-1][0].branches
    if branches[-1][0] is _always:
        raise _refused("{{ else }} behind an {{ else }}")
    if len(action) == 1:
        branches.append((_always, []))
    elif action[1] == _Token("word", "if"):
        branches.append((_expression(action[2:], "else if"), []))
    else:
        raise _refused(f"{action[1].text!r} behind else is not supported: {_ABOUT}")
    return branches[-1][1]


def _always(values: Values) -> bool:
    return True


def _printed(action: list[_Token]) -> str | _Field:
    first = action[0]
    if len(action) > 1 or first.kind not in ("field", "string"):
        shown = " ".join(token.text for token in action)
        raise _refused(f"{{{{ {shown} }}}} is not supported: {_ABOUT}")
    return _Field(_field(first.text)) if first.kind == "field" else _string(first.text)


def _expression(tokens: list[_Token], where: str) -> _Test:
    """What `if` is followed by, as a function of the values."""
    reader = _Expression(tokens, where)
    test = reader.operation(0)
    if reader.tokens:
        raise _refused(f"{reader.tokens[0].text!r} stands where {where} is over")
    return test


class _Expression:
    """Operations and what they are about, each read from the front of `tokens`."""

    def __init__(self, tokens: list[_Token], where: str) -> None:
        self.tokens = tokens[:]
        self._where = where

    def operation(self, depth: int) -> _Test:
        """A value, or a word with its values."""
        if not self.tokens:
            raise _refused(f"a condition is missing behind {self._where}")
        if self.tokens[0].kind != "word":
            return self._value(depth)
        word = self.tokens.pop(0).text
        if word not in _OPERATIONS:
            raise _refused(f"{word!r} is not supported: {_ABOUT}")
        values: list[_Test] = []
        while self.tokens and self.tokens[0].text != ")":
            values.append(self._value(depth))
        least, most, work = _OPERATIONS[word]
        if not least <= len(values) <= most:
            raise _refused(f"{word} has {len(values)} values in {self._where}")
        return lambda given: work([value(given) for value in values])

    def _value(self, depth: int) -> _Test:
        token = self.tokens.pop(0)
        if token.kind == "field":
            name = _field(token.text)
            return lambda given: given[name]
        if token.kind == "string":
            text = _string(token.text)
            return lambda given: text
        if token.text == "(":
            if depth == MAX_DEPTH:
                raise _refused(f"parentheses are nested more than {MAX_DEPTH} deep")
            inner = self.operation(depth + 1)
            if not self.tokens or self.tokens.pop(0).text != ")":
                raise _refused(f"a ) is missing in {self._where}")
            return inner
        raise _refused(f"{token.text!r} is not supported there: {_ABOUT}")


def _all(values: Sequence[Value]) -> Value:
    return next((value for value in values if not value), values[-1])


def _any(values: Sequence[Value]) -> Value:
    return next((value for value in values if value), values[-1])


def _equals_one(values: Sequence[Value]) -> bool:
    return any(values[0] == other for other in values[1:])


_OPERATIONS: dict[str, tuple[int, int, Callable[[Sequence[Value]], Value]]] = {
    "and": (1, 64, _all),
    "or": (1, 64, _any),
    "not": (1, 1, lambda values: not values[0]),
    "eq": (2, 64, _equals_one),
    "ne": (2, 2, lambda values: values[0] != values[1]),
}
"""Word -> how few and how many values it takes, and what it makes of them."""


def _field(name: str) -> str:
    if name not in FIELDS:
        hint = ": templates over messages are for /api/chat" if name in (".Messages", ".Tools") else f": {_ABOUT}"
        raise _refused(f"{name} is not supported{hint}")
    return name


def _string(quoted: str) -> str:
    """Go's strings in double quotes are written as Python's, as far as the escapes are known here."""
    if quoted[0] == "`":
        return quoted[1:-1]
    if re.search(r"\\[^abfnrtv\\\"uU]", re.sub(r"\\\\", "", quoted)):
        raise _refused(f"{quoted} has an unknown escape")
    try:
        text: Any = ast.literal_eval(quoted)
        str(text).encode()
    except (SyntaxError, ValueError):
        raise _refused(f"{quoted} is no string") from None
    return str(text)


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"template: {why}", "template")
