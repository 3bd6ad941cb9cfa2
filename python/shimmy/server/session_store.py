"""Conversations that the server remembers for clients that send only what is new."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

import msgspec

from shimmy.errors import QueueFullError
from shimmy.server.auth import tenant
from shimmy.server.errors import HttpError

MAX_BYTES = 64 * 1024 * 1024
"""Of all conversations of one API key, as JSON."""
MAX_WAITING = 16
"""Requests that wait for their turn in one session."""


class Session:
    """One conversation. Times are seconds since the epoch."""

    def __init__(self, session_id: str, now: float) -> None:
        self.id = session_id
        self.created_at = now
        self.last_activity = now
        self.messages: list[dict[str, Any]] = []
        """As `ChatPrompt` holds them, without a system prompt."""
        self.n_bytes = 0
        self.users = 0
        self.turn = asyncio.Lock()

    def add(self, messages: Sequence[dict[str, Any]]) -> None:
        self.messages += messages
        self.n_bytes += len(msgspec.json.encode(messages))


class SessionStore:
    """In memory. Each API key has its own sessions, at most `most` of them and MAX_BYTES; one that nobody used for
    `idle_seconds` is forgotten. What was said is never dropped to make room: a new session is refused instead, and
    counted in `refused`.
    """

    def __init__(
        self,
        most: int,
        idle_seconds: float,
        now: Callable[[], float] = time.time,
        refused: Counter[str] | None = None,
    ) -> None:
        self._most = most
        self._idle_seconds = idle_seconds
        self._now = now
        self._refused: Counter[str] = Counter() if refused is None else refused
        self._tenants: dict[str, dict[str, Session]] = {}
        self._sweep: asyncio.TimerHandle | None = None

    def limit(self, most: int, idle_seconds: float) -> None:
        """Other numbers from now on; sessions that are one too many by then stay."""
        self._most = most
        self._idle_seconds = idle_seconds

    @asynccontextmanager
    async def use(self, session_id: str) -> AsyncIterator[Session]:
        """The session for the length of a block, made when there is none; requests of one session take turns.

        QueueFullError when there are too many, they hold too much, or MAX_WAITING requests wait for this one. A session
        to which nothing was added is dropped.
        """
        self._sweep_later()
        while True:
            sessions = self._own()
            session = sessions.get(session_id) or self._new(sessions, session_id)
            if session.users > MAX_WAITING:
                raise QueueFullError(
                    f"{MAX_WAITING} requests wait for the session {session_id!r}: wait for its answers"
                )
            session.users += 1
            try:
                async with session.turn:
                    if sessions.get(session_id) is not session:  # deleted while this request waited
                        continue
                    self._check_bytes(sessions)
                    yield session
                    return
            finally:
                session.users -= 1
                session.last_activity = self._now()
                if not session.messages and not session.users and sessions.get(session_id) is session:
                    del sessions[session_id]

    def get(self, session_id: str) -> Session:
        """HttpError 404 for one that is not there (any more), or is another key's."""
        session = self._own().get(session_id)
        if session is None:
            raise _unknown(session_id)
        return session

    def history(self, session_id: str) -> list[dict[str, Any]]:
        """The messages so far; none of a session that does not exist."""
        session = self._own().get(session_id)
        return [] if session is None else session.messages

    def delete(self, session_id: str) -> None:
        """A request that uses it goes on; what it adds is lost. HttpError as `get`."""
        if self._own().pop(session_id, None) is None:
            raise _unknown(session_id)

    def count(self) -> int:
        """How many the caller's key has."""
        return len(self._own())

    def _own(self) -> dict[str, Session]:
        """The sessions of this request's key, without those that were idle for too long."""
        sessions = self._tenants.setdefault(tenant.get(), {})
        self._forget_idle(sessions)
        return sessions

    def _forget_idle(self, sessions: dict[str, Session]) -> None:
        oldest = self._now() - self._idle_seconds
        for session in list(sessions.values()):
            if not session.users and session.last_activity <= oldest:
                del sessions[session.id]

    def _sweep_later(self) -> None:
        """A key that never comes again takes its sessions with it."""
        if self._sweep is None:
            self._sweep = asyncio.get_running_loop().call_later(self._idle_seconds, self._sweep_all)

    def _sweep_all(self) -> None:
        self._sweep = None
        for name, sessions in list(self._tenants.items()):
            self._forget_idle(sessions)
            if not sessions:
                del self._tenants[name]
        if self._tenants:
            self._sweep_later()

    def _new(self, sessions: dict[str, Session], session_id: str) -> Session:
        if len(sessions) >= self._most:
            raise self._full(sessions, f"there are {len(sessions)} sessions, the limit")
        session = sessions[session_id] = Session(session_id, self._now())
        return session

    def _check_bytes(self, sessions: dict[str, Session]) -> None:
        n_bytes = sum(session.n_bytes for session in sessions.values())
        if n_bytes >= MAX_BYTES:
            raise self._full(sessions, f"the sessions hold {n_bytes} bytes, the limit is {MAX_BYTES}")

    def _full(self, sessions: dict[str, Session], what: str) -> QueueFullError:
        self._refused["max_sessions"] += 1
        oldest = min((session.last_activity for session in sessions.values()), default=self._now())
        wait = max(0.0, oldest + self._idle_seconds - self._now())
        idle = f"{self._idle_seconds / 60:g} min"
        return QueueFullError(f"{what}: DELETE /v1/session/ID for one, or wait until one was idle for {idle}", wait)


def _unknown(session_id: str) -> HttpError:
    return HttpError(
        404, f"session {session_id!r} was not found: unknown, deleted or idle for long", "session_not_found"
    )
