"""What shimmy remembers of one model that it downloaded or created."""

from __future__ import annotations

from typing import Any

import msgspec


class Record(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """One file of the library. Either `files` are its own, shared with its copies, or it is made `base`, a model that
    shimmy found; the rest is what it is asked with unless a request says otherwise.
    """

    name: str
    created: float
    """Unix time in seconds."""
    files: tuple[str, ...] = ()
    """Relative to the library's folder; the first is the one to load."""
    digests: dict[str, str] = {}
    """File -> its SHA-256 as 64 hex digits, of those whose names do not say it."""
    base: str | None = msgspec.field(name="from", default=None)
    source: str = ""
    """What it was pulled as."""
    template: str | None = None
    """Jinja, instead of the file's own."""
    system: str = ""
    parameters: dict[str, Any] = {}
    """Ollama's options."""
    messages: list[dict[str, str]] = []
    """{"role", "content"} each: before those of a conversation."""
    license: tuple[str, ...] = ()
