"""The text of a custom tool, out of the JSON of the function that stands for it."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.errors import InvalidRequestError
from shimmy.server.custom_tool import CustomInput, custom_arguments, described
from shimmy.server.schemas.responses import CustomFormat


def read(fragments: list[str]) -> list[str]:
    custom = CustomInput()
    return [*map(custom.add, fragments), custom.rest()]


@given(st.text(), st.booleans(), st.lists(st.integers(0, 400)))
def test_it_is_told_as_it_comes(text: str, escaped: bool, cuts: list[int]) -> None:
    arguments = json.dumps({"input": text}) if escaped else custom_arguments(text)
    places = [0, *sorted(cuts), len(arguments)]
    fragments = [arguments[a:b] for a, b in pairwise(places)]
    parts = read(fragments)
    assert "".join(parts) == text
    assert parts[-1] == ""


def test_nothing_waits_that_is_known() -> None:
    assert read(['{"input": "a', "b\\", "nc\\ud83d", '\\ude00d"', "}"]) == [
        "a",
        "b",
        "\nc",
        "\N{GRINNING FACE}d",
        "",
        "",
    ]
    assert read(['{ "input" :"two\nlines']) == ["two\nlines", ""]  # cut by a limit


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ("*** Begin Patch", "*** Begin Patch"),
        ('{"patch": "x"}', '{"patch": "x"}'),
        ('{"a": 1, "input": "x"}', "x"),
        ('{"input": 7}', '{"input": 7}'),
        ('{"input": "a\\q"}', 'a\\q"}'),
        ('{"input": "a\\ud83db"}', 'a\\ud83db"}'),
        ("[" * 100_000, "[" * 100_000),
        ('{"a":' * 100_000, '{"a":' * 100_000),
        ("", ""),
    ],
)
def test_other_arguments_become_the_text(arguments: str, text: str) -> None:
    assert "".join(read([arguments])) == text


def test_a_grammar_is_described() -> None:
    grammar = CustomFormat("grammar", "regex", "[a-z]+")
    assert described("Say.", None, "tools[0]") == described("Say.", CustomFormat("text"), "tools[0]") == "Say."
    told = described("Say.", grammar, "tools[0]")
    assert told == "Say.\n\nThe input has to match this regex grammar:\n[a-z]+"
    assert (described(None, grammar, "tools[0]") or "").startswith("The input")
    for wrong, param in ((CustomFormat("xml"), "type"), (CustomFormat("grammar"), "definition")):
        with pytest.raises(InvalidRequestError) as refused:
            described("Say.", wrong, "tools[0]")
        assert refused.value.param == f"tools[0].format.{param}"
