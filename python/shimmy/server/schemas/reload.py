"""POST /api/reload: what goes out."""

from __future__ import annotations

import msgspec


class Reloaded(msgspec.Struct, kw_only=True):
    """What reading the settings again came to."""

    changed: list[str]
    """Options that have another value now."""
    needs_restart: list[str]
    """Options that were given another value, which only a restart can put in force; they are as they were."""
    reloading: list[str]
    """Models that would be loaded otherwise by now: requests that run on them end there, later ones load them anew."""
    models: int
    """That there are now."""
    problems: list[str]
    """What models.toml says that does not fit the models."""
