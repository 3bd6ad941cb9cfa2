"""The native engine on an asyncio event loop."""

from __future__ import annotations

import asyncio
import os
import weakref
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from types import TracebackType
from typing import TypeGuard, TypeVar

from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.errors import EngineDeadError, ShimmyError
from shimmy.loaded_model import LoadedModel, Progress
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import RequestOutput
from shimmy.pump import Delivery, Pump
from shimmy.request import ChatPrompt, GenerateRequest

Asked = TypeVar("Asked", EmbedRequest, RerankRequest)
Answer = TypeVar("Answer", Embeddings, Ranking)


class AsyncEngine:
    """A model in this process that serves many requests at once (see `engine_client.EngineClient`).

    Belongs to the event loop it was loaded on::

        engine = await AsyncEngine.load(LoadSpec(name="mini", path="model.gguf"))
        async with engine.stream(GenerateRequest(request_id="1", prompt="Hello")) as stream:
            async for output in stream:
                print(output.text, end="")
    """

    def __init__(self, model: LoadedModel) -> None:
        self._loop = asyncio.get_running_loop()
        self._model = model
        self._pump: Pump[RequestStream] = Pump(model, self._hand_over)
        self._closed = False
        self._take: Callable[[Sequence[RequestOutput]], None] | None = None
        self._finalizer = weakref.finalize(self, self._pump.close)  # when Python ends before close()

    @classmethod
    async def load(cls, spec: LoadSpec, progress: Progress | None = None) -> AsyncEngine:
        """Load a model on another thread, where `progress` is called with 0.0 to 1.0.

        Raises ModelLoadError, InvalidRequestError (options) or TemplateError.
        """
        return cls(await asyncio.to_thread(LoadedModel, spec, progress))

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def alive(self) -> bool:
        return not self._closed and not self._model.death

    def forward(self, take: Callable[[Sequence[RequestOutput]], None]) -> None:
        """From now on `take` gets the outputs of streams but the last of each, those of a step together, on a thread of
        the engine. To iterate a stream is then to wait for its last one. `take` must not block nor raise.
        """
        self._take = take

    def stream(self, request: GenerateRequest) -> RequestStream:
        """Run one request: `async with engine.stream(request) as stream`. Leaving the block cancels it."""
        return RequestStream(self._model, self._pump, request)

    async def tokenize(
        self, prompt: str | ChatPrompt, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        if isinstance(prompt, ChatPrompt):
            return await asyncio.to_thread(self._model.chat_tokens, prompt)
        return await asyncio.to_thread(
            self._model.tokenizer.encode, prompt, add_special=add_special, parse_special=parse_special
        )

    async def detokenize(self, tokens: list[int]) -> str:
        return self._model.tokenizer.decode(tokens)

    async def pieces(self, tokens: list[int]) -> list[bytes]:
        return await asyncio.to_thread(lambda: [self._model.tokenizer.piece(token, special=True) for token in tokens])

    async def render_chat(self, prompt: ChatPrompt) -> str:
        return (await asyncio.to_thread(self._model.render, prompt)).text

    async def embed(self, request: EmbedRequest) -> Embeddings:
        return await self._answer(self._model.embedder.embed, request)

    async def rerank(self, request: RerankRequest) -> Ranking:
        return await self._answer(self._model.embedder.rerank, request)

    async def load_adapter(self, name: str, path: str) -> None:
        await asyncio.to_thread(self._model.load_adapter, name, path)

    async def unload_adapter(self, name: str) -> None:
        await asyncio.to_thread(self._model.unload_adapter, name)

    async def stats(self) -> EngineStats:
        return self._model.stats()

    async def close(self) -> None:
        """Cancel what runs and end the engine. Idempotent."""
        self._closed = True
        self._finalizer.detach()
        await asyncio.to_thread(self._pump.close)

    async def _answer(self, submit: Callable[[Asked], Future[Answer]], request: Asked) -> Answer:
        """Tokenize and queue on another thread; being cancelled at any time cancels the job."""
        submitting = asyncio.ensure_future(asyncio.to_thread(submit, request))
        try:
            future = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            submitting.add_done_callback(_cancel_submitted)
            raise
        return await asyncio.wrap_future(future)

    def _hand_over(self, delivery: Delivery[RequestStream]) -> None:
        if self._take is not None:
            self._take([item for stream, item in delivery if _goes_on(item) and not stream.left])
            delivery = [(stream, item) for stream, item in delivery if not _goes_on(item)]
        if not delivery:
            return
        try:
            self._loop.call_soon_threadsafe(_deliver, delivery)
        except RuntimeError:  # the loop is closed: nobody is left to read
            self._closed = True


def _cancel_submitted(submitting: asyncio.Future[Future[Answer]]) -> None:
    if not submitting.cancelled() and submitting.exception() is None:
        submitting.result().cancel()


def _goes_on(item: RequestOutput | ShimmyError) -> TypeGuard[RequestOutput]:
    return isinstance(item, RequestOutput) and item.finish_reason is None


def _deliver(delivery: Delivery[RequestStream]) -> None:
    for stream, item in delivery:
        stream.put(item)


class RequestStream:
    """The outputs of one request. Enter it to start the request, iterate it, leave it to cancel what still runs."""

    def __init__(self, model: LoadedModel, pump: Pump[RequestStream], request: GenerateRequest) -> None:
        self._model = model
        self._pump = pump
        self._request = request
        self._items: deque[RequestOutput | ShimmyError] = deque()
        self._ready = asyncio.Event()
        self._engine_id: int | None = None
        self._finished = False
        self.left = False
        """Nobody wants its outputs any more."""

    async def __aenter__(self) -> RequestStream:
        death = self._model.death
        if death:
            raise EngineDeadError(death)
        submitting = asyncio.ensure_future(asyncio.to_thread(self._submit))
        try:
            self._engine_id = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            submitting.add_done_callback(self._cancel_submitted)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.left = True
        if not self._finished and self._engine_id is not None:
            self._finished = True
            self._pump.cancel(self._engine_id)

    def cancel(self) -> None:
        if not self._finished and self._engine_id is not None:
            self._pump.cancel(self._engine_id)

    def __aiter__(self) -> RequestStream:
        return self

    async def __anext__(self) -> RequestOutput:
        while not self._items:
            if self._finished:
                raise StopAsyncIteration
            self._ready.clear()
            await self._ready.wait()
        item = self._items.popleft()
        if isinstance(item, ShimmyError):
            self._finished = True
            raise item
        self._finished = item.finished
        return item

    def _submit(self) -> int:
        """On another thread: a long prompt is rendered, tokenized, copied and indexed."""
        return self._pump.submit(self._model.prepare(self._request), self)

    def _cancel_submitted(self, submitting: asyncio.Future[int]) -> None:
        if not submitting.cancelled() and submitting.exception() is None:
            self._pump.cancel(submitting.result())

    def put(self, item: RequestOutput | ShimmyError) -> None:
        """Called on the event loop by the engine."""
        self._items.append(item)
        self._ready.set()
