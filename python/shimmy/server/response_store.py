"""Responses that later requests may continue, read or cancel."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import Any

import msgspec

from shimmy.server.auth import tenant
from shimmy.server.errors import HttpError
from shimmy.server.response_events import ResponseEvents
from shimmy.server.responses_conversation import messages_of
from shimmy.server.responses_input import ResponseInput
from shimmy.server.responses_items import as_input, kept_items
from shimmy.server.schemas.responses import ItemIn, ResponseObject, ToolFlat

MAX_RESPONSES = 1000
MAX_BYTES = 256 * 1024 * 1024
"""Of all inputs and answers as JSON, and of the events that are kept."""


class Conversation(msgspec.Struct, frozen=True):
    """What a later request continues."""

    messages: list[dict[str, Any]] = []
    item_ids: frozenset[str] = frozenset()
    """What its items are called, by us or by who sent them."""
    tools: list[ToolFlat] = []
    """That came in its items, for all that follows."""


class StoredResponse:
    """A response with the conversation up to it, and the task that still computes it."""

    def __init__(self, response: ResponseObject, earlier: Conversation, given: ResponseInput) -> None:
        """InvalidRequestError as `messages_of`."""
        self.response = response
        self.earlier = earlier
        """Of the responses before it."""
        self.given = messages_of(given.entries)
        """Messages of its own input."""
        self.items = kept_items(response.id, given.entries)
        """Of its own input."""
        self.tenant = tenant.get()
        self.answer: list[dict[str, Any]] = []
        self.events: ResponseEvents | None = None
        """Of one that was created with `background` and `stream`."""
        self.task: asyncio.Task[None] | None = None
        self.deleted = False
        self._others = {entry.item.id for entry in given.entries if entry.item.id}
        """Ids of referred items, and what clients called theirs."""
        self._tools = [placed.tool for placed in given.tools]

    @property
    def conversation(self) -> Conversation:
        ids = self.earlier.item_ids.union(self._others, self.own_items)
        messages = [*self.earlier.messages, *self.given, *self.answer]
        return Conversation(messages, ids, [*self.earlier.tools, *self._tools])

    @property
    def own_items(self) -> dict[str, ItemIn]:
        """Those that got their ids here, by these."""
        items = [*self.items, *map(as_input, self.response.output)]
        return {item.id: item for item in items if item.id and item.id not in self._others}


class ResponseStore:
    """In memory, within MAX_RESPONSES and MAX_BYTES: those used longest ago are forgotten, but none that runs."""

    def __init__(self) -> None:
        self._stored: OrderedDict[str, StoredResponse] = OrderedDict()
        self._owners: dict[str, StoredResponse] = {}
        """By the ids of their own items."""
        self._sizes: dict[str, int] = {}
        self._n_bytes = 0

    def add(self, stored: StoredResponse) -> None:
        """Keep it, or take note that it has grown."""
        name = stored.response.id
        self._forget(name)
        if stored.deleted:
            return
        self._stored[name] = stored
        self._owners |= dict.fromkeys(stored.own_items, stored)
        n_events = 0 if stored.events is None else stored.events.n_bytes
        self._sizes[name] = len(msgspec.json.encode([stored.conversation, stored.items, stored.response])) + n_events
        self._n_bytes += self._sizes[name]
        for oldest in list(self._stored):
            if len(self._stored) <= MAX_RESPONSES and self._n_bytes <= MAX_BYTES:
                break
            if self._stored[oldest].task is None:
                self._forget(oldest)

    def _forget(self, response_id: str) -> None:
        stored = self._stored.pop(response_id, None)
        self._n_bytes -= self._sizes.pop(response_id, 0)
        for item_id in stored.own_items if stored is not None else ():
            self._owners.pop(item_id, None)

    def get(self, response_id: str, param: str | None = None) -> StoredResponse:
        """HttpError 404 for one that is not there (any more); 400 when `param` names it in a request."""
        stored = self._stored.get(response_id)
        if stored is None or stored.tenant != tenant.get():
            message = f"response {response_id!r} was not found: not stored, deleted, or forgotten for newer ones"
            raise HttpError(404 if param is None else 400, message, "response_not_found", param)
        self._stored.move_to_end(response_id)
        return stored

    def item(self, item_id: str, param: str) -> ItemIn:
        """As a request would send it. HttpError 400, `param` names it, for one that is not there (any more)."""
        stored = self._owners.get(item_id)
        if stored is None or stored.tenant != tenant.get():
            raise HttpError(
                400,
                f"item {item_id!r} was not found: its response was not stored, deleted, or forgotten for newer ones; "
                "send the item itself, and `store: true` for responses whose items are to be referred to",
                "item_not_found",
                param,
            )
        self._stored.move_to_end(stored.response.id)
        return stored.own_items[item_id]

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
