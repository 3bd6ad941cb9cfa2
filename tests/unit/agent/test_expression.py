"""The language of calculations, conditions and transformations."""

from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.agent.evaluation import Evaluation
from shimmy.agent.expression import parse_expression, truth
from shimmy.errors import ToolError

SCOPE = {"n": 3, "name": "Ann", "items": [{"price": 2}, {"price": 5}], "step_a": {"text": "hi", "a.b": 7}, "my-var": 9}


def value(text: str) -> Any:
    return parse_expression(text).evaluate(SCOPE)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1 + 2 * 3", 7),
        ("(1 + 2) * 3", 9),
        ("2 ** 3 ** 2", 512),
        ("-2 ** 2", -4),
        ("2 ^ -1", 0.5),
        ("--3", 3),
        ("7 / 2", 3.5),
        ("6 / 2", 3),
        ("7 // 2 + 7 % 4", 6),
        ("1e3 + .5", 1000.5),
        ("2 ** 200", 2**200),
        ("sqrt(16) + abs(-2)", 6.0),
        ("round(2.567, 1)", 2.6),
        ("log(8, 2)", math.log(8, 2)),
        ("max(1, n, 2)", 3),
        ("sum([1, 2, 3])", 6),
        ("factorial(5)", 120),
        ('name + "!"', "Ann!"),
        (r'"a\"b\n"', 'a"b\n'),
        ("items[1].price > items[0].price", True),
        ("items[-1]['price']", 5),
        ('{{my-var}} == 9 and {{step_a["a.b"]}} == 7', True),
        ("step_a.text == 'hi'", True),
        ("1 == true", False),
        ("null == None", True),
        ("1 in [true] or contains([true], 1) or [1] == [true]", False),
        ("true in [1, true] and contains([[1, 1.0]], [1, 1])", True),
        ("unique([1, true, 1.0, [1], [true]])", [1, True, [1], [True]]),
        ("items[0] in items and items[0] != items[1]", True),
        ("not n > 3", True),
        ("not not true", True),
        ("n in [1, 2, 3] and 'n' in name", True),
        ("4 not in [1]", True),
        ("false and 1/0", False),
        ("true or missing", True),
        ("1 < 2 == true", True),
        ("join(sort(unique(['b', 'a', 'b'])), '-')", "a-b"),
        ("upper(trim(' x ')) + lower('Y')", "Xy"),
        ("len(items) + len(name)", 5),
        ("number('4') + number('0.5')", 4.5),
        ("split('a b', ' ')", ["a", "b"]),
        ("true && !false || false", True),
    ],
)
def test_what_expressions_come_to(text: str, expected: Any) -> None:
    assert value(text) == expected
    assert type(value(text)) is type(expected)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "wrong at its end"),
        ("1 +", "wrong at its end"),
        ("1 2", "wrong at '2'"),
        ("(1", "'\\)' should be there"),
        ("1 = 2", "wrong at '='"),
        ("a b", "wrong at 'b'"),
        ("f(1)", "no function 'f'; there are abs"),
        ("sqrt()", "sqrt takes 1 values, not 0"),
        ("min()", "min takes 1 to more values, not 0"),
        ("nobody + 1", "no variable 'nobody'; there are n, name"),
        ("items.price", "no 'price' in a list"),
        ("items[7]", r"no \[7\] in a list of 2"),
        ("step_a.nope", "no 'nope', there are text, a.b"),
        ("1 / 0", "division by zero"),
        ("5 % 0", "division by zero"),
        ("0 ** -1", "division by zero"),
        ("(-8) ** 0.5", "negative number has no such power"),
        ("sqrt(-1)", "no result"),
        ("exp(1000)", "too large"),
        ("1e308 * 10", "not a finite number"),
        ("9 ** 9 ** 9", "more than 4096 bits"),
        ("2 ** 4095 * 4", "more than 4096 bits"),
        ("9" * 2000, "more than 4096 bits"),
        ("factorial(401)", "from 0 to 400"),
        ("name + 1", "a number is needed here, not a text"),
        ("true + 1", "not true or false"),
        ("name < 1", "a number is needed"),
        ("name()", "no function 'name'"),
        ("upper(1)", "upper: a text is needed here, not a number"),
        ("__import__('os')", "no function '__import__'"),
        ("name.__class__", "no '__class__' in a text"),
        ("(" * 51 + "1" + ")" * 51, "nested more than 50"),
        ("2" + "**2" * 60, "nested more than 50"),
        ("1+" * 3000 + "1", "may have 4096 characters"),
        ("'open", "a number, a text in quotes"),
        ("{{n", "wrong at '{'"),
        ("{{}} + 1", "names no variable"),
    ],
)
def test_what_is_wrong_is_named(text: str, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        value(text)


def test_work_is_bounded() -> None:
    scope = {"big": ["x" * 1000] * 1000, "text": "x" * 1_000_000}
    with pytest.raises(ToolError, match="1048576 characters"):
        parse_expression("text + text").evaluate(scope)
    with pytest.raises(ToolError, match="more than 1000000 steps"):
        parse_expression("+".join(["len(big)"] * 400)).evaluate({"big": [0] * 5000})


@pytest.mark.parametrize(
    "text",
    [
        " or ".join(["[{{big..x}}] == 1"] * 8),
        "[" + ",".join(["{{big..x}}"] * 8) + "]",
        " and ".join(["{{big[*].x}}"] * 8),
        " and ".join(["{{big..x}}"] * 8),
    ],
)
def test_looks_at_values_are_counted(text: str) -> None:
    with pytest.raises(ToolError, match="more than 1000000 steps"):
        parse_expression(text).evaluate({"big": [{"x": {"y": 1}}] * 60_000})


@pytest.mark.parametrize("text", ["[1]", "true and true", "true or true", "not n", "-n", "n", "'a'"])
def test_every_node_costs_a_step(text: str) -> None:
    evaluation = Evaluation(SCOPE, 0)
    with pytest.raises(ToolError, match="steps"):
        parse_expression(text).evaluate(SCOPE, evaluation)


def test_cancelled_work_ends_with_its_next_step() -> None:
    evaluation = Evaluation(SCOPE)
    evaluation.cancel()
    with pytest.raises(ToolError, match="cancelled"):
        parse_expression("n + 1").evaluate(SCOPE, evaluation)


def test_a_joined_text_is_not_made_before_it_is_known_to_fit() -> None:
    scope = {"parts": [""] * 100_000, "by": "x" * 1_000_000}
    with pytest.raises(ToolError, match="join: the result has more than 1048576 characters"):
        parse_expression("join(parts, by)").evaluate(scope)


def test_what_is_long_is_not_deep() -> None:
    assert value("1" + "+1" * 2000) == 2001
    assert value("true" + " and true" * 400) is True
    assert value("false" + " or 1 > 2" * 400 + " or true") is True


def test_names_that_are_looked_up() -> None:
    assert parse_expression("a.b[0] + len(c) + {{step_d.e}} * 2").names >= {"a", "c", "step_d"}
    assert "len" not in parse_expression("len(c)").names


@given(st.text(max_size=40))
def test_any_text_has_a_value_or_a_tool_error(text: str) -> None:
    try:
        value(text)
    except ToolError as error:
        assert error.message


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.sampled_from(["+", "-", "*", "//", "%"]))
def test_whole_numbers_are_exact(one: int, other: int, operator: str) -> None:
    if other == 0 and operator in ("//", "%"):
        return
    assert value(f"({one}) {operator} ({other})") == eval(f"({one}) {operator} ({other})")


@given(st.recursive(st.integers(0, 99).map(str), lambda inner: st.tuples(inner, inner).map("({0[0]} - {0[1]})".format)))
def test_nesting_is_as_in_python(text: str) -> None:
    try:
        assert value(text) == eval(text)
    except ToolError as error:
        assert "nested" in error.message or "4096" in error.message


def test_a_condition_is_true_or_false() -> None:
    assert truth(value("1 < 2")) is True
    with pytest.raises(ToolError, match="came to a number"):
        truth(value("1 + 1"))
