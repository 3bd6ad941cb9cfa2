"""The work of a runner process: one engine, served to the process at the other end of the pipe."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, TypeAlias

from shimmy.embedding import EmbedRequest, RerankRequest
from shimmy.engine_client import EngineClient, OutputStream
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError, ModelNotReadyError, ShimmyError
from shimmy.model_info import EngineStats, LoadSpec
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import frames
from shimmy.runner.reply_pipe import ReplyPipe

Loader: TypeAlias = Callable[
    [LoadSpec, Callable[[float], None], Callable[[Sequence[RequestOutput]], None]], Awaitable[EngineClient]
]
"""Loads an engine, telling its progress. It may give outputs to the last argument, on any thread, instead of to those
who iterate its streams; but the last one of each, which ends the request here too before its client can hear of it."""

logger = logging.getLogger("shimmy.runner")

_PROGRESS_STEP = 0.01
_PULSE_SECONDS = 0.5


class Service:
    """Loads the engine, then runs every command as its own task until `Shutdown` or the end of the stream."""

    def __init__(self, commands: asyncio.StreamReader, replies: ReplyPipe, load: Loader) -> None:
        self._commands = commands
        self._replies = replies
        self._load = load
        self._engine: EngineClient | None = None
        self._requests: dict[str, asyncio.Task[None]] = {}
        self._streams: dict[str, OutputStream] = {}
        self._calls: set[asyncio.Task[None]] = set()
        self._answers: dict[int, asyncio.Task[None]] = {}  # those of self._calls that a call waits for
        self._ended = asyncio.Event()
        self._exit_code = 0

    async def run(self) -> int:
        """Serve until told to stop; returns the exit code of the process."""
        self._replies.send(frames.Hello())
        reading = asyncio.ensure_future(self._read())
        ended = asyncio.ensure_future(self._ended.wait())
        pulse = asyncio.ensure_future(self._pulse())
        await asyncio.wait({reading, ended}, return_when=asyncio.FIRST_COMPLETED)
        tasks = [reading, ended, pulse, *self._requests.values(), *self._calls]
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)
        if self._engine is not None:
            await self._engine.close()
        await self._replies.close()
        return self._exit_code

    async def _pulse(self) -> None:
        """Whatever hangs, from the event loop to a step of the engine, shows here."""
        while True:
            stats = EngineStats()
            if self._engine is not None and self._engine.alive:
                with contextlib.suppress(ShimmyError):
                    stats = await self._engine.stats()
            running = len(self._streams)
            self._replies.beat(frames.Pulse(running, stats.steps, stats.computed_tokens, stats.step_seconds))
            await asyncio.sleep(_PULSE_SECONDS)

    async def _read(self) -> None:
        try:
            hello = await frames.read_command(self._commands)
            if hello != frames.Hello():
                raise frames.FrameError(f"expected {frames.Hello()}, got {hello}: {frames.MISMATCH}")
            while command := await frames.read_command(self._commands):
                self._handle(command)
        except frames.FrameError as error:
            logger.error("%s", error.message)
            self._end(2)

    def _handle(self, command: frames.Command) -> None:
        match command:
            case frames.Start(request):
                self._start(request)
            case frames.Cancel(request_id):
                self._replies.drop(request_id)
                if task := self._requests.get(request_id):
                    task.cancel()
            case frames.Stop(request_id):
                if outputs := self._streams.get(request_id):
                    outputs.cancel()
            case frames.Tokenize(call, prompt, add_special, parse_special):
                self._answer(call, self._tokenize(call, prompt, add_special, parse_special))
            case frames.Detokenize(call, tokens):
                self._answer(call, self._detokenize(call, tokens))
            case frames.Split(call, tokens):
                self._answer(call, self._pieces(call, tokens))
            case frames.RenderChat(call, prompt):
                self._answer(call, self._render(call, prompt))
            case frames.Embed(call, request):
                self._answer(call, self._embed(call, request))
            case frames.Rerank(call, request):
                self._answer(call, self._rerank(call, request))
            case frames.LoadAdapter(call, name, path):
                self._answer(call, self._load_adapter(call, name, path))
            case frames.UnloadAdapter(call, name):
                self._answer(call, self._unload_adapter(call, name))
            case frames.CancelCall(call):
                if task := self._answers.get(call):
                    task.cancel()
            case frames.Stats(call):
                self._answer(call, self._stats(call))
            case frames.Load(spec):
                self._spawn(self._load_engine(spec))
            case frames.Shutdown():
                self._end(0)
            case frames.Hello():
                raise frames.FrameError("a second Hello")

    def _end(self, exit_code: int) -> None:
        self._exit_code = exit_code
        self._ended.set()

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.ensure_future(work)
        self._calls.add(task)
        task.add_done_callback(self._calls.discard)
        return task

    async def _load_engine(self, spec: LoadSpec) -> None:
        loop = asyncio.get_running_loop()
        sent = 0.0

        def send_progress(fraction: float) -> None:
            nonlocal sent
            if fraction - sent >= _PROGRESS_STEP or fraction >= 1.0 > sent:
                sent = fraction
                self._replies.send(frames.Progress(fraction))

        def on_progress(fraction: float) -> None:
            loop.call_soon_threadsafe(send_progress, fraction)

        try:
            self._engine = await self._load(spec, on_progress, self._replies.put)
        except ShimmyError as error:
            self._fail_load(error)
        except Exception as error:
            logger.exception("loading failed")
            self._fail_load(ModelLoadError(f"{type(error).__name__}: {error}"))
        else:
            await asyncio.sleep(0)  # progress that was reported from another thread goes first
            self._replies.send(frames.Ready(self._engine.info))

    def _fail_load(self, error: ShimmyError) -> None:
        self._replies.send(frames.LoadFailed(frames.Failure.of(error)))
        self._end(1)

    def _loaded(self) -> EngineClient:
        if self._engine is None:
            raise ModelNotReadyError("the model is still loading")
        return self._engine

    def _start(self, request: GenerateRequest) -> None:
        request_id = request.request_id
        if request_id in self._requests:
            error = InvalidRequestError(f"a request {request_id!r} is already running", "request_id")
            self._replies.send(frames.Rejected(request_id, frames.Failure.of(error)))
            return
        task = asyncio.ensure_future(self._stream(request))
        self._requests[request_id] = task
        task.add_done_callback(lambda _: self._requests.pop(request_id, None))

    async def _stream(self, request: GenerateRequest) -> None:
        accepted = False
        try:
            async with self._loaded().stream(request) as outputs:
                accepted = True
                self._replies.send(frames.Accepted(request.request_id))
                self._streams[request.request_id] = outputs
                async for output in outputs:
                    self._replies.put([output])
            return
        except ShimmyError as caught:
            error = caught
        except Exception as caught:
            logger.exception("request %s failed", request.request_id)
            error = _unexpected(caught)
        finally:
            self._streams.pop(request.request_id, None)
        failure = frames.Failure.of(error)
        if accepted:
            self._replies.fail(request.request_id, failure)
        else:
            self._replies.send(frames.Rejected(request.request_id, failure))
        self._end_if_dead(error)

    def _answer(self, call: int, work: Coroutine[Any, Any, frames.Reply]) -> None:
        task = self._answers[call] = self._spawn(self._run_call(call, work))

        def end(_: asyncio.Task[None]) -> None:
            self._answers.pop(call, None)
            work.close()  # for a task that was cancelled before it began

        task.add_done_callback(end)

    async def _run_call(self, call: int, work: Coroutine[Any, Any, frames.Reply]) -> None:
        try:
            self._replies.send(await work)
            return
        except ShimmyError as caught:
            error = caught
        except Exception as caught:
            logger.exception("call failed")
            error = _unexpected(caught)
        self._replies.send(frames.CallFailed(call, frames.Failure.of(error)))
        self._end_if_dead(error)

    def _end_if_dead(self, error: ShimmyError) -> None:
        # A dead engine never recovers: ending the process frees its memory, and the server starts another.
        if isinstance(error, EngineDeadError):
            asyncio.get_running_loop().call_later(0.1, self._end, 1)

    async def _tokenize(
        self, call: int, prompt: str | ChatPrompt, add_special: bool, parse_special: bool
    ) -> frames.Reply:
        engine = self._loaded()
        return frames.Tokens(call, await engine.tokenize(prompt, add_special=add_special, parse_special=parse_special))

    async def _detokenize(self, call: int, tokens: list[int]) -> frames.Reply:
        return frames.Text(call, await self._loaded().detokenize(tokens))

    async def _pieces(self, call: int, tokens: list[int]) -> frames.Reply:
        return frames.Pieces(call, await self._loaded().pieces(tokens))

    async def _render(self, call: int, prompt: ChatPrompt) -> frames.Reply:
        return frames.Text(call, await self._loaded().render_chat(prompt))

    async def _embed(self, call: int, request: EmbedRequest) -> frames.Reply:
        return frames.Embedded(call, await self._loaded().embed(request))

    async def _rerank(self, call: int, request: RerankRequest) -> frames.Reply:
        return frames.Ranked(call, await self._loaded().rerank(request))

    async def _load_adapter(self, call: int, name: str, path: str) -> frames.Reply:
        engine = self._loaded()
        await engine.load_adapter(name, path)
        return frames.Adapters(call, engine.info.adapters)

    async def _unload_adapter(self, call: int, name: str) -> frames.Reply:
        engine = self._loaded()
        await engine.unload_adapter(name)
        return frames.Adapters(call, engine.info.adapters)

    async def _stats(self, call: int) -> frames.Reply:
        return frames.Counters(call, await self._loaded().stats())


def _unexpected(caught: Exception) -> ShimmyError:
    """A bug in one request; without memory nothing would work any more, so that ends the process."""
    if isinstance(caught, MemoryError) or "can't start new thread" in str(caught):
        return EngineDeadError("it ran out of memory")
    return ShimmyError(f"internal error in the runner: {type(caught).__name__}: {caught}")
