"""Where in a TOML document a key stands: the parser of the standard library does not say."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def line_of(document: str, path: tuple[str, ...]) -> int | None:
    """The line, from 1, of the statement that sets the key at `path` in a valid document, or of the first one below
    it; None when there is none.
    """
    header = ""
    for number, statement in _statements(document):
        if statement.lstrip().startswith("["):
            header = statement
            if _holds(tomllib.loads(header), path):
                return number
        elif _holds(tomllib.loads(f"{header}\n{statement}"), path):
            return number
    return None


def _statements(document: str) -> Iterator[tuple[int, str]]:
    """Each with its first line; one goes on until it is valid by itself. Blank lines and comments are no statements."""
    begun, pending = 0, ""
    for number, line in enumerate(document.split("\n"), 1):
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        begun = begun if pending else number
        pending += f"{line}\n"
        try:
            tomllib.loads(pending)
        except tomllib.TOMLDecodeError:
            continue
        yield begun, pending
        pending = ""


def _holds(value: Any, path: tuple[str, ...]) -> bool:
    for part in path:
        if isinstance(value, list) and value:
            value = value[-1]
        if not isinstance(value, dict) or part not in value:
            return False
        value = value[part]
    return True
