"""What generating routes work with: the loaded models, and a record of what runs on them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack
from types import MappingProxyType
from typing import Any, NamedTuple

import msgspec

from shimmy.engine_client import EngineClient, OutputStream
from shimmy.errors import QueueFullError
from shimmy.models.adapter_names import named
from shimmy.models.continuation import Answer
from shimmy.models.manager import ModelManager
from shimmy.models.need import need_of, need_of_prompt
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import context_header
from shimmy.server.auth import tenant
from shimmy.server.cache_reason import ExplainedStream, explained
from shimmy.server.limits import Limiter
from shimmy.server.metrics import Metrics
from shimmy.server.request_record import current_record
from shimmy.server.request_tracker import RequestTracker, TrackedRequest
from shimmy.server.retold_stream import RetoldStream


class Running(NamedTuple):
    """Requests that their engine has accepted."""

    client: EngineClient
    streams: list[AsyncIterator[RequestOutput]]


class Backend:
    """Starts requests, and knows those under way."""

    def __init__(self, manager: ModelManager, limiter: Limiter, metrics: Metrics) -> None:
        self.manager = manager
        self.limiter = limiter
        self.metrics = metrics
        self.tracker = RequestTracker()

    async def open(
        self,
        model: str,
        requests: Sequence[GenerateRequest],
        stack: AsyncExitStack,
        sampling: Mapping[str, Any] = MappingProxyType({}),
    ) -> Running:
        """Start `requests` on one model, loading it when needed; leaving `stack` cancels what still runs.

        Where a request says nothing the model's own defaults apply, then `sampling`, those of its route.
        """
        self.settle(model, requests[0])
        client = await stack.enter_async_context(self.manager.use(model))
        requests = [self.completed(model, request, sampling, index) for index, request in enumerate(requests)]
        return Running(client, [await self._start(model, client, request, stack) for request in requests])

    def settle(self, model: str, request: GenerateRequest, *, thinking: bool = False) -> None:
        """Choose what `model` means if that is `auto`, before anything else uses it. `thinking`: see `need_of`."""
        self.manager.registry.settle(model, lambda: need_of(request, thinking=thinking))

    async def open_fork(
        self, model: str, request: GenerateRequest, known: Answer | None, stack: AsyncExitStack
    ) -> AsyncIterator[RequestOutput]:
        """As `open`, of one complete request whose answer begins with what is `known`; that is not told again."""
        client = await stack.enter_async_context(self.manager.use(model))
        request = msgspec.structs.replace(request, lora=named(request.lora, self.manager.registry.get(model).adapters))
        return await self._start(model, client, request, stack, known)

    async def go_on(
        self, tracked: TrackedRequest, request: GenerateRequest, stack: AsyncExitStack
    ) -> AsyncIterator[RequestOutput]:
        """The rest of the answer of `tracked`, from `request`, which is answered with what it has so far; what ran for
        it is to be left then. Raises as `open`, and then nothing has changed.
        """
        client = await stack.enter_async_context(self.manager.use(tracked.model))
        stream = RetoldStream(await stack.enter_async_context(client.stream(request)), tracked.answer())
        stack.callback(tracked.left, stream)
        return tracked.attach(stream)

    def completed(
        self, model: str, request: GenerateRequest, sampling: Mapping[str, Any], index: int = 0
    ) -> GenerateRequest:
        """`request` as `open` starts it, the one at `index` of several."""
        entry = self.manager.registry.get(model)
        if request.lora:
            request = msgspec.structs.replace(request, lora=named(request.lora, entry.adapters))
        return entry.defaults.request(request, sampling, index)

    def conversation(self, model: str, prompt: ChatPrompt) -> ChatPrompt:
        """What a request for `prompt` is computed from: with the model's own system message, if it has one."""
        self.manager.registry.settle(model, lambda: need_of_prompt(prompt))
        return self.manager.registry.get(model).defaults.conversation(prompt)

    async def _start(
        self,
        model: str,
        client: EngineClient,
        request: GenerateRequest,
        stack: AsyncExitStack,
        known: Answer | None = None,
    ) -> AsyncIterator[RequestOutput]:
        name = self.manager.registry.get(model).name  # not its engine's, which others may share
        request = msgspec.structs.replace(request, tenant=tenant.get())
        tracked = TrackedRequest(name, request, self.metrics.of(name), known)
        tracked.engine = client.info.name
        self.tracker.add(tracked)
        try:
            stream: OutputStream = await stack.enter_async_context(client.stream(request))
        except BaseException as error:
            self.tracker.drop(tracked)
            if isinstance(error, QueueFullError):
                self.metrics.refused["max_waiting"] += 1
            raise
        if (record := current_record()) is not None:
            record.generations.append(tracked)
        context_header.note(tracked)
        if known is not None:
            stream = RetoldStream(stream, known)
        if request.cache_diagnostics:
            stream = ExplainedStream(stream, lambda found: explained(found, tracked, self.tracker.all()))
        stack.callback(tracked.left, stream)
        return tracked.attach(stream)
