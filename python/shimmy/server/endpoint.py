"""What every generating route shares: body in, work cancelled when the client leaves, errors in the right shape."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AsyncExitStack, aclosing
from functools import update_wrapper, wraps
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import quote

import msgspec
from starlette.datastructures import Headers, QueryParams
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shimmy.errors import ShimmyError
from shimmy.models.virtual_names import begin_choices
from shimmy.server import context_header
from shimmy.server.body import read_body
from shimmy.server.body_budget import BodyBudget, BodyShare
from shimmy.server.direct_answer import DIRECT
from shimmy.server.errors import ErrorShape, problem_of
from shimmy.server.generation import OutputParts
from shimmy.server.operation import MODEL_HEADER
from shimmy.server.received_body import ReceivedBody
from shimmy.server.request_record import note_error
from shimmy.server.streamed_answer import StreamedAnswer
from shimmy.settings import Settings


class Call(NamedTuple):
    """One request. What `stack` holds is left after the answer was sent, or when the client went away."""

    body: ReceivedBody
    headers: Headers
    stack: AsyncExitStack
    params: dict[str, Any]
    """Of the path."""
    query: QueryParams
    """What stands after the question mark."""


class Reply(NamedTuple):
    """A whole answer, as JSON."""

    body: bytes


class StreamReply(NamedTuple):
    """An answer in parts, sent as they come. `on_error` turns a late error, as JSON, into the last part.
    `keep_alive` is sent between parts when none comes for long, instead of a comment.
    """

    media_type: str
    parts: AsyncGenerator[bytes, None] | OutputParts
    on_error: Callable[[bytes], bytes]
    keep_alive: bytes = b""


logger = logging.getLogger("shimmy.server")

Handler: TypeAlias = Callable[[Call], Awaitable[Reply | StreamReply]]


class Endpoint:
    """An ASGI app around one handler. Errors before the first part are plain HTTP errors, also for streams, unless its
    client had to be kept waiting before it (`StreamedAnswer`).
    """

    def __init__(self, handler: Handler, shape: ErrorShape, max_body_bytes: int) -> None:
        update_wrapper(self, handler)  # its docstring, and what it declares
        self._handler = handler
        self._shape = shape
        self._max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        budget: BodyBudget = scope["app"].state.bodies
        share = budget.share()
        try:
            await self._serve(share, scope, receive, send)
        finally:
            share.release()

    async def _serve(self, share: BodyShare, scope: Scope, receive: Receive, send: Send) -> None:
        settings: Settings = scope["app"].state.live.now
        try:
            data = await read_body(scope, receive, self._max_body_bytes, settings.read_body_seconds, share)
            body = ReceivedBody(data, share)
            del data
        except ClientDisconnect:
            return
        except ShimmyError as error:
            await self._send_error(error, send)
            return
        work = asyncio.ensure_future(self._answer(body, scope, send))
        gone = asyncio.ensure_future(_disconnect(receive))
        try:
            await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            gone.cancel()
            work.cancel()
            await asyncio.wait({work, gone})
        if not work.cancelled():
            work.result()

    async def _answer(self, body: ReceivedBody, scope: Scope, send: Send) -> None:
        begin = time.monotonic()
        choices = begin_choices()
        context_header.begin()
        async with AsyncExitStack() as stack:
            try:
                query = QueryParams(scope["query_string"])
                call = Call(body, Headers(scope=scope), stack, scope.get("path_params", {}), query)
                reply = await self._handler(call)
            except ShimmyError as error:
                await self._send_error(error, send)
                return
            except Exception:
                logger.exception("a request failed unexpectedly")
                await self._send_error(unexpected(), send)
                return
            told = {MODEL_HEADER: quote(", ".join(choices.values()), safe=", :/")} if choices else {}
            if isinstance(reply, Reply):
                spent = str(round((time.monotonic() - begin) * 1000))
                known = {"openai-processing-ms": spent, **told, **context_header.headers()}
                await _send_whole(send, 200, reply.body, known)
                return
            idle_seconds = scope["app"].state.live.now.sse_keep_alive_seconds
            direct = scope.get(DIRECT)
            answering = StreamedAnswer(send, direct, reply.media_type, reply.keep_alive, idle_seconds, begin, told)
            async with answering as answer:
                await self._send_parts(reply, answer, send)

    async def _send_parts(self, reply: StreamReply, answer: StreamedAnswer, send: Send) -> None:
        try:
            async with aclosing(reply.parts) as parts:
                async for part in parts:
                    await answer.part(part)
                    if isinstance(parts, OutputParts) and answer.is_open():
                        await parts.pour(answer.is_open, answer.write)
        except ShimmyError as error:
            failure = error
        except Exception:
            logger.exception("an answer failed unexpectedly")
            failure = unexpected()
        else:
            await answer.end()
            return
        await answer.quiet()
        if answer.begun:
            problem = problem_of(failure)
            note_error(problem)
            await answer.part(reply.on_error(self._shape(problem)))
            await answer.end()
        else:
            await self._send_error(failure, send)

    async def _send_error(self, error: ShimmyError, send: Send) -> None:
        problem = problem_of(error)
        note_error(problem)
        await _send_whole(send, problem.status, self._shape(problem), problem.headers)


def reading(work: Callable[[Request], Awaitable[Any]], shape: ErrorShape) -> Callable[[Request], Awaitable[Response]]:
    """A handler for a route without a body: what `work` returns, as JSON; 204 when that is None."""

    @wraps(work)
    async def handle(request: Request) -> Response:
        try:
            answer = await work(request)
        except Exception as error:
            if not isinstance(error, ShimmyError):
                logger.exception("a request failed unexpectedly")
            problem = problem_of(error if isinstance(error, ShimmyError) else unexpected())
            note_error(problem)
            return Response(shape(problem), problem.status, problem.headers, "application/json")
        if answer is None:
            return Response(status_code=204)
        return Response(msgspec.json.encode(answer), media_type="application/json")

    return handle


def unexpected() -> ShimmyError:
    """What a client hears of a bug of ours."""
    return ShimmyError("internal server error: the server's log says more")


async def _send_whole(send: Send, status: int, body: bytes, headers: dict[str, str]) -> None:
    every = {"content-type": "application/json", "content-length": str(len(body)), **headers}
    await send({"type": "http.response.start", "status": status, "headers": _raw(every)})
    await send({"type": "http.response.body", "body": body})


def _raw(headers: dict[str, str]) -> list[tuple[bytes, bytes]]:
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
