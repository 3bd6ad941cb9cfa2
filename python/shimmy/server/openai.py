"""OpenAI's API: chat completions, text completions and the list of models."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.models.manager import ModelManager
from shimmy.models.registry import ModelEntry
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server import sse
from shimmy.server.chat_answer import ChunkWriter, chat_completion
from shimmy.server.completion_answer import CompletionChunkWriter, completion
from shimmy.server.conversation import messages_of, tools_of
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import openai_error, problem_of
from shimmy.server.generation import Identity, collect, first_of, generate_request, interleave, open_streams, whole
from shimmy.server.schemas.chat import ChatCompletionRequest
from shimmy.server.schemas.completion import CompletionRequest
from shimmy.server.schemas.decoding import check_size, decode
from shimmy.server.schemas.models import ModelList, ModelObject

MAX_PROMPTS = 128

_TEMPLATE_INTERNALS = frozenset(
    ("messages", "tools", "add_generation_prompt", "bos_token", "eos_token", "tokenize", "chat_template")
)


class OpenAiRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, manager: ModelManager, version: str, max_body_bytes: int) -> None:
        self._manager = manager
        self._version = version
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        chat = Endpoint(self._chat, openai_error, self._max_body_bytes)
        text = Endpoint(self._completion, openai_error, self._max_body_bytes)
        return [
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/chat/completions", chat, methods=["POST"]),
            Route("/v1/completions", text, methods=["POST"]),
            Route("/completions", text, methods=["POST"]),
            Route("/v1/models", self._models, methods=["GET"]),
            Route("/models", self._models, methods=["GET"]),
            Route("/v1/models/{name:path}", self._model, methods=["GET"]),
        ]

    async def _chat(self, call: Call) -> Reply | StreamReply:
        body = decode(call.body, ChatCompletionRequest)
        identity = Identity.new("chatcmpl", body.model, self._version)
        request = chat_request(identity.id, body)
        (stream,) = await open_streams(self._manager, body.model, [request], call.stack)
        if not body.stream:
            return Reply(chat_completion(identity, await collect(stream), logprobs=request.logprobs is not None))
        options = body.stream_options
        writer = ChunkWriter(identity, include_usage=bool(options and options.include_usage))
        return StreamReply(sse.MEDIA_TYPE, await _chat_events(stream, writer), sse.json_event)

    async def _completion(self, call: Call) -> Reply | StreamReply:
        body = decode(call.body, CompletionRequest)
        identity = Identity.new("cmpl", body.model, self._version)
        requests = completion_requests(identity.id, body)
        streams = await open_streams(self._manager, body.model, requests, call.stack)
        logprobs = body.logprobs is not None
        if not body.stream:
            parts: list[list[RequestOutput]] = [[] for _ in streams]
            async with aclosing(interleave(streams)) as outputs:
                async for index, output in outputs:
                    parts[index].append(output)
            return Reply(completion(identity, [whole(part) for part in parts], logprobs=logprobs))
        options = body.stream_options
        writer = CompletionChunkWriter(
            identity, len(streams), logprobs=logprobs, include_usage=bool(options and options.include_usage)
        )
        return StreamReply(sse.MEDIA_TYPE, await _completion_events(streams, writer), sse.json_event)

    async def _models(self, request: Request) -> Response:
        registry = self._manager.registry
        models = ModelList(data=[_model_object(registry.get(name)) for name in registry.names()])
        return Response(msgspec.json.encode(models), media_type="application/json")

    async def _model(self, request: Request) -> Response:
        try:
            entry = self._manager.registry.get(request.path_params["name"])
        except ShimmyError as error:
            problem = problem_of(error)
            return Response(openai_error(problem), problem.status, problem.headers, "application/json")
        return Response(msgspec.json.encode(_model_object(entry)), media_type="application/json")


def chat_request(request_id: str, body: ChatCompletionRequest) -> GenerateRequest:
    """What the engine gets. InvalidRequestError for what it cannot do."""
    _only_one(body.n, "n")
    if body.response_format is not None and body.response_format.type != "text":
        raise InvalidRequestError(
            f"response_format {body.response_format.type!r} is not supported yet: use text", "response_format"
        )
    if body.top_logprobs is not None and not body.logprobs:
        raise InvalidRequestError("top_logprobs needs logprobs to be true", "top_logprobs")
    max_tokens = body.max_tokens if body.max_completion_tokens is None else body.max_completion_tokens
    if max_tokens == 0:
        name = "max_tokens" if body.max_completion_tokens is None else "max_completion_tokens"
        raise InvalidRequestError(f"{name} must be at least 1", name)
    tools, tool_choice = tools_of(body)
    template_kwargs, enable_thinking = _template_kwargs(body.chat_template_kwargs)
    prompt = ChatPrompt(
        messages=messages_of(body.messages),
        tools=tools,
        tool_choice=tool_choice,
        parallel_tool_calls=body.parallel_tool_calls is not False,
        enable_thinking=enable_thinking,
        template_kwargs=template_kwargs,
    )
    logprobs = (body.top_logprobs or 0) if body.logprobs else None
    return generate_request(request_id, body, prompt, max_tokens=max_tokens, logprobs=logprobs)


def completion_requests(request_id: str, body: CompletionRequest) -> list[GenerateRequest]:
    """One engine request per prompt. InvalidRequestError for what the engine cannot do."""
    _only_one(body.n, "n")
    _only_one(body.best_of, "best_of")
    if body.echo:
        raise InvalidRequestError("echo is not supported yet", "echo")
    if body.suffix:
        raise InvalidRequestError("suffix is not supported yet", "suffix")
    prompts = prompts_of(body.prompt)
    return [
        generate_request(f"{request_id}-{index}", body, prompt, max_tokens=body.max_tokens, logprobs=body.logprobs)
        for index, prompt in enumerate(prompts)
    ]


def prompts_of(prompt: str | list[Any]) -> list[str | list[int]]:
    """The four forms of `prompt` as a list of texts or token lists."""
    if isinstance(prompt, str):
        return [prompt]
    if not prompt:
        raise InvalidRequestError("prompt must not be an empty list", "prompt")
    kinds = {type(item) for item in prompt}
    if len(kinds) > 1:
        raise InvalidRequestError("prompt must be a string, or a list of one kind: strings, tokens or lists", "prompt")
    if kinds == {int}:
        if min(prompt) < 0 or max(prompt) >= 2**31:
            raise InvalidRequestError("prompt holds a number that is no token id", "prompt")
        return [prompt]
    if len(prompt) > MAX_PROMPTS:
        raise InvalidRequestError(f"prompt must hold at most {MAX_PROMPTS} prompts, got {len(prompt)}", "prompt")
    if [] in prompt:
        raise InvalidRequestError("prompt must not hold an empty token list", "prompt")
    return prompt


def _only_one(value: int | None, name: str) -> None:
    if value is not None and value < 1:
        raise InvalidRequestError(f"{name} must be at least 1", name)
    if value is not None and value > 1:
        raise InvalidRequestError(f"{name} greater than 1 is not supported yet", name)


def _template_kwargs(kwargs: dict[str, Any] | None) -> tuple[dict[str, Any], bool]:
    kwargs = dict(kwargs or {})
    check_size(kwargs, "chat_template_kwargs")
    for name in kwargs.keys() & _TEMPLATE_INTERNALS:
        raise InvalidRequestError(f"chat_template_kwargs must not set {name!r}", "chat_template_kwargs")
    thinking = kwargs.pop("enable_thinking", True)
    if not isinstance(thinking, bool):
        raise InvalidRequestError("chat_template_kwargs.enable_thinking must be true or false", "chat_template_kwargs")
    return kwargs, thinking


async def _chat_events(stream: AsyncIterator[RequestOutput], writer: ChunkWriter) -> AsyncGenerator[bytes, None]:
    """Waits for the first output, so that an error before it is still a plain HTTP error."""
    first = await first_of(stream)

    async def events() -> AsyncGenerator[bytes, None]:
        yield writer.write(first) + (sse.DONE if first.finished else b"")
        async for output in stream:
            if event := writer.write(output):
                yield event + (sse.DONE if output.finished else b"")

    return events()


async def _completion_events(
    streams: list[AsyncIterator[RequestOutput]], writer: CompletionChunkWriter
) -> AsyncGenerator[bytes, None]:
    """As `_chat_events`, for several choices."""
    outputs = interleave(streams)
    first = await first_of(outputs)

    async def events() -> AsyncGenerator[bytes, None]:
        async with aclosing(outputs):
            if event := writer.write(*first):
                yield event
            async for index, output in outputs:
                if event := writer.write(index, output):
                    yield event
            yield sse.DONE

    return events()


def _model_object(entry: ModelEntry) -> ModelObject:
    return ModelObject(id=entry.name, created=entry.created)
