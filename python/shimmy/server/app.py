"""The HTTP application: routes of every family under the guards that they share."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from shimmy import __version__
from shimmy.agent.tool_registry import ToolRegistry
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.models.manager import ModelManager
from shimmy.server import context_header
from shimmy.server.access_log import AccessLog
from shimmy.server.adapters import AdapterRoutes
from shimmy.server.anthropic import AnthropicRoutes
from shimmy.server.auth import Auth, Keyring, keys_of
from shimmy.server.backend import Backend
from shimmy.server.body_budget import BodyBudget
from shimmy.server.document_routes import DocumentRoutes
from shimmy.server.embeddings import EmbeddingRoutes
from shimmy.server.endpoint import unexpected
from shimmy.server.errors import HttpError, problem_of, shape_for
from shimmy.server.failure import Failures
from shimmy.server.feedback import FeedbackRoutes
from shimmy.server.feedback_store import FeedbackStore
from shimmy.server.guard import LOOPBACK_ORIGIN, Guard
from shimmy.server.health import HealthRoutes
from shimmy.server.limits import Limiter, Limits
from shimmy.server.llama_server import LlamaServerRoutes
from shimmy.server.metrics import Metrics
from shimmy.server.model_routes import ModelRoutes
from shimmy.server.native import NativeRoutes
from shimmy.server.ollama import OllamaRoutes
from shimmy.server.ollama_library import OllamaLibraryRoutes
from shimmy.server.openai import OpenAiRoutes
from shimmy.server.operation import MODEL_HEADER
from shimmy.server.page import PageRoutes
from shimmy.server.reload import LiveSettings, Reload
from shimmy.server.request_id import RequestId
from shimmy.server.request_record import Observer, Recorder, note_error
from shimmy.server.requests import RequestRoutes
from shimmy.server.responses import ResponsesRoutes
from shimmy.server.session_store import SessionStore
from shimmy.server.sessions import SessionRoutes
from shimmy.server.tools import ToolRoutes
from shimmy.server.traces import Traces, open_traces
from shimmy.server.workflows import WorkflowRoutes
from shimmy.settings import Settings, bind_address, data_path

EXPOSED_HEADERS = [
    context_header.NAME,
    "openai-processing-ms",
    "request-id",
    "retry-after",
    "x-ratelimit-limit-requests",
    "x-ratelimit-remaining-requests",
    "x-ratelimit-reset-requests",
    "x-request-id",
    MODEL_HEADER,
    "x-should-retry",
]
"""What the scripts of a web page may read."""


MAX_BODIES_BYTES = 256 * 1024 * 1024
"""Of the bodies that are in memory at one time, or four of the largest ones that are allowed."""


def create_app(
    manager: ModelManager, settings: Settings, tools: ToolRegistry | None = None, live: LiveSettings | None = None
) -> FastAPI:
    """An ASGI app that serves `manager`'s models, which it closes at the end of its lifespan, and `tools`: by default
    those built in and installed. `live` knows how to read `settings` again; else only models.toml and keys are.

    FastAPI's own OpenAPI document is off: bodies are decoded by msgspec, so it would show none (`DocumentRoutes`).
    """
    version = __version__
    bound = bind_address(settings.bind)
    hosts = settings.allowed_hosts if bound is None else (*settings.allowed_hosts, bound[0])
    most = settings.max_body_bytes
    live = live or LiveSettings(settings)
    known = keys_of(settings)
    keys = Keyring(known)
    metrics = Metrics()
    limiter = Limiter(settings, known, refused=metrics.refused)
    backend = Backend(manager, limiter, metrics)
    responses = ResponsesRoutes(backend, most)
    sessions = SessionStore(settings.max_sessions, settings.session_idle_minutes * 60, refused=metrics.refused)
    reload = Reload(live, manager, keys, limiter, sessions)
    ollama = OllamaRoutes(backend, most)
    tools = tools or ToolRegistry()
    library = OllamaLibraryRoutes(manager, settings.registry_url, most)
    traces = open_traces(version) if settings.traces else None
    observers: list[Observer] = [AccessLog(prompts=settings.log_prompts)] if settings.access_log else []
    observers += [traces] if traces is not None else []
    routes: list[BaseRoute] = [
        *OpenAiRoutes(backend, version, most).routes(),
        *responses.routes(),
        *AnthropicRoutes(backend, sessions, most).routes(),
        *SessionRoutes(manager, sessions, version, library.pulling).routes(),
        *EmbeddingRoutes(manager, most).routes(),
        *ollama.routes(),
        *library.routes(),
        *LlamaServerRoutes(backend, version, most).routes(),
        *NativeRoutes(backend, most, ollama).routes(),
        *ToolRoutes(tools, most).routes(),
        *WorkflowRoutes(backend, tools, most).routes(),
        *AdapterRoutes(manager, most).routes(),
        *ModelRoutes(manager, most).routes(),
        *reload.routes(),
        *RequestRoutes(backend, most).routes(),
        *FeedbackRoutes(FeedbackStore(settings.data_dir or data_path()), most).routes(),
        *HealthRoutes(backend, version).routes(),
        *PageRoutes().routes(),
    ]
    app = FastAPI(
        title="shimmy",
        version=version,
        openapi_url=None,
        routes=[*routes, *DocumentRoutes(routes, version, keys).routes()],
        middleware=[
            Middleware(RequestId),
            *([Middleware(Recorder, observers=observers)] if observers else []),
            Middleware(Guard, hosts=hosts, origins=settings.cors_origins),
            Middleware(
                CORSMiddleware,
                allow_origins=settings.cors_origins,
                allow_origin_regex=LOOPBACK_ORIGIN,
                allow_methods=["GET", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"],
                allow_headers=["*"],
                expose_headers=EXPOSED_HEADERS,
            ),
            Middleware(Failures),
            Middleware(Auth, keys=keys),
            Middleware(Limits, limiter=limiter),
        ],
        exception_handlers={
            HTTPException: _http_exception,
            RequestValidationError: _validation_error,
            ShimmyError: _shimmy_error,
            Exception: _unexpected_error,
        },
        lifespan=lambda _: _running(responses, library, manager, tools, traces),
        redirect_slashes=False,
    )
    app.state.live = live  # for every Endpoint
    app.state.bodies = BodyBudget(max(MAX_BODIES_BYTES, 4 * most))  # likewise
    app.state.reload = reload.on_signal
    app.state.begin_shutdown = library.close  # nobody waits for downloads that are under way
    return app


@asynccontextmanager
async def _running(
    responses: ResponsesRoutes,
    library: OllamaLibraryRoutes,
    manager: ModelManager,
    tools: ToolRegistry,
    traces: Traces | None,
) -> AsyncIterator[None]:
    try:
        await tools.load()
        yield
    finally:
        library.close()
        await responses.close()
        await manager.close()
        if traces is not None:
            await traces.close()


def _answer(request: Request, error: ShimmyError, headers: dict[str, str] | None = None) -> Response:
    problem = problem_of(error)
    note_error(problem)
    body = shape_for(request.url.path)(problem)
    return Response(body, problem.status, {**problem.headers, **(headers or {})}, "application/json")


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    path = request.url.path
    if error.status_code == 404:
        return _answer(request, HttpError(404, f"there is no route {path}", "route_not_found"))
    allowed = dict(error.headers or {})
    message = f"{request.method} is not allowed on {path}" if error.status_code == 405 else str(error.detail)
    return _answer(request, HttpError(error.status_code, message), allowed)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")
    return _answer(request, InvalidRequestError(f"{place}: {first['msg']}", place or None))


async def _shimmy_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ShimmyError)
    return _answer(request, error)


async def _unexpected_error(request: Request, error: Exception) -> Response:
    return _answer(request, unexpected())
