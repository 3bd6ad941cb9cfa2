"""Ollama's keep_alive, in all its forms."""

from __future__ import annotations

import math

import pytest

from shimmy.errors import InvalidRequestError
from shimmy.keep_alive import keep_alive_seconds


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("", None),
        (0, 0),
        ("0", 0),
        ("0s", 0),
        (300, 300),
        (1.5, 1.5),
        ("300", 300),
        ("5m", 300),
        ("1h30m", 5400),
        ("1.5h", 5400),
        (" 250ms ", 0.25),
        (-1, math.inf),
        ("-1", math.inf),
        ("-5m", math.inf),
        ("+5m", 300),
    ],
)
def test_what_it_means(value: str | float | None, seconds: float | None) -> None:
    assert keep_alive_seconds(value) == (None if seconds is None else pytest.approx(seconds))


@pytest.mark.parametrize("value", ["soon", "5 m", "m", "5x", "-", "1h5", "nan", float("nan"), "--1m"])
def test_what_is_none(value: str | float) -> None:
    with pytest.raises(InvalidRequestError, match="keep_alive must be") as caught:
        keep_alive_seconds(value)
    assert caught.value.param == "keep_alive"
