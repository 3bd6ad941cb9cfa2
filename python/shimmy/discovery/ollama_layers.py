"""What Ollama keeps about a model beside its weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec


class OllamaLayers(msgspec.Struct, frozen=True, kw_only=True):
    """The layers of one manifest, but for the model's own."""

    manifest: Path
    template: str | None = None
    """A template of Go's text/template, which is not Jinja: it says what family the model is of, no more."""
    system: str | None = None
    params: dict[str, Any] = {}
    """Ollama's options, as `PARAMETER` sets them."""
    messages: tuple[dict[str, str], ...] = ()
    """What every conversation begins with: role and content."""
    adapters: tuple[Path, ...] = ()
    projectors: tuple[Path, ...] = ()
    licenses: tuple[Path, ...] = ()
