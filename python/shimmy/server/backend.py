"""What generating routes work with: the loaded models, and a record of what runs on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec

from shimmy.engine_client import EngineClient
from shimmy.models.manager import ModelManager
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.auth import tenant
from shimmy.server.limits import Limiter
from shimmy.server.metrics import Metrics
from shimmy.server.preset import preset_of
from shimmy.server.request_record import current_record
from shimmy.server.request_tracker import RequestTracker, TrackedRequest


class Running(NamedTuple):
    """Requests that their engine has accepted."""

    client: EngineClient
    streams: list[AsyncIterator[RequestOutput]]


class Backend:
    """Starts requests, and knows those under way."""

    def __init__(self, manager: ModelManager, limiter: Limiter) -> None:
        self.manager = manager
        self.limiter = limiter
        self.metrics = Metrics()
        self.tracker = RequestTracker()

    async def open(self, model: str, requests: Sequence[GenerateRequest], stack: AsyncExitStack) -> Running:
        """Start `requests` on one model, loading it when needed; leaving `stack` cancels what still runs."""
        preset = preset_of(self.manager.registry.get(model))
        requests = [preset.applied(request) for request in requests]
        client = await stack.enter_async_context(self.manager.use(model))
        return Running(client, [await self._start(client, request, stack) for request in requests])

    def opened(self, model: str, prompt: ChatPrompt) -> ChatPrompt:
        """The conversation as `open` gives it to the model. Raises ModelNotFoundError."""
        preset = preset_of(self.manager.registry.get(model))
        return msgspec.structs.replace(prompt, messages=preset.opened(prompt.messages))

    async def _start(
        self, client: EngineClient, request: GenerateRequest, stack: AsyncExitStack
    ) -> AsyncIterator[RequestOutput]:
        name = client.info.name
        request = msgspec.structs.replace(request, tenant=tenant.get())
        tracked = TrackedRequest(name, request, self.metrics.of(name))
        self.tracker.add(tracked)
        try:
            stream = await stack.enter_async_context(client.stream(request))
        except BaseException:
            self.tracker.drop(tracked)
            raise
        stack.callback(tracked.left)
        if (record := current_record()) is not None:
            record.generations.append(tracked)
        return tracked.attach(stream)
