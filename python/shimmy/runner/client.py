"""A loaded model in a process of its own: the same interface as `AsyncEngine`, spoken over a pipe."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import TypeVar

import msgspec

from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.engine_client import OutputStream
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelLoadError, QueueFullError, ShimmyError
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import frames
from shimmy.runner.backlog import Backlog, PausedError
from shimmy.runner.process import COMMAND, RunnerProcess
from shimmy.runner.watchdog import Watchdog

Answer = TypeVar("Answer", list[int], str, EngineStats)

_LOOK_SECONDS = 0.5
_HELLO_SECONDS = 60.0  # until a runner says its first word: it starts Python, maybe from a slow disk


class RunnerClient:
    """Implements `EngineClient`. Made by `start`; ended by `close`, or by the death of its process."""

    CLOSE_SECONDS = 5.0
    """How long a closing runner may take to free its model before it is killed."""
    HANG_SECONDS = 20.0

    def __init__(self, process: RunnerProcess, info: ModelInfo, hang_seconds: float = HANG_SECONDS) -> None:
        self._process = process
        self._info = info
        self._watchdog = Watchdog(hang_seconds, time.monotonic())
        self._death: str | None = None
        self._streams: dict[str, RunnerStream] = {}
        self._calls: dict[int, asyncio.Future[frames.Reply]] = {}
        self._numbers = itertools.count(1)
        self._reading = asyncio.ensure_future(self._read())
        self._watching = asyncio.ensure_future(self._watch())
        self._ending: asyncio.Task[str] | None = None

    @classmethod
    async def start(
        cls,
        spec: LoadSpec,
        progress: Callable[[float], None] | None = None,
        *,
        command: Sequence[str] = COMMAND,
        hang_seconds: float = HANG_SECONDS,
    ) -> RunnerClient:
        """Start a runner process and load a model into it; `progress` gets fractions from 0 to 1. A runner that hangs
        for about `hang_seconds` (see `Watchdog`; 0: never) is killed.

        Raises ModelLoadError (and what else the engine's load raises), also when the process dies meanwhile. Being
        cancelled kills the process.
        """
        try:
            process = await RunnerProcess.spawn(spec.name, command)
        except OSError as error:
            raise ModelLoadError(f"the runner process for model {spec.name!r} cannot be started: {error}") from error
        try:
            process.stdin.write(frames.encode(frames.Hello()) + frames.encode(frames.Load(spec)))
            return cls(process, await _loaded(process, spec, progress, hang_seconds or None), hang_seconds)
        except asyncio.TimeoutError:
            await process.kill()
            raise ModelLoadError(f"the runner of model {spec.name!r} hung while loading, and was killed") from None
        except frames.FrameError as error:
            await process.kill()
            raise ModelLoadError(f"the runner of model {spec.name!r} failed to start: {error.message}") from error
        except BaseException:
            await process.kill()
            raise

    @property
    def info(self) -> ModelInfo:
        return self._info

    @property
    def alive(self) -> bool:
        return self._death is None

    @property
    def pid(self) -> int:
        """Process id of the runner."""
        return self._process.pid

    def stream(self, request: GenerateRequest) -> AbstractAsyncContextManager[OutputStream]:
        return RunnerStream(self, request)

    async def tokenize(
        self, prompt: str | ChatPrompt, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        call = next(self._numbers)
        reply = await self._call(call, frames.Tokenize(call, prompt, add_special, parse_special))
        assert isinstance(reply, frames.Tokens)
        return reply.tokens

    async def detokenize(self, tokens: list[int]) -> str:
        call = next(self._numbers)
        reply = await self._call(call, frames.Detokenize(call, tokens))
        assert isinstance(reply, frames.Text)
        return reply.text

    async def pieces(self, tokens: list[int]) -> list[bytes]:
        call = next(self._numbers)
        reply = await self._call(call, frames.Split(call, tokens))
        assert isinstance(reply, frames.Pieces)
        return reply.pieces

    async def render_chat(self, prompt: ChatPrompt) -> str:
        call = next(self._numbers)
        reply = await self._call(call, frames.RenderChat(call, prompt))
        assert isinstance(reply, frames.Text)
        return reply.text

    async def embed(self, request: EmbedRequest) -> Embeddings:
        call = next(self._numbers)
        reply = await self._call(call, frames.Embed(call, request))
        assert isinstance(reply, frames.Embedded)
        return reply.embeddings

    async def rerank(self, request: RerankRequest) -> Ranking:
        call = next(self._numbers)
        reply = await self._call(call, frames.Rerank(call, request))
        assert isinstance(reply, frames.Ranked)
        return reply.ranking

    async def load_adapter(self, name: str, path: str) -> None:
        call = next(self._numbers)
        await self._change_adapters(call, frames.LoadAdapter(call, name, path))

    async def unload_adapter(self, name: str) -> None:
        call = next(self._numbers)
        await self._change_adapters(call, frames.UnloadAdapter(call, name))

    async def _change_adapters(self, call: int, command: frames.Command) -> None:
        reply = await self._call(call, command)
        assert isinstance(reply, frames.Adapters)
        self._info = msgspec.structs.replace(self._info, adapters=reply.names)

    async def stats(self) -> EngineStats:
        call = next(self._numbers)
        reply = await self._call(call, frames.Stats(call))
        assert isinstance(reply, frames.Counters)
        return reply.stats

    async def close(self) -> None:
        self._die("was closed")
        await self._end(self.CLOSE_SECONDS)
        self._reading.cancel()
        self._watching.cancel()

    async def _call(self, call: int, command: frames.Command) -> frames.Reply:
        answer: asyncio.Future[frames.Reply] = asyncio.get_running_loop().create_future()
        self._check_pipe()
        self._send(command)
        self._calls[call] = answer
        try:
            return await answer
        except asyncio.CancelledError:
            with contextlib.suppress(EngineDeadError):
                self._send(frames.CancelCall(call))
            raise
        finally:
            self._calls.pop(call, None)

    def _send(self, command: frames.Command) -> None:
        if self._death is not None:
            raise self._dead()
        try:
            frame = frames.encode(command)
        except frames.FrameError as error:
            raise InvalidRequestError(error.message) from error
        # No drain: each command waits for its answer anyway, and a broken pipe is noticed by the reader.
        self._process.stdin.write(frame)

    def _check_pipe(self) -> None:
        """A runner that reads nothing, until the watchdog ends it, must not fill our memory."""
        if self._process.stdin.transport.get_write_buffer_size() > frames.MAX_FRAME:
            raise QueueFullError(f"the runner of model {self._info.name!r} takes no requests at the moment")

    def _dead(self) -> EngineDeadError:
        return EngineDeadError(f"the runner of model {self._info.name!r} {self._death}")

    def _die(self, reason: str) -> None:
        """Mark the client dead and end every stream and call. The first reason stays."""
        if self._death is not None:
            return
        self._death = reason
        for stream in self._streams.values():
            stream.fail(self._dead())
        self._streams.clear()
        for answer in self._calls.values():
            if not answer.done():
                answer.set_exception(self._dead())
        self._calls.clear()

    async def _end(self, patience: float) -> str:
        if self._ending is None:
            if not self._process.stdin.is_closing():
                self._process.stdin.write(frames.encode(frames.Shutdown()))
            self._ending = asyncio.ensure_future(self._process.end(patience))
        return await asyncio.shield(self._ending)

    async def _read(self) -> None:
        try:
            while reply := await frames.read_reply(self._process.stdout):
                self._watchdog.heard(time.monotonic())
                self._handle(reply)
        except frames.FrameError as error:
            self._die(f"sent garbage and was killed: {error.message}")
            await self._process.kill()
        self._die(await self._end(patience=1.0))

    async def _watch(self) -> None:
        while self.alive:
            await asyncio.sleep(_LOOK_SECONDS)
            if wrong := self._watchdog.look(time.monotonic()):
                self._die(f"{wrong}, and was killed")
                await self._process.kill()

    def _handle(self, reply: frames.Reply) -> None:
        match reply:
            case frames.Outputs(outputs):
                for output in outputs:
                    if stream := self._streams.get(output.request_id):
                        stream.put(output)
            case frames.Pulse():
                self._watchdog.pulse(time.monotonic(), reply)
            case frames.Accepted(request_id):
                if stream := self._streams.get(request_id):
                    stream.accept()
            case frames.Rejected(request_id, failure) | frames.StreamFailed(request_id, failure):
                self._fail_stream(request_id, failure.exception())
            case (
                frames.Tokens(call)
                | frames.Pieces(call)
                | frames.Text(call)
                | frames.Embedded(call)
                | frames.Ranked(call)
                | frames.Adapters(call)
                | frames.Counters(call)
            ):
                if (answer := self._calls.get(call)) and not answer.done():
                    answer.set_result(reply)
            case frames.CallFailed(call, failure):
                self._fail_call(call, failure.exception())
            case _:
                raise frames.FrameError(f"an unexpected {type(reply).__name__} message")

    def _fail_stream(self, request_id: str, error: ShimmyError) -> None:
        if stream := self._streams.pop(request_id, None):
            stream.fail(error)
        self._die_of(error)

    def _fail_call(self, call: int, error: ShimmyError) -> None:
        if (answer := self._calls.get(call)) and not answer.done():
            answer.set_exception(error)
        self._die_of(error)

    def _die_of(self, error: ShimmyError) -> None:
        if isinstance(error, EngineDeadError):
            self._die(f"died: {error.message}")

    def _open(self, stream: RunnerStream) -> None:
        request_id = stream.request.request_id
        if request_id in self._streams:
            raise InvalidRequestError(f"a request {request_id!r} is already running", "request_id")
        self._check_pipe()
        self._send(frames.Start(stream.request))
        self._streams[request_id] = stream

    def _leave(self, stream: RunnerStream) -> None:
        if self._streams.get(stream.request.request_id) is stream:
            del self._streams[stream.request.request_id]
            if not stream.finished:
                self._send(frames.Cancel(stream.request.request_id))


class RunnerStream:
    """One request at a runner: entering waits until it is accepted, leaving cancels it. When too much waits for its
    reader it is left too, and raises PausedError behind that.
    """

    def __init__(self, client: RunnerClient, request: GenerateRequest) -> None:
        self.request = request
        self.finished = False
        self._client = client
        self._backlog = Backlog()
        self._begun = False
        self._accepted: asyncio.Future[None] | None = None

    async def __aenter__(self) -> RunnerStream:
        self._accepted = asyncio.get_running_loop().create_future()
        self._client._open(self)
        try:
            await self._accepted
        except BaseException:
            self._client._leave(self)
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(EngineDeadError):
            self._client._leave(self)

    def cancel(self) -> None:
        if not self.finished:
            with contextlib.suppress(EngineDeadError):
                self._client._send(frames.Stop(self.request.request_id))

    def __aiter__(self) -> RunnerStream:
        return self

    async def __anext__(self) -> RequestOutput:
        if self.finished:
            raise StopAsyncIteration
        output = await self._backlog.take()
        self.finished = output.finished
        return output

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        def took(output: RequestOutput) -> bool:
            taken = take(output)
            self.finished = taken and output.finished
            return taken

        if not self.finished:
            await self._backlog.pour(took)

    def accept(self) -> None:
        if self._accepted is not None and not self._accepted.done():
            self._accepted.set_result(None)

    def put(self, output: RequestOutput) -> None:
        self._begun = self._begun or bool(output.token_ids)
        is_late = self._backlog.waits
        self._backlog.put(output)
        # Not before the first token: without one it would have to begin anew.
        if is_late and self._backlog.is_full and self._begun and not output.finished:
            self._pause()

    def _pause(self) -> None:
        """The engine lets it go, so that it computes nothing that nobody reads."""
        with contextlib.suppress(EngineDeadError):
            self._client._leave(self)
        self._backlog.fail(PausedError("the reader of the answer is too slow"))

    def fail(self, error: ShimmyError) -> None:
        if self._accepted is not None and not self._accepted.done():
            self._accepted.set_exception(error)
        else:
            self._backlog.fail(error)


async def _loaded(
    process: RunnerProcess, spec: LoadSpec, progress: Callable[[float], None] | None, patience: float | None
) -> ModelInfo:
    """Wait for `Ready`, passing progress on. asyncio.TimeoutError when nothing comes for `patience` seconds."""
    greeted = False
    most = patience and max(patience, _HELLO_SECONDS)
    while reply := await asyncio.wait_for(frames.read_reply(process.stdout), patience if greeted else most):
        match reply:
            case frames.Hello(protocol) if not greeted:
                if protocol != frames.PROTOCOL:
                    raise frames.FrameError(f"it speaks protocol {protocol}, not {frames.PROTOCOL}: {frames.MISMATCH}")
                greeted = True
            case frames.Pulse() if greeted:
                pass
            case frames.Progress(fraction) if greeted:
                if progress is not None:
                    progress(fraction)
            case frames.Ready(info) if greeted:
                return info
            case frames.LoadFailed(failure) if greeted:
                await process.end(patience=1.0)
                raise failure.exception()
            case _:
                raise frames.FrameError(f"an unexpected {type(reply).__name__} message")
    raise ModelLoadError(f"the runner of model {spec.name!r} {await process.end(patience=1.0)} while loading")
