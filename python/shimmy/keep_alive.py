"""How long a model stays loaded that nobody uses: what settings, options and Ollama's keep_alive say."""

from __future__ import annotations

import math
import re

from shimmy.errors import InvalidRequestError

_SECONDS = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}
_PART = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|µs|ms|s|m|h)")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)")


def keep_alive_seconds(value: str | float | None) -> float | None:
    """Seconds of a Go duration ("5m", "1h30m") or of a number, as which a string may also be written; negative is
    forever (infinity). None: nothing was asked for. InvalidRequestError for anything else.
    """
    if value is None or value == "":
        return None
    seconds = _seconds(value.strip()) if isinstance(value, str) else float(value)
    if math.isnan(seconds):
        raise InvalidRequestError(
            f'keep_alive must be a number of seconds or a duration such as "5m", got {value!r}', "keep_alive"
        )
    return math.inf if seconds < 0 else seconds


def _seconds(text: str) -> float:
    """NaN for what is no duration."""
    if _NUMBER.fullmatch(text):
        return float(text)
    sign, text = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
    if not text or _PART.sub("", text):
        return math.nan
    return sign * sum(float(number) * _SECONDS[unit] for number, unit in _PART.findall(text))
