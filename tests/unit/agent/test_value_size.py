"""How large values are, also those that are much larger than they look."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.agent.value_size import check_size
from shimmy.errors import ToolError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(0, 9) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
)


def test_what_is_shared_counts_as_often_as_it_is_there() -> None:
    value: Any = "x" * 1000
    for _ in range(150):
        value = [value, value]
    with pytest.raises(ToolError, match="the value has more than 100000 characters and members"):
        check_size(value, 100_000, "the value")


def test_depth() -> None:
    value: Any = 0
    for _ in range(150):
        value = {"in": value}
    check_size(value, 1000, "the value")
    for _ in range(10_000):
        value = [value]
    with pytest.raises(ToolError, match="nested more than 200 levels deep"):
        check_size(value, 100_000, "the value")


@given(JSON)
def test_no_value_is_larger_as_json_than_its_size_allows(value: Any) -> None:
    n_bytes = len(msgspec.json.encode(value))
    check_size(value, 2 * n_bytes + 10, "it")
    if n_bytes > 10:
        with pytest.raises(ToolError):
            check_size(value, n_bytes // 12 - 1, "it")
