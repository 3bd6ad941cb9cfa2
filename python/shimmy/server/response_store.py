"""Responses that later requests may continue, read or cancel."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import msgspec

from shimmy.server.auth import tenant
from shimmy.server.errors import HttpError
from shimmy.server.response_events import ResponseEvents
from shimmy.server.schemas.responses import ResponseObject

MAX_RESPONSES = 1000
MAX_BYTES = 256 * 1024 * 1024
"""Of all inputs and answers as JSON, and of the events that are kept."""


class StoredResponse:
    """A response with the conversation up to it, and the task that still computes it."""

    def __init__(self, response: ResponseObject, earlier: list[dict[str, Any]], given: list[dict[str, Any]]) -> None:
        self.response = response
        self.earlier = earlier
        """Messages of the responses before it."""
        self.given = given
        """Messages of its own input."""
        self.tenant = tenant.get()
        self.answer: list[dict[str, Any]] = []
        self.events: ResponseEvents | None = None
        """Of one that was created with `background` and `stream`."""
        self.task: asyncio.Task[None] | None = None
        self.deleted = False

    @property
    def conversation(self) -> list[dict[str, Any]]:
        return [*self.earlier, *self.given, *self.answer]


class ResponseStore:
    """In memory, within MAX_RESPONSES and MAX_BYTES: those used longest ago are forgotten, but none that runs."""

    def __init__(self) -> None:
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()
        self._sizes: dict[str, int] = {}
        self._n_bytes = 0

    def add(self, stored: StoredResponse) -> None:
        """Keep it, or take note that it has grown."""
        name = stored.response.id
        self._forget(name)
        if stored.deleted:
            return
        self._stored[name] = stored
        n_events = 0 if stored.events is None else stored.events.n_bytes
        self._sizes[name] = len(msgspec.json.encode([stored.conversation, stored.response])) + n_events
        self._n_bytes += self._sizes[name]
        for oldest in list(self._stored):
            if len(self._stored) <= MAX_RESPONSES and self._n_bytes <= MAX_BYTES:
                break
            if self._stored[oldest].task is None:
                self._forget(oldest)

    def _forget(self, response_id: str) -> None:
        self._stored.pop(response_id, None)
        self._n_bytes -= self._sizes.pop(response_id, 0)

    def get(self, response_id: str, param: str | None = None) -> StoredResponse:
        """HttpError 404 for one that is not there (any more); 400 when `param` names it in a request."""
        stored = self._stored.get(response_id)
        if stored is None or stored.tenant != tenant.get():
            message = f"response {response_id!r} was not found: not stored, deleted, or forgotten for newer ones"
            raise HttpError(404 if param is None else 400, message, "response_not_found", param)
        self._stored.move_to_end(response_id)
        return stored

    def delete(self, response_id: str) -> None:
        """Forget it, ending it when it runs. HttpError as `get`."""
        stored = self.get(response_id)
        stored.deleted = True
        if stored.task is not None:
            stored.task.cancel()
        self._forget(response_id)

    async def close(self) -> None:
        """End what still runs."""
        tasks = [stored.task for stored in self._stored.values() if stored.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
