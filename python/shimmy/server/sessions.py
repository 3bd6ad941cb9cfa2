"""GET and DELETE /v1/session/{id}, and GET /v1/status: what a client that keeps sessions asks."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import datetime, timezone

from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.discovery.classify import GENERATIVE
from shimmy.models.manager import ModelManager, ModelStatus
from shimmy.server.endpoint import reading
from shimmy.server.errors import openai_error
from shimmy.server.operation import JSON, Family, Operation
from shimmy.server.schemas.sessions import GeneratorStatus, ServerStatus, SessionInfo
from shimmy.server.session_store import SessionStore


class SessionRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(
        self, manager: ModelManager, sessions: SessionStore, version: str, pulling: Callable[[], list[str]]
    ) -> None:
        self._manager = manager
        self._pulling = pulling
        self._sessions = sessions
        self._version = version
        self._start = time.monotonic()

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/v1/session/{id:path}", reading(self._get, openai_error), methods=["GET"]),
            Route("/v1/session/{id:path}", reading(self._delete, openai_error), methods=["DELETE"]),
            Route("/v1/status", reading(self._status, openai_error), methods=["GET"]),
        ]

    @Operation(Family.SHIMMY, "Tell of a session", answers={JSON: SessionInfo}, errors=(404,))
    async def _get(self, request: Request) -> SessionInfo:
        session = self._sessions.get(request.path_params["id"])
        return SessionInfo(
            session.id, _rfc3339(session.created_at), _rfc3339(session.last_activity), len(session.messages)
        )

    @Operation(Family.SHIMMY, "Forget a session", answers={JSON: type(None)}, errors=(404,))
    async def _delete(self, request: Request) -> None:
        self._sessions.delete(request.path_params["id"])

    @Operation(Family.SHIMMY, "Tell whether an answer can be given now", answers={JSON: ServerStatus})
    async def _status(self, request: Request) -> ServerStatus:
        return ServerStatus(
            version=self._version,
            uptime_seconds=round(time.monotonic() - self._start, 3),
            generator=self._generator(),
            active_sessions=self._sessions.count(),
        )

    def _generator(self) -> GeneratorStatus:
        entries = self._manager.registry.entries()
        others = {entry.engine for entry in entries if entry.kind not in GENERATIVE}
        statuses = [status for status in self._manager.statuses() if status.name not in others]
        names = [entry.name for entry in entries if entry.kind in GENERATIVE]
        return generator_status(statuses, names, self._pulling())


def generator_status(statuses: list[ModelStatus], names: list[str], pulling: list[str]) -> GeneratorStatus:
    """The best that any model can offer now: one that is loaded, else one on its way, else why the last one failed."""
    for state, word in (
        ("loaded", "ready"),
        ("loading", "loading"),
        ("", "downloading"),
        ("failed", "failed"),
        ("dead", "failed"),
    ):
        if word == "downloading" and pulling:
            return GeneratorStatus(state=word, model=pulling[0])
        found = [status for status in statuses if status.state == state]
        if found:
            latest = max(found, key=lambda status: status.last_used or 0.0)
            return GeneratorStatus(
                state=word,
                model=latest.name,
                progress=latest.progress if word == "loading" else None,
                error=(latest.load_error or "its process ended; the next request starts it again")
                if word == "failed"
                else None,
            )
    return GeneratorStatus(state="initializing" if names else "not_available")


def _rfc3339(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat().replace("+00:00", "Z")
