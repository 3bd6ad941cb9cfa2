"""GET /ws/generate: generations over one WebSocket, one after the other, each of which can be stopped."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import TypeAlias

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from shimmy.errors import EngineDeadError, InvalidRequestError, ShimmyError
from shimmy.models.virtual_names import begin_choices
from shimmy.request import GenerateRequest
from shimmy.server.backend import Backend
from shimmy.server.endpoint import unexpected
from shimmy.server.errors import native_error, problem_of
from shimmy.server.native_answer import usage_of
from shimmy.server.schemas.decoding import decode
from shimmy.server.schemas.native import NATIVE_DEFAULTS, Control, NativeRequest

Translate: TypeAlias = Callable[[NativeRequest], GenerateRequest]

INTERNAL_ERROR = 1011

logger = logging.getLogger("shimmy.server")

_ENCODER = msgspec.json.Encoder()


class NativeSocket:
    """Frames in: a request, or while one runs `{"stop": true}`. Frames out: text as it comes, then a JSON object
    with `done` or `error`; reasoning comes as `{"thinking": text}`.
    """

    def __init__(self, backend: Backend, translate: Translate) -> None:
        self._backend = backend
        self._translate = translate

    async def serve(self, socket: WebSocket) -> None:
        await socket.accept()
        running: asyncio.Task[None] | None = None
        try:
            while True:
                frame = await _receive(socket)
                if running is not None and not running.done():
                    if await self._control(socket, frame):
                        await _stop(running)
                else:
                    running = asyncio.ensure_future(self._generate(socket, frame))
        except WebSocketDisconnect:
            pass
        finally:
            if running is not None:
                await _stop(running)

    async def _control(self, socket: WebSocket, frame: bytes) -> bool:
        """True when the frame asks to stop."""
        try:
            if decode(frame, Control).stop:
                return True
            raise InvalidRequestError('a generation is running: wait for it, or send {"stop": true} first')
        except InvalidRequestError as error:
            await _send_error(socket, error)
            return False

    async def _generate(self, socket: WebSocket, frame: bytes) -> None:
        try:
            await self._answer(socket, frame)
        except WebSocketDisconnect:
            pass
        except EngineDeadError as error:
            await _send_error(socket, error)
            await socket.close(INTERNAL_ERROR)
        except ShimmyError as error:
            await _send_error(socket, error)
        except Exception:
            logger.exception("a generation failed unexpectedly")
            await _send_error(socket, unexpected())

    async def _answer(self, socket: WebSocket, frame: bytes) -> None:
        n_tokens = 0
        choices = begin_choices()
        try:
            body = decode(frame, NativeRequest)
            async with AsyncExitStack() as stack:
                stack.enter_context(self._backend.limiter.admit())
                running = await self._backend.open(body.model, [self._translate(body)], stack, NATIVE_DEFAULTS)
                (stream,) = running.streams
                async for output in stream:
                    n_tokens += len(output.token_ids)
                    if output.reasoning:
                        await _send(socket, {"thinking": output.reasoning})
                    if output.text:
                        await socket.send_text(output.text)
                    if output.finished:
                        last = {"done": True, "done_reason": output.finish_reason, "usage": usage_of(output.usage)}
                        chosen = {"chosen_model": running.client.info.name} if choices else {}
                        await _send(socket, {**last, **chosen})
        except asyncio.CancelledError:
            if socket.client_state is WebSocketState.DISCONNECTED:
                raise
            # The engine was left before it could count the prompt, so only what came is told.
            usage = {"completion_tokens": n_tokens}
            await _send(socket, {"done": True, "done_reason": "cancelled", "usage": usage})


async def _receive(socket: WebSocket) -> bytes:
    message = await socket.receive()
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1000))
    text = message.get("text")
    return text.encode() if text is not None else message.get("bytes") or b""


async def _stop(running: asyncio.Task[None]) -> None:
    running.cancel()
    await asyncio.wait([running])


async def _send(socket: WebSocket, value: object) -> None:
    await socket.send_text(_ENCODER.encode(value).decode())


async def _send_error(socket: WebSocket, error: ShimmyError) -> None:
    await socket.send_text(native_error(problem_of(error)).decode())
