"""Server-sent events as bytes."""

from __future__ import annotations

import re

DONE = b"data: [DONE]\n\n"

KEEP_ALIVE = b": keep-alive\n\n"
"""A comment, which readers skip."""

MEDIA_TYPE = "text/event-stream"

_LINE_END = re.compile("\r\n|\r|\n")


def json_event(payload: bytes) -> bytes:
    """One event that carries JSON (which never holds a raw line end)."""
    return b"data: " + payload + b"\n\n"


def named_event(name: str, payload: bytes) -> bytes:
    """One event that carries JSON, under a name."""
    return b"event: " + name.encode() + b"\ndata: " + payload + b"\n\n"


def text_event(text: str, event: str | None = None) -> bytes:
    """One event that carries `text`; a line end in it starts another data line, which readers join with "\\n"."""
    lines = "".join(f"data: {line}\n" for line in _LINE_END.split(text))
    name = f"event: {event}\n" if event else ""
    return f"{name}{lines}\n".encode()
