"""/v1/session and /v1/status: what goes out."""

from __future__ import annotations

import msgspec


class SessionInfo(msgspec.Struct):
    """Times are RFC 3339."""

    id: str
    created_at: str
    last_activity: str
    message_count: int


class GeneratorStatus(msgspec.Struct, kw_only=True):
    """Whether an answer can be given now."""

    state: str
    """initializing (models are there, none was asked for yet), downloading (by a pull), loading, ready, failed or
    not_available (no models)."""
    model: str | None = None
    """The one that `state` is about."""
    progress: float | None = None
    """0 to 1, while loading."""
    error: str | None = None


class ServerStatus(msgspec.Struct, kw_only=True):
    service: str = "shimmy"
    version: str
    uptime_seconds: float
    generator: GeneratorStatus
    active_sessions: int
