"""shimmy's own API: POST /api/generate, which is also one of Ollama's routes."""

from __future__ import annotations

import secrets

from starlette.routing import BaseRoute, Route, WebSocketRoute

from shimmy.errors import InvalidRequestError
from shimmy.models.virtual_names import answering
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.backend import Backend
from shimmy.server.conversation import messages_of
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import native_error
from shimmy.server.generation import OutputParts, collect, generate_request
from shimmy.server.native_answer import EventWriter, LineWriter, PartWriter, native_response
from shimmy.server.native_socket import NativeSocket
from shimmy.server.ollama import OllamaRoutes, is_ollama
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, LINES, MODEL_ERRORS, Family, Operation
from shimmy.server.schemas.chat import MessageIn
from shimmy.server.schemas.native import NATIVE_DEFAULTS, NativeRequest, NativeResponse
from shimmy.server.schemas.ollama import OllamaGenerateRequest, OllamaLine


class NativeRoutes:
    """The handler, and the list of routes that lead here."""

    def __init__(self, backend: Backend, max_body_bytes: int, ollama: OllamaRoutes) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._ollama = ollama
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        generate = Endpoint(self._generate, native_error, self._max_body_bytes)
        socket = NativeSocket(self._backend, native_request)
        return [
            Route("/api/generate", generate, methods=["POST"]),
            WebSocketRoute("/ws/generate", socket.serve),
        ]

    @Operation(
        Family.SHIMMY,
        "Go on from a text, or answer a conversation",
        body=(NativeRequest, OllamaGenerateRequest),
        example={"model": "shimmy-mini", "prompt": "Once upon a time", "max_tokens": 32},
        answers={JSON: (NativeResponse, OllamaLine), EVENTS: str, LINES: (NativeResponse, OllamaLine)},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _generate(self, call: Call) -> Reply | StreamReply:
        if await is_ollama(call):
            return await self._ollama.generate(call)
        body = await call.body.decode(NativeRequest)
        request = native_request(body)
        (stream,) = (await self._backend.open(body.model, [request], call.stack, NATIVE_DEFAULTS)).streams
        model = answering(body.model)
        if body.stream is False:
            return Reply(native_response(model, await collect(stream)))
        lines = "application/x-ndjson" in call.headers.get("accept", "")
        writer: PartWriter = LineWriter(model) if lines else EventWriter()
        return StreamReply(writer.media_type, OutputParts(stream, writer.write), writer.write_error)


def native_request(body: NativeRequest) -> GenerateRequest:
    """What the engine gets. InvalidRequestError when there is nothing to answer."""
    prompt: str | ChatPrompt
    if body.messages is not None:
        if body.prompt:
            raise InvalidRequestError("prompt and messages exclude each other", "prompt")
        prompt = _conversation(body.messages, body.system)
    elif body.prompt is None:
        raise InvalidRequestError("prompt or messages is required", "prompt")
    elif body.system:
        prompt = _conversation([MessageIn(role="user", content=body.prompt)], body.system)
    else:
        prompt = body.prompt
    if body.max_tokens == 0:
        raise InvalidRequestError("max_tokens must be at least 1", "max_tokens")
    request_id = f"gen-{secrets.token_hex(12)}"
    return generate_request(request_id, body, prompt, max_tokens=body.max_tokens)


def _conversation(messages: list[MessageIn], system: str | None) -> ChatPrompt:
    converted = messages_of(messages)
    if system:
        converted.insert(0, {"role": "system", "content": system})
    return ChatPrompt(messages=converted)
