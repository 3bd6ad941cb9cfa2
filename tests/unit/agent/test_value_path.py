"""Ways into JSON values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.agent.value_path import parse_path
from shimmy.errors import ToolError

STORE = {
    "books": [{"title": "A", "price": 8}, {"title": "B"}, {"title": "C", "price": 9}],
    "odd name": {"x.y": 1},
    "owner": {"title": "Dr"},
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("books[0].title", "A"),
        ("$.books[-1].price", 9),
        ("$['odd name']['x.y']", 1),
        ('odd name["x.y"]', 1),
        ("books[*].title", ["A", "B", "C"]),
        ("books[*].price", [8, 9]),
        ("books[1:].title", ["B", "C"]),
        ("books[::2].title", ["A", "C"]),
        ("$..title", ["A", "B", "C", "Dr"]),
        ("owner.*", ["Dr"]),
        ("books[9:].title", []),
    ],
)
def test_where_paths_lead(path: str, expected: Any) -> None:
    assert parse_path(path).get(STORE) == expected


def test_the_value_itself() -> None:
    assert parse_path("$").get(5) == 5
    assert parse_path(" ").get([1]) == [1]


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("books[3]", r"no \[3\] in a list of 3"),
        ("books.title", "no 'title' in a list"),
        ("owner.name", "no 'name', there is title"),
        ("owner[0]", r"no \[0\] in an object"),
        ("books[", "not a path"),
        ("books[x]", "not a path"),
        ("a..", "not a path"),
        ("books[::0]", "may not be 0"),
        ("books[0]title", "not a path"),
        ("x" * 2000, "may have 1024"),
    ],
)
def test_what_leads_nowhere(path: str, words: str) -> None:
    with pytest.raises(ToolError, match=words):
        parse_path(path).get(STORE)


def test_a_search_is_bounded() -> None:
    wide = {str(number): 0 for number in range(1000)}
    with pytest.raises(ToolError, match="more than 200000 values"):
        parse_path("[*].*").find([wide] * 300)
    deep: Any = {"end": 1}
    for _ in range(5000):
        deep = {"in": deep}
    assert parse_path("..end").find(deep) == [1]


@given(st.text(max_size=30))
def test_any_text_is_a_path_or_a_tool_error(text: str) -> None:
    try:
        parse_path(text).get(STORE)
    except ToolError as error:
        assert error.message
