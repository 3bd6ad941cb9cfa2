"""A small language for values: arithmetic, comparisons, texts, lists and ways into JSON.

`price * 1.19`, `len(items) > 3 and kind == "book"`, `item.name in {{step_find.names}}`. Names are looked up in a scope;
`{{...}}` names a value whose name has other characters. Nothing here can loop, assign, or reach Python's objects, and
length, nesting, steps and the size of every result are bounded.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeAlias

from shimmy.agent.evaluation import MAX_STEPS, Evaluation
from shimmy.agent.functions import FUNCTIONS, Function, number
from shimmy.agent.operators import BINARY, bounded
from shimmy.agent.reference import parse_reference
from shimmy.agent.value_path import kind_of
from shimmy.errors import ToolError

MAX_LENGTH = 4096
"""Characters of an expression."""
MAX_DEPTH = 50
"""Of nested parentheses, calls and operators."""

_TOKEN = re.compile(
    r"""\s*(?:(?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?)
      | (?P<text>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*')
      | \{\{(?P<reference>[^{}]*)\}\}
      | (?P<name>[^\W\d]\w*)
      | (?P<mark>\*\*|//|==|!=|<=|>=|&&|\|\||[-+*/%^<>!()\[\],.$])
      | (?P<end>$))""",
    re.VERBOSE | re.DOTALL,
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r"}
_SAME = {"^": "**", "&&": "and", "||": "or", "!": "not"}
_COMPARING = ("==", "!=", "in", "not in")
_WORDS = {"true": True, "false": False, "null": None, "True": True, "False": False, "None": None}
_LEVELS = (("==", "!=", "<", "<=", ">", ">=", "in", "not in"), ("+", "-"), ("*", "/", "//", "%"))


Node: TypeAlias = Callable[[Evaluation], Any]


class Expression(NamedTuple):
    """A parsed expression; `names` are those that it looks up in its scope."""

    text: str
    node: Node
    names: frozenset[str]

    def evaluate(self, scope: Mapping[str, Any], evaluation: Evaluation | None = None) -> Any:
        """Its value. ToolError when it has none; `evaluation` shares its steps among several calls."""
        evaluation = evaluation or Evaluation(scope)
        before, evaluation.scope = evaluation.scope, scope
        try:
            return self.node(evaluation)
        except ZeroDivisionError:
            raise ToolError("division by zero") from None
        except OverflowError:
            raise ToolError("the result is too large") from None
        except ValueError as error:
            raise ToolError(f"no result: {error}") from None
        except RecursionError:
            raise ToolError("a value is nested too deeply") from None
        finally:
            evaluation.scope = before


def parse_expression(text: str) -> Expression:
    """ToolError says where it is wrong."""
    if len(text) > MAX_LENGTH:
        raise ToolError(f"an expression may have {MAX_LENGTH} characters, this one has {len(text)}")
    parser = _Parser(text)
    return Expression(text, parser.whole(), frozenset(parser.names))


class _Parser:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._depth = 0
        self.names: set[str] = set()
        self._kind = ""
        self._token = ""
        self._next()

    def whole(self) -> Node:
        node = self._or()
        if self._kind != "end":
            raise self._error("an operator or the end")
        return node

    def _next(self) -> None:
        found = _TOKEN.match(self._text, self._at)
        if found is None:
            self._token = self._text[self._at :].strip()[:1]
            raise self._error("a number, a text in quotes, a name or an operator")
        self._kind = found.lastgroup or ""
        token = found[self._kind]
        self._begin = found.start(self._kind)
        self._token = _SAME.get(token, token) if self._kind == "mark" else token
        self._at = found.end()

    def _error(self, wanted: str) -> ToolError:
        what = repr(self._token) if self._token else "its end"
        return ToolError(f"the expression {self._text[:80]!r} is wrong at {what}: {wanted} should be there")

    def _is(self, *tokens: str) -> bool:
        return self._kind in ("mark", "name") and self._token in tokens

    def _take(self, *tokens: str) -> bool:
        if self._is(*tokens):
            self._next()
            return True
        return False

    def _expect(self, token: str) -> None:
        if not self._take(token):
            raise self._error(repr(token))

    def _or(self) -> Node:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError(f"the expression is nested more than {MAX_DEPTH} levels deep")
        nodes = [self._and()]
        while self._take("or"):
            nodes.append(self._and())
        self._depth -= 1
        return nodes[0] if len(nodes) == 1 else _until(nodes, stop=True)

    def _and(self) -> Node:
        nodes = [self._not()]
        while self._take("and"):
            nodes.append(self._not())
        return nodes[0] if len(nodes) == 1 else _until(nodes, stop=False)

    def _not(self) -> Node:
        times = 0
        while self._take("not"):
            times += 1
        node = self._binary(0)
        if not times:
            return node
        return _applied_one(lambda value: bool(value) is (times % 2 == 0), node)

    def _binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self._sign()
        node = self._binary(level + 1)
        rest: list[tuple[str, Node]] = []
        while (operator := self._operator(_LEVELS[level])) is not None:
            rest.append((operator, self._binary(level + 1)))
        return _applied(node, rest) if rest else node

    def _operator(self, known: tuple[str, ...]) -> str | None:
        if "not in" in known and self._is("not"):
            self._next()
            if not self._is("in"):
                raise self._error("'in'")
            self._next()
            return "not in"
        if not self._is(*known):
            return None
        token = self._token
        self._next()
        return token

    def _sign(self) -> Node:
        negative = False
        while self._is("-", "+"):
            negative ^= self._token == "-"
            self._next()
        node = self._power()
        return _applied_one(lambda value: -number(value), node) if negative else node

    def _power(self) -> Node:
        node = self._atom()
        if not self._take("**"):
            return node
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise ToolError(f"the expression is nested more than {MAX_DEPTH} levels deep")
        raised = _applied(node, [("**", self._sign())])
        self._depth -= 1
        return raised

    def _atom(self) -> Node:
        kind, token = self._kind, self._token
        if kind == "number":
            self._next()
            value = bounded(float(token) if re.search("[.eE]", token) else int(token))
            return _constant(value)
        if kind == "text":
            self._next()
            text = re.sub(r"\\(.)", lambda found: _ESCAPES.get(found[1], found[1]), token[1:-1], flags=re.DOTALL)
            return _constant(text)
        if kind == "reference":
            self._next()
            return self._reference(token)
        if kind == "name" and token not in ("and", "or", "not", "in"):
            return self._named()
        if self._take("("):
            node = self._or()
            self._expect(")")
            return node
        if self._take("["):
            return _list(self._arguments("]"))
        raise self._error("a value")

    def _named(self) -> Node:
        name = self._token
        begin = self._begin
        self._next()
        if self._take("("):
            return self._call(name)
        if name in _WORDS and not self._is(".", "["):
            return _constant(_WORDS[name])
        end = begin + len(name)
        while self._is(".", "["):
            end = self._way(end)
        return self._reference(self._text[begin:end])

    def _reference(self, text: str) -> Node:
        reference = parse_reference(text)
        self.names.update(reference.names)

        def call(evaluation: Evaluation) -> Any:
            evaluation.spend(1)
            return reference.spoken(evaluation.scope, evaluation.spend)

        return call

    def _way(self, end: int) -> int:
        """Over one `.name` or `[...]` behind a name; returns where it ends in the text."""
        if self._take("."):
            if self._kind != "name":
                raise self._error("a name")
            end = self._at
        else:
            self._next()
            self._take("-")
            if self._kind not in ("number", "text"):
                raise self._error("an index or a name in quotes")
            self._next()
            if not self._is("]"):
                raise self._error("']'")
            end = self._at
        self._next()
        return end

    def _call(self, name: str) -> Node:
        function = FUNCTIONS.get(name)
        if function is None:
            raise ToolError(f"there is no function {name!r}; there are {', '.join(FUNCTIONS)}")
        arguments = self._arguments(")")
        n_given = len(arguments)
        if n_given < function.least or (function.most is not None and n_given > function.most):
            most = "more" if function.most is None else str(function.most)
            wanted = str(function.least) if function.least == function.most else f"{function.least} to {most}"
            raise ToolError(f"{name} takes {wanted} values, not {n_given}")
        return _called(name, function, arguments)

    def _arguments(self, end: str) -> list[Node]:
        nodes: list[Node] = []
        while not self._take(end):
            if nodes:
                self._expect(",")
            nodes.append(self._or())
        return nodes


def _until(nodes: list[Node], *, stop: bool) -> Node:
    """or (stop True) and and (stop False), which do not look at what decides nothing."""

    def call(evaluation: Evaluation) -> Any:
        evaluation.spend(1)
        return stop if any(bool(node(evaluation)) is stop for node in nodes) else not stop

    return call


def _applied(first: Node, rest: list[tuple[str, Node]]) -> Node:
    """Operators of one level, from left to right. A loop: a long sum is not a deep one."""

    def call(evaluation: Evaluation) -> Any:
        value = first(evaluation)
        for name, node in rest:
            other = node(evaluation)
            weight = weight_of if name in _COMPARING else _weight
            evaluation.spend(1 + weight(value) + weight(other))
            value = bounded(BINARY[name](value, other))
            evaluation.spend(_weight(value))
        return value

    return call


def _called(name: str, function: Function, arguments: list[Node]) -> Node:
    def call(evaluation: Evaluation) -> Any:
        values = [argument(evaluation) for argument in arguments]
        evaluation.spend(1 + sum(map(weight_of, values)))
        try:
            result = bounded(function.call(*values))
        except ToolError as error:
            raise ToolError(f"{name}: {error.message}") from None
        evaluation.spend(_weight(result))
        return result

    return call


def _constant(value: Any) -> Node:
    def call(evaluation: Evaluation) -> Any:
        evaluation.spend(1)
        return value

    return call


def _list(nodes: list[Node]) -> Node:
    def call(evaluation: Evaluation) -> Any:
        evaluation.spend(1 + len(nodes))
        return [node(evaluation) for node in nodes]

    return call


def _applied_one(operator: Callable[[Any], Any], node: Node) -> Node:
    def call(evaluation: Evaluation) -> Any:
        evaluation.spend(1)
        return operator(node(evaluation))

    return call


def weight_of(value: Any) -> int:
    """Steps that it costs to look at all of a value."""
    total = 0
    below = [value]
    while below and total < MAX_STEPS:
        item = below.pop()
        total += _weight(item)
        if isinstance(item, list):
            below += item
        elif isinstance(item, dict):
            below += item.values()
    return total


def _weight(value: Any) -> int:
    """Steps that it costs to go through a value once."""
    if isinstance(value, list | dict):
        return len(value)
    return len(value) // 64 if isinstance(value, str) else 0


def truth(value: Any) -> bool:
    """What a condition came to. ToolError for what is neither true nor false."""
    if isinstance(value, bool):
        return value
    raise ToolError(f"the condition came to {kind_of(value)}, not to true or false: compare it with something")
