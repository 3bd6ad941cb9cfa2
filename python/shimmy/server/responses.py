"""OpenAI's Responses: create, stream, continue, read, cancel and delete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack
from typing import NamedTuple

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.models.virtual_names import answering
from shimmy.output import RequestOutput
from shimmy.request import GenerateRequest
from shimmy.server import sse
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply, reading, unexpected
from shimmy.server.errors import openai_error, openai_error_about, problem_of
from shimmy.server.generation import interleave, parts_of
from shimmy.server.limits import Hold
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, MODEL_HEADER, Family, Operation
from shimmy.server.request_record import current_record
from shimmy.server.response_events import ResponseEvents
from shimmy.server.response_store import Conversation, ResponseStore, StoredResponse
from shimmy.server.responses_answer import ResponseWriter, new_id, new_response
from shimmy.server.responses_conversation import messages_of, prompt_of, response_request
from shimmy.server.responses_input import ResponseInput, read_input
from shimmy.server.responses_items import input_items, messages_of_answer
from shimmy.server.responses_tools import ResponseTools, tools_of
from shimmy.server.schemas.decoding import decode_query
from shimmy.server.schemas.responses import (
    InputItems,
    InputTokens,
    ResponseDeleted,
    ResponseEvent,
    ResponseObject,
    ResponseQuery,
    ResponsesRequest,
)

logger = logging.getLogger("shimmy.server")


class _Asked(NamedTuple):
    """What a body says, read together with what is stored."""

    earlier: Conversation
    given: ResponseInput
    tools: ResponseTools


class ResponsesRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, backend: Backend, max_body_bytes: int) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._max_body_bytes = max_body_bytes
        self._store = ResponseStore()
        self._told: set[str] = set()
        """Kinds of tools and items whose leaving out was logged."""

    def routes(self) -> list[BaseRoute]:
        create = Endpoint(self._create, openai_error_about("input"), self._max_body_bytes)
        count = Endpoint(self._count, openai_error_about("input"), self._max_body_bytes)
        return [
            Route("/v1/responses", create, methods=["POST"]),
            Route("/responses", create, methods=["POST"]),
            Route("/v1/responses/input_tokens", count, methods=["POST"]),
            Route("/v1/responses/{id}", Endpoint(self._get, openai_error, self._max_body_bytes), methods=["GET"]),
            Route("/v1/responses/{id}", reading(self._delete, openai_error), methods=["DELETE"]),
            Route("/v1/responses/{id}/cancel", reading(self._cancel, openai_error), methods=["POST"]),
            Route("/v1/responses/{id}/input_items", reading(self._input_items, openai_error), methods=["GET"]),
        ]

    async def close(self) -> None:
        """End what runs in the background."""
        await self._store.close()

    @Operation(
        Family.OPENAI,
        "Answer, and keep the answer for later turns",
        body=ResponsesRequest,
        example={"model": "shimmy-mini", "input": "What is the capital of France?"},
        answers={JSON: ResponseObject, EVENTS: ResponseEvent},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _create(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(ResponsesRequest)
        if body.background and body.store is False:
            raise InvalidRequestError("background needs store: the answer is asked for by its id", "background")
        asked = self._read(body)
        response = new_response(new_id("resp"), body, asked.tools.in_force)
        stored = StoredResponse(response, asked.earlier, asked.given)
        request = response_request(response.id, body, stored.conversation.messages, asked.tools.selection)
        if body.background:
            self._backend.settle(body.model, request)
            await self._manager.get(body.model)  # an unknown model is an error now
            response.model = answering(body.model)
            stored.events = ResponseEvents() if body.stream else None
            writer = ResponseWriter(response, asked.tools.called, stored.events)
            writer.queue()
            stored.task = asyncio.ensure_future(self._run(request, body.model, stored, writer))
            _keep_open(stored.task, self._backend.limiter.share())
            self._store.add(stored)
            if stored.events is not None:
                return _following(stored.events.follow())
            return Reply(msgspec.json.encode(response))
        writer = ResponseWriter(response, asked.tools.called)
        (stream,) = (await self._backend.open(body.model, [request], call.stack)).streams
        response.model = answering(body.model)
        if body.stream:
            parts = self._events(stream, writer, stored)
            return StreamReply(sse.MEDIA_TYPE, parts, lambda error: _failed(writer, error))
        async for _, output in interleave([stream]):
            writer.write(output)
        self._keep(stored)
        return Reply(msgspec.json.encode(response))

    @Operation(
        Family.OPENAI,
        "Count the tokens of an input",
        body=ResponsesRequest,
        example={"model": "shimmy-mini", "input": "What is the capital of France?"},
        answers={JSON: InputTokens},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _count(self, call: Call) -> Reply:
        body = await call.body.decode(ResponsesRequest)
        asked = self._read(body)
        messages = [*asked.earlier.messages, *messages_of(asked.given.entries)]
        prompt = prompt_of(body, messages, asked.tools.selection)
        prompt = self._backend.conversation(body.model, prompt)
        client = await call.stack.enter_async_context(self._manager.use(body.model))
        return Reply(msgspec.json.encode(InputTokens(input_tokens=len(await client.tokenize(prompt)))))

    def _read(self, body: ResponsesRequest) -> _Asked:
        earlier = self._earlier(body)
        given = read_input(body.input, self._store.item, earlier.item_ids)
        tools = tools_of(body, earlier.tools, given.tools)
        for kind in sorted({*given.left_out, *tools.left_out} - self._told):
            logger.warning("%s is left out of requests to /v1/responses: only OpenAI's service has it", kind)
            self._told.add(kind)
        return _Asked(earlier, given, tools)

    def _earlier(self, body: ResponsesRequest) -> Conversation:
        if body.previous_response_id is None:
            return Conversation()
        stored = self._store.get(body.previous_response_id, "previous_response_id")
        if stored.task is not None:
            raise InvalidRequestError(
                f"response {body.previous_response_id!r} is still {stored.response.status}", "previous_response_id"
            )
        return stored.conversation

    def _events(
        self, stream: AsyncIterator[RequestOutput], writer: ResponseWriter, stored: StoredResponse
    ) -> AsyncGenerator[bytes, None]:
        begun = False

        def write(item: tuple[int, RequestOutput]) -> bytes:
            nonlocal begun
            head, begun = b"" if begun else writer.begin(), True
            return head + self._take(writer, item[1], stored)

        return parts_of(interleave([stream]), write)

    def _take(self, writer: ResponseWriter, output: RequestOutput, stored: StoredResponse) -> bytes:
        events = writer.write(output)
        if output.finished:
            self._keep(stored)
        return events

    def _keep(self, stored: StoredResponse) -> None:
        stored.answer = messages_of_answer(stored.response.output)
        if stored.response.store:
            self._store.add(stored)

    async def _run(self, request: GenerateRequest, model: str, stored: StoredResponse, writer: ResponseWriter) -> None:
        """A response in the background."""
        try:
            async with AsyncExitStack() as stack:
                (stream,) = (await self._backend.open(model, [request], stack)).streams
                writer.begin()
                async for _, output in interleave([stream]):
                    writer.write(output)
        except asyncio.CancelledError:
            if stored.response.status in ("queued", "in_progress"):
                writer.cancel()
        except ShimmyError as error:
            problem = problem_of(error)
            writer.fail(problem.code or problem.type, problem.message)
        except Exception:
            logger.exception("a response in the background failed unexpectedly")
            writer.fail("server_error", unexpected().message)
        finally:
            stored.task = None
            self._keep(stored)
            if stored.events is not None:
                stored.events.end()

    @Operation(
        Family.OPENAI,
        "Read a response",
        query=ResponseQuery,
        answers={JSON: ResponseObject, EVENTS: ResponseEvent},
        errors=(404,),
    )
    async def _get(self, call: Call) -> Reply | StreamReply:
        """The events of a response are there once more, and go on, where `background` and `stream` created it."""
        stored, query = self._store.get(call.params["id"]), decode_query(call.query, ResponseQuery)
        if not query.stream:
            if query.starting_after is not None:
                raise InvalidRequestError("starting_after counts events: it needs stream=true", "starting_after")
            return Reply(msgspec.json.encode(stored.response))
        if stored.events is None:
            raise InvalidRequestError(
                "the events of this response were not kept: they are where it is created with background and stream",
                "stream",
            )
        return _following(stored.events.follow(-1 if query.starting_after is None else query.starting_after))

    @Operation(Family.OPENAI, "Forget a response", answers={JSON: ResponseDeleted}, errors=(404,))
    async def _delete(self, request: Request) -> msgspec.Struct:
        response_id = request.path_params["id"]
        self._store.delete(response_id)
        return ResponseDeleted(id=response_id)

    @Operation(Family.OPENAI, "End a response in the background", answers={JSON: ResponseObject}, errors=(400, 404))
    async def _cancel(self, request: Request) -> msgspec.Struct:
        stored = self._store.get(request.path_params["id"])
        if not stored.response.background:
            raise InvalidRequestError("only responses in the background can be cancelled", "id")
        if stored.task is not None:
            stored.task.cancel()
            await asyncio.wait({stored.task})
        return stored.response

    @Operation(Family.OPENAI, "List what a response answers", answers={JSON: InputItems}, errors=(404,))
    async def _input_items(self, request: Request) -> msgspec.Struct:
        return input_items(self._store.get(request.path_params["id"]).items)


def _keep_open(task: asyncio.Task[None], hold: Hold) -> None:
    """The request has not ended before `task` has, for its limits and for those who observe it."""
    record = current_record()
    if record is not None:
        record.hold()

    def end(_: asyncio.Task[None]) -> None:
        hold.release()
        if record is not None:
            record.let_go()

    task.add_done_callback(end)


def _following(events: AsyncGenerator[bytes, None]) -> StreamReply:
    return StreamReply(sse.MEDIA_TYPE, events, sse.json_event)


def _failed(writer: ResponseWriter, error: bytes) -> bytes:
    told = msgspec.json.decode(error)["error"]
    return writer.fail(told["code"] or told["type"], told["message"])
