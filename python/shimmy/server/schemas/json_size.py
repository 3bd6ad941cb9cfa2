"""How many values a JSON text holds, counted before any of them is made.

What makes them keeps the interpreter to itself until the last: 30 MB of empty lists take five seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

from shimmy.errors import InvalidRequestError

MAX_NODES = 200_000
"""Lists, objects and members of objects in one text."""
MAX_ITEMS = 4 * 1024 * 1024
"""Items of its lists: more tokens than any context has."""

_PIECE = 256 * 1024


def check_counts(text: bytes) -> None:
    """InvalidRequestError for a text that holds more. Whether it is JSON at all is for others to say."""
    if _n_nodes(text) <= MAX_NODES and text.count(b",") <= MAX_ITEMS:
        return  # whatever of it stands in strings
    n_nodes = n_commas = 0
    for piece in _outside_strings(text):
        n_nodes += _n_nodes(piece)
        n_commas += piece.count(b",")
        if n_nodes > MAX_NODES:
            raise InvalidRequestError(f"the request body holds more than {MAX_NODES} lists, objects and fields")
        if n_commas > MAX_ITEMS:
            raise InvalidRequestError(f"the request body holds more than {MAX_ITEMS} values")


def _n_nodes(text: bytes) -> int:
    return text.count(b"[") + text.count(b"{") + text.count(b":")


def _outside_strings(text: bytes) -> Iterator[bytes]:
    """The text without its strings, piece by piece, so that other threads have their turn."""
    at, inside = 0, 0
    while at < len(text):
        piece = text[at : at + _PIECE]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2:
            piece = text[at : at + _PIECE + 1]  # no escape is cut in two
        at += len(piece)
        parts = piece.replace(rb"\\", b"").replace(rb"\"", b"").split(b'"')
        yield b"".join(parts[inside::2])
        inside ^= (len(parts) - 1) % 2
