"""A model that outlives its runner: started again when that dies, and its answers go on."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Literal, TypeAlias, TypeVar

import msgspec

from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.engine_client import EngineClient
from shimmy.errors import EngineDeadError, ModelNotReadyError, ShimmyError
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.models.continued_stream import ContinuedStream
from shimmy.models.crash_history import CrashHistory
from shimmy.models.live_adapters import Files, LiveAdapters, versions
from shimmy.request import ChatPrompt, GenerateRequest

Progress: TypeAlias = Callable[[float], None]
Starter: TypeAlias = Callable[[LoadSpec, Progress | None], Awaitable[EngineClient]]
Health: TypeAlias = Literal["loading", "loaded", "dead", "failed"]
Answer = TypeVar("Answer")

MAX_STARTS = 3
"""Failed starts in a row after which answers under way are given up."""

logger = logging.getLogger("shimmy.models")


class Supervisor:
    """Implements `EngineClient` over one client after the other. Made by `start`, ended by `close` only.

    A dead client is replaced when somebody wants it, by one start for all who do. Answers under way go on (see
    `ContinuedStream`); embeddings and rankings raise EngineDeadError. A model that crashes again and again is put aside
    for a while (see `CrashHistory`), which answers under way wait for; every new call raises ModelNotReadyError.
    """

    def __init__(self, spec: LoadSpec, start: Starter, client: EngineClient, adapters: LiveAdapters) -> None:
        self._spec = spec
        self._start = start
        self._client = client
        self._crashes = CrashHistory()
        self._counted: EngineClient | None = None  # the last one whose death is in the history
        self._starting: asyncio.Task[EngineClient] | None = None
        self._n_failed = 0  # starts in a row
        self._closed = asyncio.Event()
        self.progress = 1.0
        """Of the load, 0 to 1."""
        self._one_by_one = asyncio.Lock()
        self._n_resuming = 0
        self.calm = asyncio.Event()
        """Set while no answer is being resumed, which others wait for."""
        self.calm.set()
        self.adapters = adapters

    @classmethod
    async def start(
        cls, spec: LoadSpec, start: Starter, progress: Progress | None = None, files: Files | None = None
    ) -> Supervisor:
        """Load the model for the first time. `files` tells the adapters that it has from now on; those of `spec` when
        left out. Raises what `start` raises.
        """
        adapters = LiveAdapters(files or (lambda: spec.adapters))
        held = await asyncio.to_thread(versions, spec.adapters)
        client = await start(spec, progress)
        adapters.begin(client, held)
        return cls(spec, start, client, adapters)

    @property
    def info(self) -> ModelInfo:
        return self._client.info

    @property
    def pid(self) -> int:
        """Of the last client."""
        return self._client.pid

    @property
    def alive(self) -> bool:
        """Whether it may be used: not closed."""
        return not self._closed.is_set()

    @property
    def health(self) -> Health:
        if self._starting is not None:
            return "loading"
        if self._client.alive:
            return "loaded"
        return "failed" if self._crashes.rest(time.monotonic()) > 0 else "dead"

    @property
    def trouble(self) -> str | None:
        """Why it is not loaded now; None when it is."""
        if self._client.alive:
            return None
        now = time.monotonic()
        return self._crashes.describe(now) if self._crashes.rest(now) > 0 else self._crashes.reason or None

    async def ready(self) -> EngineClient:
        """A client that lives, started when there is none.

        Raises ModelNotReadyError while the model is put aside and after `close`, EngineDeadError when the start fails.
        """
        if self._closed.is_set():
            raise ModelNotReadyError(f"model {self._spec.name!r} is being unloaded")
        if self._client.alive:
            return self._client
        if self._starting is None:
            self._starting = asyncio.ensure_future(self._restart())
            self._starting.add_done_callback(_retrieve)
        # Others wait for it too, and the next caller can use it.
        return await asyncio.shield(self._starting)

    async def ready_again(self, *, at_last: bool) -> EngineClient:
        """As `ready`, for what is under way: a start that fails is tried again, until `MAX_STARTS` have. `at_last`:
        waits while the model is put aside.
        """
        while not self._closed.is_set():
            try:
                return await self.ready()
            except EngineDeadError:
                if self._n_failed >= MAX_STARTS:
                    raise
            except ModelNotReadyError:
                if not at_last or self._n_failed >= MAX_STARTS:
                    raise
                with suppress(asyncio.TimeoutError):
                    await asyncio.wait_for(self._closed.wait(), self._crashes.rest(time.monotonic()))
        return await self.ready()

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Of an answer that is resumed, until it has gone on. What kills the runner then is taken for its deed: the
        others are resumed later, and who comes for the first time waits until it is calm.
        """
        self._n_resuming += 1
        self.calm.clear()
        try:
            async with self._one_by_one:
                yield
        finally:
            self._n_resuming -= 1
            if not self._n_resuming:
                self.calm.set()

    def crashed(self, client: EngineClient, reason: str) -> None:
        """Count the death of `client`, once, whoever notices, and whenever: one that was replaced has been counted."""
        if client is not self._client or client is self._counted or client.alive or self._closed.is_set():
            return
        self._counted = client
        self._crashes.record(time.monotonic(), reason)
        logger.error("%s", self._crashes.reason)

    def went_well(self) -> None:
        self._crashes.went_well()

    def stream(self, request: GenerateRequest) -> ContinuedStream:
        return ContinuedStream(self, request)

    async def tokenize(
        self, prompt: str | ChatPrompt, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        return await self._repeat(
            lambda client: client.tokenize(prompt, add_special=add_special, parse_special=parse_special)
        )

    async def detokenize(self, tokens: list[int]) -> str:
        return await self._repeat(lambda client: client.detokenize(tokens))

    async def pieces(self, tokens: list[int]) -> list[bytes]:
        return await self._repeat(lambda client: client.pieces(tokens))

    async def render_chat(self, prompt: ChatPrompt) -> str:
        return await self._repeat(lambda client: client.render_chat(prompt))

    async def embed(self, request: EmbedRequest) -> Embeddings:
        return await self._once(lambda client: client.embed(request), "embedding")

    async def rerank(self, request: RerankRequest) -> Ranking:
        return await self._once(lambda client: client.rerank(request), "ranking")

    async def load_adapter(self, name: str, path: str) -> None:
        """Engines started later get it too, as long as the model has it."""
        await self._once(lambda client: self.adapters.load(client, name, path), "loading of an adapter")

    async def unload_adapter(self, name: str) -> None:
        """Nothing when it is not loaded now; no engine is started for it."""
        try:
            await self.adapters.unload(self._client, name)
        except EngineDeadError as error:
            self.crashed(self._client, error.message)

    async def stats(self) -> EngineStats:
        """EngineDeadError while there is no client; none is started for it."""
        return await self._client.stats()

    async def close(self) -> None:
        """End the model and what runs on it. Idempotent."""
        self._closed.set()
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.wait({self._starting})
        await self._client.close()

    async def _once(self, call: Callable[[EngineClient], Awaitable[Answer]], name: str) -> Answer:
        client = await self.ready()
        try:
            answer = await call(client)
        except EngineDeadError as error:
            self.crashed(client, error.message)
            raise EngineDeadError(f"{error.message}; this {name} is lost, send the request again") from error
        self.went_well()
        return answer

    async def _repeat(self, call: Callable[[EngineClient], Awaitable[Answer]]) -> Answer:
        """Calls that take no time and change nothing."""
        client = await self.ready()
        try:
            return await call(client)
        except EngineDeadError as error:
            if self._closed.is_set():
                raise
            self.crashed(client, error.message)
            return await call(await self.ready())

    async def _restart(self) -> EngineClient:
        try:
            dead = self._client
            self.crashed(dead, await _why(dead))
            if (rest := self._crashes.rest(time.monotonic())) > 0:
                told = self._crashes.describe(time.monotonic())
                raise ModelNotReadyError(f"model {self._spec.name!r} is put aside: {told}", rest)
            self.progress = 0.0
            await dead.close()
            logger.warning("model %s is started again", self._spec.name)
            try:
                held = await self.adapters.unchanged()  # a file that went bad must not keep the model down
                spec = msgspec.structs.replace(self._spec, adapters={name: one.path for name, one in held.items()})
                self._client = await self._start(spec, self._on_progress)
                await self.adapters.begin_again(self._client, held)
            except (ShimmyError, OSError) as error:
                self._n_failed += 1
                self._crashes.record(time.monotonic(), f"it could not be started again: {error}")
                raise EngineDeadError(f"model {self._spec.name!r} could not be started again: {error}") from error
            self._n_failed = 0
            return self._client
        except asyncio.CancelledError:
            raise ModelNotReadyError(f"model {self._spec.name!r} is being unloaded") from None
        finally:
            self._starting = None

    def _on_progress(self, fraction: float) -> None:
        self.progress = fraction


async def _why(client: EngineClient) -> str:
    """What a dead client says of its death."""
    try:
        await client.stats()
    except EngineDeadError as error:
        return error.message
    return f"model {client.info.name!r} died"


def _retrieve(starting: asyncio.Task[EngineClient]) -> None:
    """Look at the error of a start that nobody waits for any more, so that asyncio does not warn about it."""
    if not starting.cancelled():
        starting.exception()
