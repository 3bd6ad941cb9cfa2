"""Reading the settings again while requests are answered: SIGHUP, and POST /api/reload."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.errors import ShimmyError
from shimmy.logs import configure_logging
from shimmy.models.manager import ModelManager
from shimmy.placement import Placement
from shimmy.server.auth import Keyring, keys_of
from shimmy.server.endpoint import reading
from shimmy.server.errors import native_error
from shimmy.server.limits import Limiter
from shimmy.server.operation import JSON, Family, Operation
from shimmy.server.schemas.reload import Reloaded
from shimmy.server.session_store import SessionStore
from shimmy.settings import Settings

LIVE = frozenset(
    (
        *Placement.__struct_fields__,
        "api_key",
        "api_keys",
        "chat_template",
        "concurrent_requests",
        "ctx",
        "demo_model",
        "hang_seconds",
        "keep_alive",
        "key_concurrent_requests",
        "key_requests_per_minute",
        "log_format",
        "log_level",
        "lora",
        "max_sessions",
        "max_waiting",
        "model_dirs",
        "model_path",
        "model_settings",
        "read_body_seconds",
        "requests_per_minute",
        "search_known",
        "session_idle_minutes",
        "sse_keep_alive_seconds",
        "tune",
    )
)
"""Options that can change while serving. The others shape sockets, connections and files that are open."""

logger = logging.getLogger("shimmy.server")


class LiveSettings:
    """The settings in force. `load` reads them anew, from where they came; without it they stay as they are."""

    def __init__(self, settings: Settings, load: Callable[[], Settings] | None = None) -> None:
        self.now = settings
        self._load = load

    def read(self) -> Settings:
        """May take a while. Raises SettingsError, and what `load` raises."""
        return self.now if self._load is None else self._load()


class Reload:
    """Puts settings in force that were read again: all that can be, or after an error none."""

    def __init__(
        self, settings: LiveSettings, manager: ModelManager, keys: Keyring, limiter: Limiter, sessions: SessionStore
    ) -> None:
        self._settings = settings
        self._manager = manager
        self._keys = keys
        self._limiter = limiter
        self._sessions = sessions
        self._turn = asyncio.Lock()

    def routes(self) -> list[BaseRoute]:
        return [Route("/api/reload", reading(self._reload, native_error), methods=["POST"])]

    @Operation(Family.SHIMMY, "Read the settings again", answers={JSON: Reloaded}, errors=(400,))
    async def _reload(self, request: Request) -> Reloaded:
        """As SIGHUP does. No request is lost; a file that is wrong leaves everything as it was, and is an error that
        names the line.
        """
        return await self.reload()

    async def reload(self) -> Reloaded:
        """One at a time. Raises SettingsError, which says what is wrong and where, and what `ModelManager.rescan`
        raises; then nothing has changed.
        """
        async with self._turn:
            before = self._settings.now
            read = await asyncio.to_thread(self._settings.read)
            given = [name for name in before.__struct_fields__ if getattr(read, name) != getattr(before, name)]
            changes = {name: getattr(read, name) for name in given if name in LIVE}
            now = msgspec.structs.replace(before, **changes)
            keys = await asyncio.to_thread(keys_of, now)
            freed = await self._manager.rescan(now)
            self._keys.replace(keys)
            self._limiter.limit(now, keys)
            self._sessions.limit(now.max_sessions, now.session_idle_minutes * 60)
            if not changes.keys().isdisjoint(("log_level", "log_format")):
                configure_logging(now.log_level, now.log_format)
                os.environ["SHIMMY_LOG_LEVEL"] = now.log_level  # for the processes of models
            self._settings.now = now
            registry = self._manager.registry
            return Reloaded(
                changed=sorted(changes),
                needs_restart=sorted(set(given) - LIVE),
                reloading=freed,
                models=len(registry.entries()),
                problems=[one.message for one in registry.problems if one.path == registry.settings_path],
            )

    async def on_signal(self) -> None:
        """`reload`, told in the log."""
        try:
            told = await self.reload()
        except (ShimmyError, OSError) as error:
            logger.error("the settings stay as they were: %s", error)
            return
        logger.info(
            "read the settings again: %d models; changed: %s; loaded anew when next asked for: %s",
            told.models,
            ", ".join(told.changed) or "no option",
            ", ".join(told.reloading) or "none",
        )
        if told.needs_restart:
            logger.warning("only a restart changes %s", ", ".join(told.needs_restart))
        for problem in told.problems:
            logger.warning("%s", problem)
