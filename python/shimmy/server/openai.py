"""OpenAI's API: chat completions, text completions and the list of models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from functools import partial
from typing import Any, NamedTuple

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.context_policy import truncates
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.final_message import text_to_go_on_with
from shimmy.models.entry import ModelEntry
from shimmy.models.need import Need
from shimmy.models.virtual_names import Listed
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import sse
from shimmy.server.anthropic_answer import model_info, model_page
from shimmy.server.backend import Backend, Running
from shimmy.server.chat_answer import ChunkWriter, chat_completion, usage_of
from shimmy.server.choices import best, check_count, repeated
from shimmy.server.completion_answer import CompletionChunkWriter, completion
from shimmy.server.conversation import REASONING_EFFORTS, effort_kwargs, messages_of, tools_of
from shimmy.server.echo import Echo, echo_of
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import anthropic_error, openai_error, openai_error_about, problem_of
from shimmy.server.fill_in import fill_in_prompt
from shimmy.server.generation import (
    Identity,
    OutputParts,
    collect_all,
    generate_request,
    interleave,
    parts_of,
)
from shimmy.server.operation import ANSWER_HEADERS, EVENTS, JSON, MODEL_ERRORS, Family, Operation
from shimmy.server.prompts import prompts_of
from shimmy.server.schemas.anthropic import ModelInfoOut, ModelPage
from shimmy.server.schemas.chat import ChatCompletion, ChatCompletionChunk, ChatCompletionRequest, StreamOptions
from shimmy.server.schemas.completion import Completion, CompletionChunk, CompletionRequest
from shimmy.server.schemas.decoding import check_size
from shimmy.server.schemas.models import ModelList, ModelObject
from shimmy.server.structure import at_field
from shimmy.server.timings import timings_of

MAX_PROMPTS = 128

_ANTHROPIC_VERSION = {"anthropic-version": "Any value asks for the answer in Anthropic's form."}
_TEMPLATE_INTERNALS = frozenset(
    ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "tokenize", "chat_template")
)


class OpenAiRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, backend: Backend, version: str, max_body_bytes: int) -> None:
        self._backend = backend
        self._manager = backend.manager
        self._version = version
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        chat = Endpoint(self._chat, openai_error, self._max_body_bytes)
        text = Endpoint(self._completion, openai_error_about("prompt"), self._max_body_bytes)
        return [
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", text, methods=["POST"]),
            Route("/completions", text, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/models", self._models, methods=["GET"]),
            Route("/v1/models/{name:path}", self._model, methods=["GET"]),
        ]

    @Operation(
        Family.OPENAI,
        "Answer a conversation",
        body=ChatCompletionRequest,
        example={"model": "shimmy-mini", "messages": [{"role": "user", "content": "What is the capital of France?"}]},
        answers={JSON: ChatCompletion, EVENTS: ChatCompletionChunk},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _chat(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(ChatCompletionRequest)
        identity = Identity.new("chatcmpl", body.model, self._version)
        requests = chat_requests(identity.id, body)
        self._backend.settle(body.model, requests[0], thinking=_asks_to_think(body))
        streams = (await self._open(body, requests, call)).streams
        identity = identity.answered()
        if not body.stream:
            outputs = await collect_all(streams)
            return Reply(chat_completion(identity, outputs, logprobs=bool(body.logprobs)))
        writer = ChunkWriter(identity, len(streams), include_usage=_include_usage(body.stream_options))
        return StreamReply(sse.MEDIA_TYPE, _parts(streams, writer), sse.json_event)

    @Operation(
        Family.OPENAI,
        "Go on from a text",
        body=CompletionRequest,
        example={"model": "shimmy-mini", "prompt": "Once upon a time", "max_tokens": 32},
        answers={JSON: Completion, EVENTS: CompletionChunk},
        sends=ANSWER_HEADERS,
        errors=MODEL_ERRORS,
    )
    async def _completion(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(CompletionRequest)
        identity = Identity.new("cmpl", body.model, self._version)
        prompts = prompts_of(body.prompt, "prompt", MAX_PROMPTS)
        if body.suffix:
            prompts = await self._with_suffix(prompts, body, call)
        order = completion_order(identity.id, body, prompts)
        running = await self._open(body, order.requests, call)
        identity = identity.answered()
        echoes = [Echo()] * len(order.prompts)
        if body.echo:
            echoes = [await echo_of(running.client, prompt) for prompt in order.prompts]
        echoes = [echo for echo in echoes for _ in range(order.n)]
        logprobs = body.logprobs is not None
        if not body.stream:
            outputs = await collect_all(running.streams)
            usages = [output.usage for output in outputs]
            usage, timings = usage_of(usages, order.best_of), timings_of(usages, order.best_of)
            if order.best_of > order.n:
                groups = range(0, len(outputs), order.best_of)
                outputs = [one for at in groups for one in best(outputs[at : at + order.best_of], order.n)]
            return Reply(completion(identity, outputs, echoes, usage, timings, logprobs=logprobs))
        include_usage = _include_usage(body.stream_options)
        writer = CompletionChunkWriter(identity, echoes, order.n, logprobs=logprobs, include_usage=include_usage)
        return StreamReply(sse.MEDIA_TYPE, _parts(running.streams, writer), sse.json_event)

    async def _with_suffix(
        self, prompts: list[str | list[int]], body: CompletionRequest, call: Call
    ) -> list[str | list[int]]:
        if body.echo:
            raise InvalidRequestError("echo and suffix exclude each other", "echo")
        self._manager.registry.settle(body.model, lambda: Need(task="completion", insert=True))
        client = await call.stack.enter_async_context(self._manager.use(body.model))
        filled: list[str | list[int]] = []
        for prompt in prompts:
            if not isinstance(prompt, str):
                raise InvalidRequestError("suffix needs a prompt of text", "suffix")
            filled.append(await fill_in_prompt(client, prompt, body.suffix or "", "suffix", body))
        return filled

    async def _open(
        self, body: ChatCompletionRequest | CompletionRequest, requests: list[GenerateRequest], call: Call
    ) -> Running:
        try:
            return await self._backend.open(body.model, requests, call.stack)
        except InvalidRequestError as error:
            raise at_field(error, body) from error

    @Operation(Family.OPENAI, "List the models", headers=_ANTHROPIC_VERSION, answers={JSON: (ModelList, ModelPage)})
    async def _models(self, request: Request) -> Response:
        """Behind each model stand its names with one of its adapters."""
        registry = self._manager.registry
        models = [registry.get(name) for name in registry.names()]
        entries = [one for model in models for one in (model, *map(registry.get, registry.adapter_names(model)))]
        listed = [*map(_model_object, entries), *map(_model_object, registry.virtual_names())]
        page = model_page(listed) if _is_anthropic(request) else ModelList(data=listed)
        return Response(msgspec.json.encode(page), media_type="application/json")

    @Operation(
        Family.OPENAI,
        "Tell of one model",
        headers=_ANTHROPIC_VERSION,
        answers={JSON: (ModelObject, ModelInfoOut)},
        errors=(404,),
    )
    async def _model(self, request: Request) -> Response:
        registry, name = self._manager.registry, request.path_params["name"]
        virtual = next((one for one in registry.virtual_names() if one.name == name), None)
        try:
            found = _model_object(registry.get(name) if virtual is None else virtual)
        except ShimmyError as error:
            problem = problem_of(error)
            body = anthropic_error(problem) if _is_anthropic(request) else openai_error(problem)
            return Response(body, problem.status, problem.headers, "application/json")
        model = model_info(found) if _is_anthropic(request) else found
        return Response(msgspec.json.encode(model), media_type="application/json")


def chat_requests(request_id: str, body: ChatCompletionRequest) -> list[GenerateRequest]:
    """What the engine gets, one request per choice. InvalidRequestError for what it cannot do."""
    count = check_count(body.n, "n")
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequestError("top_logprobs needs logprobs to be true", "top_logprobs")
    names = ("max_completion_tokens", "max_tokens", "n_predict")
    name = next((name for name in names if getattr(body, name) is not None), "max_tokens")
    max_tokens = _limit(getattr(body, name))
    if max_tokens == 0:
        raise InvalidRequestError(f"{name} must be at least 1", name)
    selection = tools_of(body)
    template_kwargs, enable_thinking = _template_kwargs(body)
    messages = messages_of(body.messages)
    prompt = ChatPrompt(
        messages=messages,
        continue_final_message=_goes_on(body, messages),
        tools=selection.tools,
        tool_choice=selection.choice,
        tool_name=selection.name,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        enable_thinking=enable_thinking,
        template_kwargs=template_kwargs,
    )
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return repeated(generate_request(request_id, body, prompt, max_tokens=max_tokens, logprobs=logprobs), count)


class CompletionOrder(NamedTuple):
    """What a text completion asks for: `best_of` requests for each prompt, of which `n` are answered."""

    prompts: list[str | list[int]]
    n: int
    best_of: int
    requests: list[GenerateRequest]


def completion_order(request_id: str, body: CompletionRequest, prompts: list[str | list[int]]) -> CompletionOrder:
    """What the engine gets. InvalidRequestError for what it cannot do."""
    n = check_count(body.n, "n", len(prompts))
    best_of = n if body.best_of is None else check_count(body.best_of, "best_of", len(prompts))
    if best_of < n:
        raise InvalidRequestError(f"best_of is {best_of}, it must be at least n, {n}", "best_of")
    if best_of > n and body.stream:
        raise InvalidRequestError("best_of greater than n cannot be streamed: the best is known at the end", "best_of")
    if body.echo and truncates(body.policy()):
        raise InvalidRequestError("echo needs the whole prompt: use context_policy error or shift", "context_policy")
    ranked = best_of > n and body.logprobs is None
    requests: list[GenerateRequest] = []
    for index, prompt in enumerate(prompts):
        request = generate_request(
            f"{request_id}-{index}",
            body,
            prompt,
            max_tokens=_limit(body.n_predict if body.max_tokens is None else body.max_tokens),
            logprobs=0 if ranked else body.logprobs,
            prompt_logprobs=body.logprobs if body.echo else None,
        )
        requests += repeated(request, best_of)
    return CompletionOrder(prompts, n, best_of, requests)


def _template_kwargs(body: ChatCompletionRequest) -> tuple[dict[str, Any], bool]:
    kwargs = dict(body.chat_template_kwargs or {})
    check_size(kwargs, "chat_template_kwargs")
    for name in kwargs.keys() & _TEMPLATE_INTERNALS:
        raise InvalidRequestError(f"chat_template_kwargs must not set {name!r}", "chat_template_kwargs")
    effort = body.reasoning_effort
    if effort is not None and effort not in REASONING_EFFORTS:
        raise InvalidRequestError(
            f"reasoning_effort must be one of {', '.join(REASONING_EFFORTS)}, got {effort!r}", "reasoning_effort"
        )
    thinking = kwargs.pop("enable_thinking", effort != "none")
    if not isinstance(thinking, bool):
        raise InvalidRequestError("chat_template_kwargs.enable_thinking must be true or false", "chat_template_kwargs")
    return {**effort_kwargs(None if effort == "none" else effort), **kwargs}, thinking


def _goes_on(body: ChatCompletionRequest, messages: list[dict[str, Any]]) -> bool:
    """Whether the answer goes on with the last message, as vLLM's fields say it."""
    if not body.continue_final_message:
        if body.add_generation_prompt is False:
            raise InvalidRequestError(
                "add_generation_prompt is false without continue_final_message: set that to true to have the last "
                "message gone on with, or leave both out",
                "add_generation_prompt",
            )
        return False
    if body.add_generation_prompt:
        raise InvalidRequestError(
            "continue_final_message and add_generation_prompt exclude each other: leave one of them out",
            "add_generation_prompt",
        )
    text_to_go_on_with(messages, f"messages[{len(messages) - 1}]")
    return True


def _limit(given: int | None) -> int | None:
    return None if given is None or given < 0 else given


def _asks_to_think(body: ChatCompletionRequest) -> bool:
    return (body.chat_template_kwargs or {}).get("enable_thinking") is True


def _include_usage(options: StreamOptions | None) -> bool:
    return bool(options and options.include_usage)


def _parts(
    streams: list[AsyncIterator[RequestOutput]], writer: ChunkWriter | CompletionChunkWriter
) -> AsyncGenerator[bytes, None] | OutputParts:
    if len(streams) == 1:
        return OutputParts(streams[0], partial(writer.write, 0), sse.DONE)
    return parts_of(interleave(streams), lambda item: writer.write(*item), sse.DONE)


def _is_anthropic(request: Request) -> bool:
    return "anthropic-version" in request.headers


def _model_object(one: ModelEntry | Listed) -> ModelObject:
    return ModelObject(id=one.name, created=one.created)
