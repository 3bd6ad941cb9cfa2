"""GET /ws/generate: generations over one WebSocket, one after the other, each of which can be stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from shimmy.errors import EngineDeadError, InvalidRequestError, ShimmyError
from shimmy.models.virtual_names import begin_choices
from shimmy.output import Usage
from shimmy.request import GenerateRequest
from shimmy.server.backend import Backend
from shimmy.server.endpoint import unexpected
from shimmy.server.errors import native_error, problem_of
from shimmy.server.native_answer import usage_of
from shimmy.server.received_body import decoded
from shimmy.server.request_record import note_error, recorded_apart
from shimmy.server.schemas.native import Control, NativeRequest
from shimmy.server.socket_connection import STOPPING
from shimmy.server.steered_answer import SteeredAnswer

Translate: TypeAlias = Callable[[NativeRequest], GenerateRequest]

INTERNAL_ERROR = 1011
SERVICE_RESTART = 1012

_END_SECONDS = 5.0

logger = logging.getLogger("shimmy.server")

_ENCODER = msgspec.json.Encoder()


class _Running:
    """A generation, and the temperature that was asked for meanwhile."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.begun = asyncio.Event()
        self.ending = False
        """Its last frame is on its way."""
        self.temperature: float | None = None
        self.answer: SteeredAnswer | None = None
        """Once its engine has accepted it."""

    @property
    def done(self) -> bool:
        return self.task is None or self.task.done()

    async def end(self) -> None:
        """As its client asks for it: the engine counts what it did. It has sent its last frame then."""
        if self.task is not None and self.answer is not None:
            self.answer.stop()
            await asyncio.wait([self.task], timeout=_END_SECONDS)
        await self.stop()

    async def stop(self) -> None:
        """At once. It has sent its last frame then, unless nobody is there to read it."""
        if self.task is None:
            return
        await self.begun.wait()  # a task that is cancelled before that never runs
        if not self.ending:
            self.task.cancel()
        await asyncio.wait([self.task])


class NativeSocket:
    """Frames in: a request, or while one runs `{"stop": true}` or `{"temperature": number}`. Frames out: text as it
    comes, then a JSON object with `done` or `error`; reasoning comes as `{"thinking": text}`. What a change of the
    temperature cannot do is an `error` too, and the answer goes on; `done` tells the changes, each with `at`, the
    number of tokens before it. Control frames that come when nothing runs (any more) are ignored.
    """

    def __init__(self, backend: Backend, translate: Translate) -> None:
        self._backend = backend
        self._translate = translate

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        running = _Running()
        stopping = asyncio.ensure_future(_stopping(socket))
        try:
            while True:
                frame = await _next_frame(socket, stopping, running)
                if frame is None:
                    if socket.application_state is not WebSocketState.DISCONNECTED:
                        await socket.close(SERVICE_RESTART)
                    return
                if not running.done:
                    await self._control(socket, frame, running)
                elif not await _is_control(frame):
                    running = _Running()
                    running.task = asyncio.ensure_future(self._generate(socket, frame, running))
        except WebSocketDisconnect:
            pass
        finally:
            stopping.cancel()
            await running.stop()

    async def _control(self, socket: WebSocket, frame: bytes, running: _Running) -> None:
        try:
            control = await decoded(frame, Control)
            if control.stop:
                await running.end()
            elif control.temperature is not None and not control.is_request:
                running.temperature = control.temperature
            else:
                raise InvalidRequestError('a generation is running: wait for it, or send {"stop": true} first')
        except InvalidRequestError as error:
            await _send_error(socket, error)

    async def _generate(self, socket: WebSocket, frame: bytes, running: _Running) -> None:
        running.begun.set()
        with recorded_apart():
            await self._answered(socket, frame, running)

    async def _answered(self, socket: WebSocket, frame: bytes, running: _Running) -> None:
        try:
            await self._answer(socket, frame, running)
        except WebSocketDisconnect:
            pass
        except EngineDeadError as error:
            await _send_failure(socket, error)
            await socket.close(INTERNAL_ERROR)
        except ShimmyError as error:
            await _send_failure(socket, error)
        except Exception:
            logger.exception("a generation failed unexpectedly")
            await _send_failure(socket, unexpected())

    async def _answer(self, socket: WebSocket, frame: bytes, running: _Running) -> None:
        choices = begin_choices()
        try:
            body = await decoded(frame, NativeRequest)
            with self._backend.limiter.admit():
                async with SteeredAnswer(self._backend, body.model, self._translate(body)) as answer:
                    running.answer = answer
                    async for output in answer:
                        if output.reasoning:
                            await _send(socket, {"thinking": output.reasoning})
                        if output.text:
                            await socket.send_text(output.text)
                        await _steer(socket, answer, running)
                        if output.finished:
                            running.ending = True
                            await _send(socket, _last(output.finish_reason, usage_of(output.usage), answer, choices))
        except asyncio.CancelledError:
            if socket.client_state is WebSocketState.DISCONNECTED:
                raise
            # It was left before its engine could end it, or accept it, so what came is all that is counted.
            running.ending = True
            usage = Usage() if running.answer is None else running.answer.usage
            await _send(socket, _last("cancelled", usage_of(usage), running.answer, choices))


def _last(
    reason: str | None, usage: object, answer: SteeredAnswer | None, choices: dict[str, str]
) -> dict[str, object]:
    last: dict[str, object] = {"done": True, "done_reason": reason, "usage": usage}
    if answer is not None and answer.changes:
        last["temperatures"] = [{"at": at, "temperature": temperature} for at, temperature in answer.changes]
    if choices:
        last["chosen_model"] = ", ".join(choices.values())
    return last


async def _steer(socket: WebSocket, answer: SteeredAnswer, running: _Running) -> None:
    if running.temperature is not None:
        answer.want(running.temperature)
        running.temperature = None
    try:
        await answer.steer()
    except EngineDeadError:
        raise
    except ShimmyError as error:
        await _send_error(socket, error)


async def _is_control(frame: bytes) -> bool:
    try:
        control = await decoded(frame, Control)
    except InvalidRequestError:
        return False
    return (control.stop is True or control.temperature is not None) and not control.is_request


async def _stopping(socket: WebSocket) -> None:
    """Returns when the server stops; never where it does not tell (see `SocketConnection`)."""
    told = (socket.scope.get("extensions") or {}).get(STOPPING) or {"event": asyncio.Event()}
    await told["event"].wait()


async def _next_frame(socket: WebSocket, stopping: asyncio.Task[None], running: _Running) -> bytes | None:
    """None once the server stops and nothing runs. Raises WebSocketDisconnect."""
    receiving = asyncio.ensure_future(_receive(socket))
    try:
        while not (stopping.done() and running.done):
            if receiving.done():
                return receiving.result()
            ending = running.task if stopping.done() and running.task is not None else stopping
            await asyncio.wait({receiving, ending}, return_when=asyncio.FIRST_COMPLETED)
        return None
    finally:
        if receiving.cancel():
            await asyncio.wait({receiving})


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""


async def _send(socket: WebSocket, value: object) -> None:
    await socket.send_text(_ENCODER.encode(value).decode())


async def _send_failure(socket: WebSocket, error: ShimmyError) -> None:
    """What the generation came to."""
    note_error(problem_of(error))
    await _send_error(socket, error)


async def _send_error(socket: WebSocket, error: ShimmyError) -> None:
    await socket.send_text(native_error(problem_of(error)).decode())
