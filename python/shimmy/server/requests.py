"""The requests themselves: what is under way, ending it with its answer kept, and going on from any token of it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.server import sse
from shimmy.server.auth import tenant
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply, reading
from shimmy.server.errors import openai_error
from shimmy.server.fork import forked
from shimmy.server.generation import OutputParts, collect
from shimmy.server.native_answer import EventWriter, usage_of
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, Family, Operation
from shimmy.server.request_tracker import TrackedRequest
from shimmy.server.schemas.decoding import decode_query
from shimmy.server.schemas.requests import ForkRequest, RequestDetail, RequestFilter, RequestLine, RequestPage

_END_SECONDS = 5.0


class RequestRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, backend: Backend, max_body_bytes: int) -> None:
        self._backend = backend
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        fork = Endpoint(self._fork, openai_error, self._max_body_bytes)
        return [
            Route("/v1/requests", reading(self._list, openai_error), methods=["GET"]),
            Route("/v1/requests/{id}", reading(self._get, openai_error), methods=["GET"]),
            Route("/v1/requests/{id}", reading(self._cancel, openai_error), methods=["DELETE"]),
            Route("/v1/requests/{id}/fork", fork, methods=["POST"]),
        ]

    @Operation(Family.SHIMMY, "List requests", query=RequestFilter, answers={JSON: RequestPage})
    async def _list(self, request: Request) -> RequestPage:
        wanted = decode_query(request.query_params, RequestFilter)
        found = [
            one
            for one in self._backend.tracker.all()
            if one.request.tenant == tenant.get()
            and wanted.state in (None, one.state)
            and wanted.request_id in (None, one.http_id)
        ]
        return RequestPage(data=[RequestLine(**self._fields(one)) for one in found])

    @Operation(Family.SHIMMY, "Tell of one request", answers={JSON: RequestDetail}, errors=(404,))
    async def _get(self, request: Request) -> RequestDetail:
        return self._detail(self._tracked(request.path_params["id"]))

    @Operation(Family.SHIMMY, "End a request and keep its answer so far", answers={JSON: RequestDetail}, errors=(404,))
    async def _cancel(self, request: Request) -> RequestDetail:
        """Its own connection gets the answer so far, with finish_reason "cancelled" in its protocol's words."""
        tracked = self._tracked(request.path_params["id"])
        tracked.cancel()
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(tracked.done.wait(), _END_SECONDS)
        return self._detail(tracked)

    @Operation(
        Family.SHIMMY,
        "Go on from any token of a request's answer",
        body=ForkRequest,
        example={"at": 4, "temperature": 1.0},
        answers={JSON: RequestDetail, EVENTS: str},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _fork(self, call: Call) -> Reply | StreamReply:
        """What is told is new: the text behind the tokens that are kept. Usage counts these too, of a conversation as
        its answer's, else as the prompt's.
        """
        body = await call.body.decode(ForkRequest)
        parent = self._tracked(call.params["id"])
        client = await call.stack.enter_async_context(self._backend.manager.use(parent.model))
        fork = await forked(client, parent, body)
        stream = await self._backend.open_fork(parent.model, fork.request, fork.known, call.stack)
        own = self._backend.tracker.get(fork.request.request_id)
        if body.stream:
            writer = EventWriter()
            return StreamReply(sse.MEDIA_TYPE, OutputParts(stream, writer.write), writer.write_error)
        await collect(stream)
        return Reply(msgspec.json.encode(RequestDetail(**self._details(own), forked_from=parent.id)))

    def _tracked(self, request_id: str) -> TrackedRequest:
        """HttpError 404 as for one that is not there, when it is another key's."""
        tracked = self._backend.tracker.get(request_id)
        if tracked.request.tenant != tenant.get():
            raise self._backend.tracker.unknown(request_id)
        return tracked

    def _detail(self, tracked: TrackedRequest) -> RequestDetail:
        return RequestDetail(**self._details(tracked))

    def _details(self, tracked: TrackedRequest) -> dict[str, Any]:
        return {
            **self._fields(tracked),
            "text": tracked.text,
            "reasoning": tracked.reasoning,
            "token_ids": tracked.token_ids,
        }

    def _fields(self, tracked: TrackedRequest) -> dict[str, Any]:
        return {
            "id": tracked.id,
            "request_id": tracked.http_id,
            "model": tracked.model,
            "state": tracked.state,
            "queue_position": self._backend.tracker.position(tracked),
            "created": tracked.created,
            "ended": tracked.ended,
            "finish_reason": tracked.finish_reason,
            "error": tracked.error,
            "n_tokens": len(tracked.token_ids),
            "usage": usage_of(tracked.usage),
        }
