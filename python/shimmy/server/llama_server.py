"""llama-server's own routes, for editors and proxies that speak it; /tokenize and /detokenize are vLLM's too."""

from __future__ import annotations

import asyncio
import secrets
from functools import partial
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.discovery.gguf_header import read_header
from shimmy.engine_client import EngineClient
from shimmy.errors import InvalidRequestError, ModelNotReadyError
from shimmy.models.need import Need
from shimmy.models.virtual_names import answering
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import sse
from shimmy.server.auth import tenant
from shimmy.server.backend import Backend
from shimmy.server.conversation import functions_of, messages_of
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply, reading
from shimmy.server.errors import openai_error, openai_error_about
from shimmy.server.fill_in import fill_in_prompt
from shimmy.server.generation import OutputParts, collect, generate_request
from shimmy.server.model_choice import model_meant
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, MODEL_HEADER, Family, Operation
from shimmy.server.prompts import prompts_of
from shimmy.server.raw_answer import raw_completion, raw_event
from shimmy.server.schemas.decoding import check_size, decode_query
from shimmy.server.schemas.llama_server import (
    DefaultSettings,
    Detokenized,
    DetokenizeRequest,
    InfillRequest,
    Modalities,
    ModelChoice,
    Props,
    RawCompletion,
    RawCompletionRequest,
    RenderedTemplate,
    SlotState,
    TemplateRequest,
    TokenizeRequest,
    TokenList,
    TokenPiece,
)

_BATCH = 16 * 1024
"""Tokens that are split, or told, at one time."""


class LlamaServerRoutes:
    """The handlers, and the list of routes that lead to them. `model` may be left out where only one is meant."""

    def __init__(self, backend: Backend, version: str, max_body_bytes: int) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._version = version
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        handlers = {
            "/tokenize": (self._tokenize, openai_error),
            "/detokenize": (self._detokenize, openai_error),
            "/apply-template": (self._apply_template, openai_error),
            "/completion": (self._completion, openai_error_about("prompt")),
            "/infill": (self._infill, openai_error_about("input_prefix")),
        }
        return [
            *(
                Route(path, Endpoint(handler, shape, self._max_body_bytes), methods=["POST"])
                for path, (handler, shape) in handlers.items()
            ),
            Route("/props", reading(self._props, openai_error), methods=["GET"]),
            Route("/slots", reading(self._slots, openai_error), methods=["GET"]),
        ]

    @Operation(
        Family.LLAMA_SERVER,
        "Split a text into tokens",
        body=TokenizeRequest,
        example={"model": "shimmy-mini", "content": "The sky is blue."},
        answers={JSON: TokenList},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _tokenize(self, call: Call) -> Reply:
        body = await call.body.decode(TokenizeRequest)
        name = self._name(body.model)
        client = await self._use(name, call)
        if body.messages is not None:
            prompt = ChatPrompt(messages=messages_of(body.messages), tools=functions_of(body.tools or []))
            tokens = await client.tokenize(self._backend.conversation(name, prompt))
        elif body.prompt is not None:
            tokens = await client.tokenize(body.prompt, add_special=body.add_special_tokens is not False)
        elif body.content is not None:
            tokens = await client.tokenize(
                body.content, add_special=bool(body.add_special), parse_special=body.parse_special is not False
            )
        else:
            raise InvalidRequestError("content is required (or prompt, or messages)", "content")
        pieces: list[bytes] = []
        for at in range(0, len(tokens) if body.with_pieces else 0, _BATCH):
            pieces += await client.pieces(tokens[at : at + _BATCH])
        return Reply(await asyncio.to_thread(_token_list, tokens, pieces, client.info.n_ctx))

    @Operation(
        Family.LLAMA_SERVER,
        "Join tokens to a text",
        body=DetokenizeRequest,
        example={"model": "shimmy-mini", "tokens": [72, 101, 108, 108, 111]},
        answers={JSON: Detokenized},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _detokenize(self, call: Call) -> Reply:
        body = await call.body.decode(DetokenizeRequest)
        text = await (await self._use(body.model, call)).detokenize(body.tokens)
        return _json(Detokenized(content=text, prompt=text))

    @Operation(
        Family.LLAMA_SERVER,
        "Show the prompt that a conversation becomes",
        body=TemplateRequest,
        example={"model": "shimmy-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        answers={JSON: RenderedTemplate},
        sends=(MODEL_HEADER,),
        errors=MODEL_ERRORS,
    )
    async def _apply_template(self, call: Call) -> Reply:
        body = await call.body.decode(TemplateRequest)
        kwargs = body.chat_template_kwargs or {}
        check_size(kwargs, "chat_template_kwargs")
        prompt = ChatPrompt(
            messages=messages_of(body.messages), tools=functions_of(body.tools or []), template_kwargs=kwargs
        )
        name = self._name(body.model)
        client = await self._use(name, call)
        prompt = self._backend.conversation(name, prompt)
        return _json(RenderedTemplate(prompt=await client.render_chat(prompt)))

    @Operation(
        Family.LLAMA_SERVER,
        "Go on from a text",
        body=RawCompletionRequest,
        example={"model": "shimmy-mini", "prompt": "Once upon a time", "n_predict": 32},
        answers={JSON: RawCompletion, EVENTS: RawCompletion},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _completion(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(RawCompletionRequest)
        prompts = prompts_of(body.prompt, "prompt", 1)
        request = _request(body, prompts[0], logprobs=body.n_probs or None)
        name = self._name(body.model)
        return await self._answer(name, request, call, stream=bool(body.stream), tokens=bool(body.return_tokens))

    @Operation(
        Family.LLAMA_SERVER,
        "Fill in between two texts",
        body=InfillRequest,
        example={
            "model": "shimmy-mini",
            "input_prefix": "def add(a, b):\n    return ",
            "input_suffix": "\n",
            "n_predict": 16,
        },
        answers={JSON: RawCompletion, EVENTS: RawCompletion},
        errors=MODEL_ERRORS,
    )
    async def _infill(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(InfillRequest)
        name = self._name(body.model)
        self._manager.registry.settle(name, lambda: Need(task="completion", insert=True))
        client = await self._use(name, call)
        extra = "".join(f"{one.filename or 'file'}\n{one.text}\n" for one in body.input_extra or ())
        prefix = extra + body.input_prefix + (body.prompt or "")
        prompt = await fill_in_prompt(client, prefix, body.input_suffix, "input_suffix", body)
        return await self._answer(name, _request(body, prompt), call, stream=bool(body.stream), tokens=False)

    async def _answer(
        self, name: str, request: GenerateRequest, call: Call, *, stream: bool, tokens: bool
    ) -> Reply | StreamReply:
        (outputs,) = (await self._backend.open(name, [request], call.stack)).streams
        name = answering(name)
        if not stream:
            return Reply(raw_completion(name, await collect(outputs), tokens=tokens))
        parts = OutputParts(outputs, partial(raw_event, name, tokens=tokens))
        return StreamReply(sse.MEDIA_TYPE, parts, sse.json_event)

    @Operation(
        Family.LLAMA_SERVER,
        "Tell how a loaded model runs",
        query=ModelChoice,
        answers={JSON: Props},
        errors=(400, 404, 503),
    )
    async def _props(self, request: Request) -> Props:
        name = self._name(decode_query(request.query_params, ModelChoice).model)
        client = self._loaded(name)
        metadata = (await asyncio.to_thread(read_header, self._manager.registry.get(name).path)).metadata
        template = metadata.get("tokenizer.chat_template")
        return Props(
            default_generation_settings=DefaultSettings(n_ctx=client.info.n_ctx),
            total_slots=client.info.n_seq_max,
            model_alias=client.info.name,
            chat_template=template if isinstance(template, str) else "",
            modalities=Modalities(),
            build_info=f"shimmy-{self._version}",
        )

    @Operation(
        Family.LLAMA_SERVER,
        "List the sequences of a loaded model",
        query=ModelChoice,
        answers={JSON: list[SlotState]},
        errors=(400, 404, 502, 503),
    )
    async def _slots(self, request: Request) -> list[SlotState]:
        """One entry for each request that the engine can run beside others. How many are processing is what the engine
        says now; which comes first means nothing, as the engine gives a request whatever place is best for its prefix.
        Those of the caller that have begun to answer stand first, with their ids.
        """
        client = self._loaded(self._name(decode_query(request.query_params, ModelChoice).model))
        running = (await client.stats()).running
        slots = [
            SlotState(id=index, n_ctx=client.info.n_ctx, is_processing=index < running)
            for index in range(client.info.n_seq_max)
        ]
        own = [one for one in self._backend.tracker.answering(client.info.name) if one.request.tenant == tenant.get()]
        for slot, one in zip(slots[:running], own, strict=False):
            slot.request, slot.n_decoded = one.id, len(one.token_ids)
        return slots

    def _loaded(self, name: str) -> EngineClient:
        """Reading must not load: any web page can make a browser read."""
        client = self._manager.loaded(name)
        if client is None:
            raise ModelNotReadyError(f"model {name!r} is not loaded")
        return client

    async def _use(self, name: str | None, call: Call) -> EngineClient:
        return await call.stack.enter_async_context(self._manager.use(self._name(name)))

    def _name(self, name: str | None) -> str:
        return model_meant(self._manager, name)


def _request(
    body: RawCompletionRequest | InfillRequest, prompt: str | list[int], logprobs: int | None = None
) -> GenerateRequest:
    limit = body.max_tokens if body.n_predict is None else body.n_predict
    max_tokens = None if limit is None or limit < 0 else limit
    return generate_request(f"cmpl-{secrets.token_hex(12)}", body, prompt, max_tokens=max_tokens, logprobs=logprobs)


def _token_list(tokens: list[int], pieces: list[bytes], n_ctx: int) -> bytes:
    """A `TokenList`, with the pieces if there are any. Made in parts, between which other threads have their turn."""
    told: list[bytes] = []
    for at in range(0, len(tokens), _BATCH):
        part: list[Any] = tokens[at : at + _BATCH]
        if pieces:
            some = zip(part, pieces[at : at + _BATCH], strict=True)
            part = [TokenPiece(token, _text_or_bytes(piece)) for token, piece in some]
        told.append(msgspec.json.encode(part)[1:-1])
    whole: Any = msgspec.Raw(b"[" + b",".join(told) + b"]")
    return msgspec.json.encode(TokenList(tokens=whole, count=len(tokens), max_model_len=n_ctx))


def _text_or_bytes(piece: bytes) -> str | list[int]:
    """As llama-server tells a piece: bytes where they are no text by themselves, as parts of a character are not."""
    try:
        return piece.decode()
    except UnicodeDecodeError:
        return list(piece)


def _json(value: msgspec.Struct) -> Reply:
    return Reply(msgspec.json.encode(value))
