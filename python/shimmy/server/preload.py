"""Loading the models that were used last when the server starts, and remembering which those are."""

from __future__ import annotations

import asyncio
import logging

from shimmy.errors import ShimmyError
from shimmy.models.manager import ModelManager
from shimmy.models.recent_models import RecentModels

_SAVE_SECONDS = 60.0

logger = logging.getLogger("shimmy.server")


class Preload:
    """`count`: how many are loaded, one after the other, as long as they fit beside those that are there."""

    def __init__(self, manager: ModelManager, recent: RecentModels, count: int) -> None:
        self._manager = manager
        self._recent = recent
        self._count = count

    async def run(self) -> None:
        """Until cancelled."""
        names = await asyncio.to_thread(self._recent.names)
        for name in names[: self._count]:
            await self._load(name)
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await asyncio.to_thread(self._recent.save, self._used())

    def save(self) -> None:
        """Remember what was used until now. Blocks while it writes."""
        self._recent.save(self._used())

    def _used(self) -> dict[str, float]:
        """Name -> Unix time. To be called on the event loop while models may come and go."""
        return {one.name: one.last_used for one in self._manager.statuses() if one.last_used is not None}

    async def _load(self, name: str) -> None:
        try:
            if not await self._manager.has_place(name):
                logger.info("%s was used lately and is not loaded: it does not fit beside the others", name)
                return
            await self._manager.get(name)
        except ShimmyError as error:  # it may be gone by now
            logger.info("%s was used lately and is not loaded: %s", name, error.message)
