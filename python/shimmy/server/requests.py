"""The requests themselves: what is under way, ending it with its answer kept, and going on from any token of it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import sse
from shimmy.server.auth import tenant
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply, reading
from shimmy.server.errors import openai_error
from shimmy.server.generation import OutputParts, collect, generate_request
from shimmy.server.native_answer import EventWriter, usage_of
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, Family, Operation
from shimmy.server.request_tracker import TrackedRequest
from shimmy.server.schemas.decoding import decode, decode_query
from shimmy.server.schemas.requests import ForkRequest, RequestDetail, RequestFilter, RequestLine, RequestPage

_END_SECONDS = 5.0
_KEPT = {
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "min_tokens",
    "banned_strings",
    "speculation",
    "lora",
    "priority",
    "context_policy",
    "n_keep",
    "cache_diagnostics",
}
"""Fields of a request that are the parent's unless the fork says otherwise."""


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
        state = decode_query(request.query_params, RequestFilter).state
        own = [one for one in self._backend.tracker.all() if one.request.tenant == tenant.get()]
        return RequestPage(data=[RequestLine(**self._fields(one)) for one in own if state in (None, one.state)])

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
        body = decode(call.body, ForkRequest)
        parent = self._tracked(call.params["id"])
        client = await call.stack.enter_async_context(self._backend.manager.use(parent.model))
        request = await _forked(client, parent, body)
        (stream,) = (await self._backend.open(parent.model, [request], call.stack)).streams
        forked = self._backend.tracker.get(request.request_id)
        if body.stream:
            writer = EventWriter()
            return StreamReply(sse.MEDIA_TYPE, OutputParts(stream, writer.write), writer.write_error)
        await collect(stream)
        return Reply(msgspec.json.encode(RequestDetail(**self._details(forked), forked_from=parent.id)))

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


async def _forked(client: EngineClient, parent: TrackedRequest, body: ForkRequest) -> GenerateRequest:
    """The request that goes on: its prompt is the parent's and as much of the answer as is kept, so the engine finds
    all of it in its prefix cache.
    """
    kept = len(parent.token_ids) if body.at is None else body.at
    if kept > len(parent.token_ids):
        raise InvalidRequestError(f"at is {kept}, the answer has {len(parent.token_ids)} tokens", "at")
    if kept > 0 and parent.request.grammar is not None:
        raise InvalidRequestError("the request's answer follows a grammar, which cannot begin in its middle", "at")
    before = parent.request.prompt
    if isinstance(before, ChatPrompt) and parent.request.grammar is not None:
        before = msgspec.structs.replace(before, enable_thinking=False)  # as it was rendered for the parent
    tokens = before if isinstance(before, list) else await client.tokenize(before)
    request = generate_request(
        f"fork-{secrets.token_hex(12)}",
        body,
        [*tokens, *parent.token_ids[:kept]],
        max_tokens=parent.request.max_tokens if body.max_tokens is None else body.max_tokens,
    )
    given = {name for name in body.__struct_fields__ if getattr(body, name) is not None}
    said = {name: getattr(request, name) for name in given & _KEPT}
    if request.grammar is not None:
        said["grammar"] = request.grammar
    return msgspec.structs.replace(
        parent.request,
        request_id=request.request_id,
        prompt=request.prompt,
        sampling={**parent.request.sampling, **request.sampling},
        max_tokens=request.max_tokens,
        logprobs=None,
        prompt_logprobs=None,
        **said,
    )
