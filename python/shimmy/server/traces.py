"""OpenTelemetry: a server span for each request, with what a model did for it.

Attributes are those of the semantic conventions for HTTP servers and for generative AI (in development there:
opentelemetry.io/docs/specs/semconv/gen-ai). This module imports nothing of OpenTelemetry before `open_traces`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shimmy.request import ChatPrompt
from shimmy.server.request_record import RequestRecord
from shimmy.settings import SettingsError

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

_PROPAGATED = ("traceparent", "tracestate")
_SAMPLING = ("temperature", "top_p", "top_k", "seed", "frequency_penalty", "presence_penalty")
_CLOSE_SECONDS = 2.0


class Traces:
    """An observer of requests that ends a span for each, within the trace that the client's `traceparent` names.

    A span tells no prompt, no answer and no key. Probes get none.
    """

    def __init__(self, provider: TracerProvider) -> None:
        from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

        self._provider = provider
        self._tracer = provider.get_tracer("shimmy.server")
        self._propagator = TraceContextTextMapPropagator()

    def __call__(self, record: RequestRecord) -> None:
        from opentelemetry.trace import SpanKind, Status, StatusCode

        if record.is_probe:
            return
        attributes = _attributes_of(record)
        operation = attributes.get("gen_ai.operation.name")
        span = self._tracer.start_span(
            f"{operation} {record.model}" if operation else f"{record.method} {record.route or ''}".rstrip(),
            context=self._propagator.extract(_carrier_of(record)),
            kind=SpanKind.SERVER,
            attributes=attributes,
            start_time=record.began_ns,
        )
        if "error.type" in attributes:
            span.set_status(Status(StatusCode.ERROR))
        span.end(record.began_ns + round(record.seconds * 1e9))

    async def close(self) -> None:
        """Send what is left. A collector that does not answer, which the SDK would try on, is left after 2 seconds."""
        closed = asyncio.Event()
        loop = asyncio.get_running_loop()

        def shut_down() -> None:
            self._provider.shutdown()
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(closed.set)

        threading.Thread(target=shut_down, name="shimmy-traces", daemon=True).start()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(closed.wait(), _CLOSE_SECONDS)


def open_traces(version: str) -> Traces:
    """Spans sent by OTLP over HTTP; the OTEL_* variables say where to, and how. SettingsError when the extra is not
    installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError("traces need OpenTelemetry: pip install 'shimmy-llm[otel]'") from error
    resource = Resource.create(_resource_of(version, os.environ))
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return Traces(provider)


def _resource_of(version: str, environ: Mapping[str, str]) -> dict[str, str]:
    """Without a name where the environment gives one: what is given here would win over it."""
    named = "OTEL_SERVICE_NAME" in environ or "service.name=" in environ.get("OTEL_RESOURCE_ATTRIBUTES", "")
    name = {} if named else {"service.name": "shimmy"}
    return {**name, "service.version": version}


def _carrier_of(record: RequestRecord) -> dict[str, str]:
    headers: dict[bytes, bytes] = dict(record.scope["headers"])
    found = {name: headers.get(name.encode(), b"").decode("latin-1") for name in _PROPAGATED}
    return {name: value for name, value in found.items() if value}


def _attributes_of(record: RequestRecord) -> dict[str, Any]:
    server = record.scope.get("server") or (None, None)
    attributes: dict[str, Any] = {
        "http.request.method": record.method,
        "http.route": record.route,
        "http.response.status_code": record.status,
        "url.path": record.path,
        "url.scheme": record.scope.get("scheme"),
        "server.address": server[0],
        "server.port": server[1],
        "client.address": record.client,
        "shimmy.request_id": record.request_id,
        "shimmy.client_request_id": record.client_request_id,
        "shimmy.key": record.key or None,
        "error.type": _error_of(record),
    }
    if record.model is not None:
        attributes |= _model_attributes(record)
    return {name: value for name, value in attributes.items() if value is not None}


def _error_of(record: RequestRecord) -> str | None:
    """What went wrong on our side: an error of the client's is none of the server's span."""
    failed = record.status >= 500 or (record.status < 400 and "error" in record.finish_reasons)
    return (record.error or str(record.status)) if failed else None


def _model_attributes(record: RequestRecord) -> dict[str, Any]:
    attributes: dict[str, Any] = {
        "gen_ai.operation.name": _operation_of(record),
        "gen_ai.provider.name": "shimmy",
        "gen_ai.request.model": record.model,
        "gen_ai.response.model": record.model,
        "gen_ai.usage.input_tokens": record.prompt_tokens,
        "gen_ai.usage.output_tokens": record.completion_tokens,
        "gen_ai.usage.cache_read.input_tokens": record.cached_tokens,
        "gen_ai.response.time_to_first_chunk": record.seconds_to_first_token,
    }
    if record.generations:
        request = record.generations[0].request
        attributes |= {f"gen_ai.request.{name}": request.sampling.get(name) for name in _SAMPLING}
        attributes["gen_ai.request.max_tokens"] = request.max_tokens
        attributes["gen_ai.response.id"] = request.request_id
        attributes["gen_ai.response.finish_reasons"] = record.finish_reasons
        if len(record.generations) > 1:
            attributes["gen_ai.request.choice.count"] = len(record.generations)
    return attributes


def _operation_of(record: RequestRecord) -> str:
    if not record.generations:
        return "embeddings"
    return "chat" if isinstance(record.generations[0].request.prompt, ChatPrompt) else "text_completion"
