"""What is counted in a JSON text is what it holds, whatever stands in its strings and wherever its pieces end."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas import json_size
from shimmy.server.schemas.decoding import decode_value
from shimmy.server.schemas.json_size import MAX_ITEMS, MAX_NODES, check_counts

TEXTS = st.text(alphabet='a\\"[{,:]}\n\u00e9\u2028', max_size=8)
VALUES = st.recursive(
    st.none() | st.integers(-9, 9) | TEXTS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4),
    max_leaves=12,
)


def counted(value: Any) -> tuple[int, int]:
    """Lists, objects and members; commas."""
    if not isinstance(value, list | dict):
        return 0, 0
    inner = [counted(one) for one in (value.values() if isinstance(value, dict) else value)]
    own = 1 + (len(value) if isinstance(value, dict) else 0)
    return own + sum(one[0] for one in inner), max(len(value) - 1, 0) + sum(one[1] for one in inner)


def is_refused(text: bytes) -> bool:
    try:
        check_counts(text)
    except InvalidRequestError:
        return True
    return False


@given(value=VALUES, piece=st.integers(1, 9), ascii_only=st.booleans())
def test_exactly_what_is_over_a_limit_is_refused(value: Any, piece: int, ascii_only: bool) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only).encode()
    nodes, commas = counted(value)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_size, "_PIECE", piece)
        patch.setattr(json_size, "MAX_NODES", nodes)
        patch.setattr(json_size, "MAX_ITEMS", commas)
        assert not is_refused(text)
        patch.setattr(json_size, "MAX_NODES", max(nodes - 1, 0))
        assert is_refused(text) == (nodes > 0)
        patch.setattr(json_size, "MAX_NODES", nodes)
        patch.setattr(json_size, "MAX_ITEMS", max(commas - 1, 0))
        assert is_refused(text) == (commas > 0)


@pytest.mark.parametrize("text", [b'"', b'"\\', b"\\", b'[,"\\"', b'\\"[[[', b"\xff[[["])
def test_what_is_no_json_is_left_to_others(text: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_size, "MAX_ITEMS", 0)
    with pytest.raises(InvalidRequestError, match=r"not valid|more than"):
        decode_value(text, Any)  # type: ignore[arg-type]


def test_the_limits_themselves() -> None:
    assert decode_value(b"[" + b"1," * MAX_ITEMS + b"1]", list[int])[-1] == 1
    with pytest.raises(InvalidRequestError, match=f"more than {MAX_ITEMS} values"):
        decode_value(b"[" + b"1," * (MAX_ITEMS + 1) + b"1]", list[int])
    assert len(decode_value(b"[" + b"[]," * (MAX_NODES - 2) + b"[]]", list[Any])) == MAX_NODES - 1
    with pytest.raises(InvalidRequestError, match=f"more than {MAX_NODES} lists, objects and fields"):
        decode_value(b"[" + b"[]," * (MAX_NODES - 1) + b"[]]", list[Any])
    text = '[{",\\"' * MAX_ITEMS
    assert decode_value(json.dumps(text).encode(), str) == text
