"""One answer over as many engines as it takes."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING

import msgspec

from shimmy.engine_client import EngineClient, OutputStream, PouringStream
from shimmy.errors import (
    EngineDeadError,
    InvalidRequestError,
    ModelLoadError,
    ModelNotFoundError,
    QueueFullError,
)
from shimmy.models.continuation import Answer, DivergedError, Retelling
from shimmy.output import RequestOutput, Usage
from shimmy.request import GenerateRequest
from shimmy.runner.backlog import PausedError

if TYPE_CHECKING:
    from shimmy.models.supervisor import Supervisor

MAX_CRASHES = 2
"""Crashes that one request is blamed for, without a new token of it between them, that it is not sent again after."""

ALONE_SECONDS = 10.0
"""How long an answer that is resumed may take to go on before others come too. It is not blamed for a crash after that,
since theirs is as likely; but the next time they wait until it has gone on.
"""

_LOOK_SECONDS = 1.0  # how often who waits for others looks whether the model was put aside

logger = logging.getLogger("shimmy.models")


class ContinuedStream:
    """Implements `OutputStream`. Where its engine dies the request is sent to the next one, and what its reader gets
    goes on where it was, behind the tokens of before. So it does at the same engine when its reader was too slow for
    it. Entering and iterating raise what a stream of the engine does.

    An answer that has begun waits while the model is put aside. EngineDeadError after `MAX_CRASHES` without a token,
    and when the model cannot be started any more.
    """

    def __init__(self, supervisor: Supervisor, request: GenerateRequest) -> None:
        self._supervisor = supervisor
        self._request = request
        self._answer = Answer(request)
        self._engine = AsyncExitStack()
        self._client: EngineClient | None = None  # that it is at; when none is to be had the model is to blame
        self._stream: OutputStream | None = None
        self._first: asyncio.Future[RequestOutput] | None = None  # of its stream, when that was waited for in its turn
        self._retelling: Retelling | None = None
        self._n_crashes = 0
        self._outstayed = False  # its turn has ended without a token
        self._needs_all = False  # of the engine, until it has gone on
        self._n_pauses = 0
        self._paused = False
        self._cancelled = asyncio.Event()
        self._finished = False

    async def __aenter__(self) -> ContinuedStream:
        try:
            while self._stream is None:
                try:
                    await self._come(self._supervisor.ready)
                except EngineDeadError as error:
                    if self._client is None:
                        raise
                    self._blame(self._client, error)
        except BaseException:
            await self._close()  # who leaves now, in its turn say, is not asked to leave again
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        self._forget_first()
        await self._engine.aclose()

    def cancel(self) -> None:
        self._cancelled.set()
        if self._stream is not None:
            self._stream.cancel()

    def __aiter__(self) -> ContinuedStream:
        return self

    async def __anext__(self) -> RequestOutput:
        if self._finished:
            raise StopAsyncIteration
        while True:
            try:
                told = await (self._resumed() if self._stream is None else self._next())
                output = told if self._retelling is None else self._retelling.new_in(told)
            except EngineDeadError as error:
                if self._client is None:
                    raise  # there is no next one
                await self._leave(self._client, error)
                continue
            except PausedError:
                await self._engine.aclose()
                self._stream, self._paused = None, True
                continue
            except DivergedError:
                raise EngineDeadError("the engine died, and the next one tells the answer otherwise") from None
            if output is not None:
                return self._pass_on(output)

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        """Nothing while the answer is told once more, and when its engine dies."""

        def took(output: RequestOutput) -> bool:
            taken = take(output)
            if taken:
                self._pass_on(output)
            return taken

        if self._retelling is None and self._first is None and isinstance(self._stream, PouringStream):
            await self._stream.pour(took)

    def _pass_on(self, output: RequestOutput) -> RequestOutput:
        self._answer.note(output)
        if output.token_ids:
            self._n_crashes, self._outstayed, self._needs_all = 0, False, False
        if output.finished:
            self._finished = True
            if output.finish_reason not in ("cancelled", "deadline"):  # which say nothing of the engine
                self._supervisor.went_well()
        return output

    async def _next(self) -> RequestOutput:
        assert self._stream is not None
        if self._first is None:
            return await self._stream.__anext__()
        first, self._first = self._first, None
        return await first

    def _forget_first(self) -> None:
        if self._first is not None:
            self._first.cancel()
            self._first = None

    async def _come(self, ready: Callable[[], Awaitable[EngineClient]], name: str = "") -> None:
        """Enter, but not while others are resumed, and in turn after a crash: what kills the engine shall be known."""
        self._client = None
        if self._n_crashes:
            async with self._supervisor.turn():
                await self._enter_alone(await ready(), self._rest(name))
            return
        client = await ready()
        while not self._supervisor.calm.is_set():
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._supervisor.calm.wait(), _LOOK_SECONDS)
            client = await ready()
        await self._enter(client, self._rest(name))

    def _rest(self, name: str = "") -> GenerateRequest:
        rest = self._answer.rest()
        return msgspec.structs.replace(rest, request_id=name) if name else rest

    async def _enter_alone(self, client: EngineClient, request: GenerateRequest) -> None:
        """To be called in its turn, which ends with the first output."""
        await self._enter(client, request)
        assert self._stream is not None
        self._first = asyncio.ensure_future(self._stream.__anext__())
        self._first.add_done_callback(_retrieve)
        try:
            await asyncio.wait({self._first}, timeout=None if self._needs_all else ALONE_SECONDS)
        except asyncio.CancelledError:
            self._forget_first()
            raise
        self._outstayed = not self._first.done()

    async def _enter(self, client: EngineClient, request: GenerateRequest) -> None:
        self._client = client
        self._outstayed = False
        await self._supervisor.adapters.prepare(client, request.lora)
        self._stream = await self._engine.enter_async_context(client.stream(request))
        if self._cancelled.is_set():
            self._stream.cancel()

    async def _leave(self, client: EngineClient, error: EngineDeadError) -> None:
        """The engine died under it."""
        await self._close()
        self._stream = None
        self._blame(client, error)

    def _blame(self, client: EngineClient, error: EngineDeadError) -> None:
        if not self._supervisor.alive:
            raise error
        self._supervisor.crashed(client, error.message)
        if self._outstayed:
            self._needs_all = True
            return
        self._n_crashes += 1
        if self._n_crashes >= MAX_CRASHES:
            logger.error("request %s is given up: its engine died twice under it", self._request.request_id)
            raise error

    async def _resumed(self) -> RequestOutput:
        """The first output of the next engine, or the last one of all when it is cancelled or out of time meanwhile."""
        resuming = asyncio.ensure_future(self._unpause() if self._paused else self._resume())
        cancelled = asyncio.ensure_future(self._cancelled.wait())
        left = self._answer.seconds_left()
        try:
            await asyncio.wait({resuming, cancelled}, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (resuming, cancelled):
                task.cancel()
            await asyncio.wait({resuming, cancelled})
        if not resuming.cancelled():
            return resuming.result()
        usage = self._answer.usage(Usage(completion_tokens=len(self._answer.token_ids)))
        reason = "cancelled" if self._cancelled.is_set() else "deadline"
        return RequestOutput(request_id=self._request.request_id, finish_reason=reason, usage=usage)

    async def _unpause(self) -> RequestOutput:
        """Its reader has all that there was. The request has another id, so that no late output of the one before is
        taken for one of its own.
        """
        self._paused, self._n_pauses = False, self._n_pauses + 1
        name = f"{self._request.request_id}~{self._n_pauses}"
        self._retelling = Retelling(self._answer)
        while True:
            try:
                await self._come(partial(self._supervisor.ready_again, at_last=True), name)
            except QueueFullError as error:
                await asyncio.sleep(error.retry_after)
            else:
                return await self._next()

    async def _resume(self) -> RequestOutput:
        async with self._supervisor.turn():
            # Who has nothing yet is told to come again instead.
            self._client = None
            client = await self._supervisor.ready_again(at_last=bool(self._answer.token_ids))
            request = self._answer.rest()
            logger.info("request %s goes on after %d tokens", request.request_id, len(self._answer.token_ids))
            self._retelling = Retelling(self._answer)
            try:
                await self._enter_alone(client, request)
            except (InvalidRequestError, ModelLoadError, ModelNotFoundError, QueueFullError) as error:
                self._client = None
                raise EngineDeadError(f"the engine died, and the next one refused the request: {error}") from error
        return await self._next()


def _retrieve(first: asyncio.Future[RequestOutput]) -> None:
    """Look at an error that its reader, who left, does not want any more, so that asyncio does not warn about it."""
    if not first.cancelled():
        first.exception()
