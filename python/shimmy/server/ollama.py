"""Ollama's API: chat, generate, embeddings, and what it tells about models."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError, ModelLoadError, ShimmyError
from shimmy.keep_alive import keep_alive_seconds
from shimmy.models.adapter_names import refuse_adapter
from shimmy.models.need import Need, need_of
from shimmy.models.virtual_names import answering
from shimmy.request import GenerateRequest
from shimmy.server.auth import check_scope
from shimmy.server.backend import Backend
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import native_error
from shimmy.server.fill_in import fill_in_prompt
from shimmy.server.generation import OutputParts, collect
from shimmy.server.ollama_answer import (
    MEDIA_TYPE,
    LineWriter,
    Remembering,
    Shape,
    chat_shape,
    generate_shape,
    loaded,
    remembering,
    remembering_text,
)
from shimmy.server.ollama_conversation import chat_request, conversation_of, engine_request, options_of, templated
from shimmy.server.ollama_embeddings import Embedded, embed, embeddings_answer
from shimmy.server.ollama_models import described, process_of, shown, stand_in
from shimmy.server.operation import ANSWER_HEADERS, JSON, LINES, MODEL_ERRORS, MODEL_HEADER, Family, Operation
from shimmy.server.request_record import current_record
from shimmy.server.schemas.ollama import (
    OLLAMA_DEFAULTS,
    OllamaChatRequest,
    OllamaEmbedding,
    OllamaEmbeddings,
    OllamaEmbedRequest,
    OllamaGenerateRequest,
    OllamaLine,
    OllamaMarks,
    OllamaModelName,
    OllamaModels,
    OllamaProcesses,
    OllamaRequest,
    OllamaShow,
    OllamaVersion,
)

API_VERSION = "0.12.0"
"""The release of Ollama whose API this is: its clients decide by it what they may ask for."""


class OllamaRoutes:
    """The handlers, and the list of routes that lead to them; /api/generate comes here by way of `NativeRoutes`."""

    def __init__(self, backend: Backend, max_body_bytes: int) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        def post(path: str, endpoint: Endpoint) -> BaseRoute:
            return Route(path, endpoint, methods=["POST"])

        return [
            Route("/api/version", self._version, methods=["GET"]),
            Route("/api/tags", self._tags, methods=["GET"]),
            Route("/api/ps", self._ps, methods=["GET"]),
            post("/api/show", Endpoint(self._show, native_error, self._max_body_bytes)),
            post("/api/chat", Endpoint(self._chat, native_error, self._max_body_bytes)),
            post("/api/embed", Endpoint(self._embed, native_error, self._max_body_bytes)),
            post("/api/embeddings", Endpoint(self._embed_one, native_error, self._max_body_bytes)),
        ]

    async def generate(self, call: Call) -> Reply | StreamReply:
        """POST /api/generate, as Ollama's clients mean it."""
        body = await call.body.decode(OllamaGenerateRequest)
        if not body.prompt and not body.suffix:
            return await self._load(self._name(body.model), generate_shape, body.keep_alive)
        model = self._settled(body, lambda: engine_request(body, conversation_of(body) or body.prompt or ""))
        conversation = conversation_of(body)
        begin = time.perf_counter()
        client = await self._use(model, body.keep_alive, call)
        writer = LineWriter(answering(model), generate_shape, time.perf_counter() - begin)
        if conversation is not None:
            request = engine_request(body, conversation)
            remembered = conversation if body.context else self._backend.conversation(model, conversation)
            return await self._answer(
                model, request, writer, body.stream, call, partial(remembering, client, remembered)
            )
        text: str | list[int] = body.prompt or ""
        if body.template:
            prompt = templated(body, self._manager.registry.get(model).defaults)
            text = [*(body.context or []), *await client.tokenize(prompt, add_special=not body.context)]
            return await self._answer(
                model, engine_request(body, text), writer, body.stream, call, partial(remembering_text, client, text)
            )
        if body.suffix:
            text = await fill_in_prompt(client, body.prompt or "", body.suffix, "suffix", options_of(body))
        return await self._answer(model, engine_request(body, text), writer, body.stream, call)

    @Operation(
        Family.OLLAMA,
        "Answer a conversation",
        body=OllamaChatRequest,
        example={"model": "shimmy-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        answers={JSON: OllamaLine, LINES: OllamaLine},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _chat(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(OllamaChatRequest)
        if not body.messages:
            return await self._load(self._name(body.model), chat_shape, body.keep_alive)
        model = self._settled(body, lambda: chat_request(body))
        request = chat_request(body)
        begin = time.perf_counter()
        await self._use(model, body.keep_alive, call)
        writer = LineWriter(answering(model), chat_shape, time.perf_counter() - begin)
        return await self._answer(model, request, writer, body.stream, call)

    async def _answer(
        self,
        model: str,
        request: GenerateRequest,
        writer: LineWriter,
        stream: bool | None,
        call: Call,
        remember: Remembering | None = None,
    ) -> Reply | StreamReply:
        """`remember`: the last line tells the tokens of the conversation, with the answer in it."""
        (outputs,) = (await self._backend.open(model, [request], call.stack, OLLAMA_DEFAULTS)).streams
        if remember is not None:
            outputs = remember(outputs, writer)
        if stream is False:
            return Reply(writer.whole(await collect(outputs)))
        return StreamReply(MEDIA_TYPE, OutputParts(outputs, writer.write), lambda error: error + b"\n")

    async def _use(self, model: str, keep_alive: str | float | None, call: Call) -> EngineClient:
        """The model for the length of this call, and how long it is to stay then; 0: until nobody uses it."""
        seconds = keep_alive_seconds(keep_alive)
        if seconds == 0:
            check_scope("admin")
        return await call.stack.enter_async_context(self._manager.use(model, seconds))

    async def _load(self, model: str, shape: Shape, keep_alive: str | float | None) -> Reply:
        """An empty request loads the model, or frees it when it is not to be kept."""
        seconds = keep_alive_seconds(keep_alive)
        if seconds == 0:
            check_scope("admin")
            await self._manager.unload(model)
            return Reply(loaded(model, shape, "unload"))
        await self._manager.get(model, seconds)
        return Reply(loaded(model, shape, "load"))

    @Operation(
        Family.OLLAMA,
        "Embed texts",
        body=OllamaEmbedRequest,
        example={"model": "shimmy-mini", "input": ["The sky is blue.", "What color is the sky?"]},
        answers={JSON: OllamaEmbeddings},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _embed(self, call: Call) -> Reply:
        body = await call.body.decode(OllamaEmbedRequest)
        if body.input is None:
            raise InvalidRequestError("input is required", "input")
        texts = [body.input] if isinstance(body.input, str) else body.input
        embedded, seconds, load_seconds = await self._embedded([] if texts == [""] else texts, body, call)
        answer = await asyncio.to_thread(embeddings_answer, embedded, answering(body.model), seconds, load_seconds)
        return Reply(answer)

    @Operation(
        Family.OLLAMA,
        "Embed one text (the older form)",
        body=OllamaEmbedRequest,
        example={"model": "shimmy-mini", "prompt": "The sky is blue."},
        answers={JSON: OllamaEmbedding},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _embed_one(self, call: Call) -> Reply:
        body = await call.body.decode(OllamaEmbedRequest)
        if body.prompt is None:
            raise InvalidRequestError("prompt is required", "prompt")
        embedded, _, _ = await self._embedded([body.prompt] if body.prompt else [], body, call)
        return Reply(msgspec.json.encode(OllamaEmbedding(embedding=next(iter(embedded.rows()), []))))

    async def _embedded(self, texts: list[str], body: OllamaEmbedRequest, call: Call) -> tuple[Embedded, float, float]:
        """With the seconds that all of it and that loading took. No texts load the model."""
        begin = time.perf_counter()
        self._manager.registry.settle(body.model, lambda: Need(task="embedding"))
        refuse_adapter(self._manager.registry.get(body.model))
        client = await self._use(self._name(body.model), body.keep_alive, call)
        load_seconds = time.perf_counter() - begin
        name = self._manager.registry.get(body.model).name
        embedded = await embed(client, texts, body)
        if (record := current_record()) is not None:
            record.note_embedding(name, embedded.embeddings.prompt_tokens)
        return embedded, time.perf_counter() - begin, load_seconds

    @Operation(Family.OLLAMA, "Tell the release of Ollama whose API this is", answers={JSON: OllamaVersion})
    async def _version(self, request: Request) -> Response:
        return _json(OllamaVersion(version=API_VERSION))

    @Operation(Family.OLLAMA, "List the models", answers={JSON: OllamaModels})
    async def _tags(self, request: Request) -> Response:
        registry = self._manager.registry
        models = [described(entry) for entry in registry.entries()]
        return _json(OllamaModels(models=[*models, *(stand_in(one) for one in registry.virtual_names())]))

    @Operation(Family.OLLAMA, "List the loaded models", answers={JSON: OllamaProcesses})
    async def _ps(self, request: Request) -> Response:
        known = {entry.name: entry for entry in self._manager.registry.entries()}
        loaded = [status for status in self._manager.statuses() if status.info and status.name in known]
        return _json(OllamaProcesses(models=[process_of(known[status.name], status) for status in loaded]))

    @Operation(
        Family.OLLAMA,
        "Tell of one model",
        body=OllamaModelName,
        example={"model": "shimmy-mini"},
        answers={JSON: OllamaShow},
        errors=(404, 502),
    )
    async def _show(self, call: Call) -> Reply:
        body = await call.body.decode(OllamaModelName)
        name = body.model or body.name
        if not name:
            raise InvalidRequestError("model is required", "model")
        entry = self._manager.registry.get(self._name(name))
        try:
            return Reply(msgspec.json.encode(await asyncio.to_thread(shown, entry, verbose=bool(body.verbose))))
        except OSError as error:
            raise ModelLoadError(f"the file of model {name!r} cannot be read: {error.strerror}") from error

    def _settled(self, body: OllamaRequest, request: Callable[[], GenerateRequest]) -> str:
        """The model, chosen by what is asked for where that is open; raises as `_name`."""

        def need() -> Need:
            if isinstance(body, OllamaGenerateRequest) and body.suffix:
                return Need(task="completion", insert=True)
            return need_of(request(), thinking=bool(body.think))

        self._manager.registry.settle(body.model, need)
        return self._name(body.model)

    def _name(self, name: str) -> str:
        """Raises ModelNotFoundError before anything is done."""
        self._manager.registry.get(name)
        return name


async def is_ollama(call: Call) -> bool:
    """Whether a call of /api/generate is from one of Ollama's clients, which mean other things by it than shimmy's."""
    if call.headers.get("user-agent", "").lower().startswith("ollama"):
        return True
    try:
        marks = await call.body.peek(OllamaMarks)
    except ShimmyError:
        return False  # whoever decodes it next says what is wrong
    return any(getattr(marks, name) is not msgspec.UNSET for name in OllamaMarks.__struct_fields__)


def _json(value: object) -> Response:
    return Response(msgspec.json.encode(value), media_type="application/json")
