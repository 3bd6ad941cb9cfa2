"""Amounts of memory."""

from __future__ import annotations

import pytest

from shimmy.byte_size import bytes_of, size_text


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        (5, 5),
        ("5", 5),
        ("5 B", 5),
        ("1k", 1024),
        ("8G", 8 << 30),
        ("8GiB", 8 << 30),
        ("8 gib", 8 << 30),
        ("8GB", 8 * 10**9),
        ("1.5m", 3 << 19),
        (".5T", 1 << 39),
        ("0", 0),
    ],
)
def test_what_is_an_amount(text: str | int, n_bytes: int) -> None:
    assert bytes_of(text) == n_bytes


@pytest.mark.parametrize("text", ["", "G", "8 GiBi", "-1", "1e9", "8X", "8 G B", "half"])
def test_what_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="no amount of memory"):
        bytes_of(text)


def test_for_people() -> None:
    assert [size_text(n) for n in (0, 1023, 1024, 11712480, 3 << 29, 1 << 41)] == [
        "0 B",
        "1023 B",
        "1.0 KiB",
        "11.2 MiB",
        "1.5 GiB",
        "2.0 TiB",
    ]
