"""Anthropic's API: messages and their token counts."""

from __future__ import annotations

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError
from shimmy.request import GenerateRequest
from shimmy.server import sse
from shimmy.server.anthropic_answer import EventWriter, message, new_id
from shimmy.server.anthropic_conversation import prompt_of, schema_of
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import anthropic_error
from shimmy.server.generation import collect, generate_request, parts_of
from shimmy.server.schemas.anthropic import Conversation, MessagesRequest, TokenCount
from shimmy.server.schemas.decoding import decode

PING = sse.named_event("ping", b'{"type":"ping"}')


class AnthropicRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, backend: Backend, max_body_bytes: int) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        messages = Endpoint(self._messages, anthropic_error, self._max_body_bytes)
        count = Endpoint(self._count_tokens, anthropic_error, self._max_body_bytes)
        return [
            Route("/v1/messages", messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", count, methods=["POST"]),
        ]

    async def _messages(self, call: Call) -> Reply | StreamReply:
        body = decode(call.body, MessagesRequest)
        message_id = new_id("msg")
        request = message_request(message_id, body)
        (stream,) = (await self._backend.open(body.model, [request], call.stack)).streams
        if not body.stream:
            return Reply(message(message_id, body.model, await collect(stream), body.max_tokens))
        writer = EventWriter(message_id, body.model, body.max_tokens)
        return StreamReply(sse.MEDIA_TYPE, parts_of(stream, writer.write), _error_event, PING)

    async def _count_tokens(self, call: Call) -> Reply:
        body = decode(call.body, Conversation)
        prompt = self._backend.conversation(body.model, prompt_of(body))
        client = await call.stack.enter_async_context(self._manager.use(body.model))
        return Reply(msgspec.json.encode(TokenCount(len(await client.tokenize(prompt)))))


def message_request(request_id: str, body: MessagesRequest) -> GenerateRequest:
    """What the engine gets. InvalidRequestError for what it cannot do."""
    if body.max_tokens == 0:
        raise InvalidRequestError("max_tokens must be at least 1", "max_tokens")
    prompt = prompt_of(body)
    if (schema := schema_of(body)) is not None:
        if body.json_schema is not None:
            raise InvalidRequestError("json_schema and output_config.format exclude each other", "json_schema")
        body.json_schema = schema
    return generate_request(request_id, body, prompt, max_tokens=body.max_tokens)


def _error_event(payload: bytes) -> bytes:
    return sse.named_event("error", payload)
