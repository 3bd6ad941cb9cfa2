"""Anthropic's API: messages and their token counts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError
from shimmy.final_message import ends_in_text
from shimmy.models.virtual_names import answering
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import sse
from shimmy.server.anthropic_answer import EventWriter, message, new_id
from shimmy.server.anthropic_conversation import check_prefill, messages_of, prompt_of, schema_of
from shimmy.server.anthropic_session import remembered
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import anthropic_error
from shimmy.server.generation import OutputParts, collect, generate_request
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, MODEL_HEADER, Family, Operation
from shimmy.server.schemas.anthropic import Conversation, Message, MessageEvent, MessagesRequest, TokenCount
from shimmy.server.session_store import SessionStore

PING = sse.named_event("ping", b'{"type":"ping"}')


class AnthropicRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, backend: Backend, sessions: SessionStore, max_body_bytes: int) -> None:
        self._backend = backend
        self._sessions = sessions
        self._manager = backend.manager
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        messages = Endpoint(self._messages, anthropic_error, self._max_body_bytes)
        count = Endpoint(self._count_tokens, anthropic_error, self._max_body_bytes)
        return [
            Route("/v1/messages", messages, methods=["POST"]),
            Route("/v1/messages/count_tokens", count, methods=["POST"]),
        ]

    @Operation(
        Family.ANTHROPIC,
        "Answer a conversation",
        body=MessagesRequest,
        example={
            "model": "shimmy-mini",
            "max_tokens": 64,
            "messages": [{"role": "user", "content": "What is the capital of France?"}],
        },
        answers={JSON: Message, EVENTS: MessageEvent},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _messages(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(MessagesRequest)
        message_id = new_id("msg")
        stream = await self._open(message_id, body, call)
        model = answering(body.model)
        if not body.stream:
            whole = await collect(stream)
            return Reply(message(message_id, model, whole, body.max_tokens, body.session_id))
        writer = EventWriter(message_id, model, body.max_tokens, body.session_id)
        return StreamReply(sse.MEDIA_TYPE, OutputParts(stream, writer.write), _error_event, PING)

    async def _open(self, message_id: str, body: MessagesRequest, call: Call) -> AsyncIterator[RequestOutput]:
        """The outputs of the answer, which the session remembers when there is one."""
        if body.session_id is None:
            request = self._settled(message_request(message_id, body), body)
            (stream,) = (await self._backend.open(body.model, [request], call.stack)).streams
            return stream
        session = await call.stack.enter_async_context(self._sessions.use(body.session_id))
        request = self._settled(message_request(message_id, body, session.messages), body)
        (stream,) = (await self._backend.open(body.model, [request], call.stack)).streams
        begun = isinstance(request.prompt, ChatPrompt) and request.prompt.continue_final_message
        return remembered(stream, session, messages_of(body), message_id, begun=begun)

    def _settled(self, request: GenerateRequest, body: MessagesRequest) -> GenerateRequest:
        thinking = isinstance(request.prompt, ChatPrompt) and request.prompt.enable_thinking
        self._backend.settle(body.model, request, thinking=thinking)
        return request

    @Operation(
        Family.ANTHROPIC,
        "Count the tokens of a conversation",
        body=Conversation,
        example={"model": "shimmy-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        answers={JSON: TokenCount},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _count_tokens(self, call: Call) -> Reply:
        body = await call.body.decode(Conversation)
        history = [] if body.session_id is None else self._sessions.history(body.session_id)
        prompt = self._backend.conversation(body.model, prompt_of(body, history))
        client = await call.stack.enter_async_context(self._manager.use(body.model))
        return Reply(msgspec.json.encode(TokenCount(len(await client.tokenize(prompt)))))


def message_request(request_id: str, body: MessagesRequest, history: Sequence[dict[str, Any]] = ()) -> GenerateRequest:
    """What the engine gets, with the messages of the session before. InvalidRequestError for what it cannot do."""
    if body.max_tokens == 0:
        raise InvalidRequestError("max_tokens must be at least 1", "max_tokens")
    budget = body.thinking.budget_tokens if body.thinking else None
    # With tools it may count several thoughts, as in Anthropic's interleaved thinking.
    if budget is not None and budget >= body.max_tokens and not body.tools:
        raise InvalidRequestError(
            f"thinking.budget_tokens is {budget}, it must be less than max_tokens, {body.max_tokens}",
            "thinking.budget_tokens",
        )
    prompt = prompt_of(body, history)
    if ends_in_text(prompt.messages):
        check_prefill(body, prompt)
    if (schema := schema_of(body)) is not None:
        if body.json_schema is not None:
            raise InvalidRequestError("json_schema and output_config.format exclude each other", "json_schema")
        body.json_schema = schema
    return generate_request(request_id, body, prompt, max_tokens=body.max_tokens)


def _error_event(payload: bytes) -> bytes:
    return sse.named_event("error", payload)
