"""Spans of requests, as a collector gets them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from shimmy.server.traces import Traces, open_traces
from shimmy.settings import Settings, SettingsError, load_settings

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


@pytest.fixture
def exporter() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def traced(start_server: Any, exporter: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr("shimmy.server.app.open_traces", lambda version: Traces(provider))
    with start_server(Settings(bind="127.0.0.1:0", traces=True)) as server:
        yield server


def only(server: Any, exporter: InMemorySpanExporter) -> ReadableSpan:
    server.wait_until(lambda: bool(exporter.get_finished_spans()))
    (span,) = exporter.get_finished_spans()
    exporter.clear()
    return span


def test_a_chat(traced: Any, exporter: InMemorySpanExporter) -> None:
    before = time.time_ns()
    answer = traced.chat("one two three", temperature=0.5, seed=7, max_tokens=2)
    span = only(traced, exporter)
    assert (span.name, span.kind, span.status.status_code) == ("chat m", SpanKind.SERVER, StatusCode.UNSET)
    assert span.parent is None
    assert span.start_time is not None
    assert span.end_time is not None
    assert before <= span.start_time < span.end_time <= time.time_ns() + 1_000_000
    attributes = dict(span.attributes or {})
    assert 0 < attributes.pop("gen_ai.response.time_to_first_chunk") < 10  # type: ignore[operator]
    assert attributes.pop("server.port")
    assert attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/chat/completions",
        "http.response.status_code": 200,
        "url.path": "/v1/chat/completions",
        "url.scheme": "http",
        "server.address": "127.0.0.1",
        "client.address": "127.0.0.1",
        "shimmy.request_id": answer.headers["x-request-id"],
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "shimmy",
        "gen_ai.request.model": "m",
        "gen_ai.request.temperature": 0.5,
        "gen_ai.request.seed": 7,
        "gen_ai.request.max_tokens": 2,
        "gen_ai.response.model": "m",
        "gen_ai.response.id": answer.json()["id"],
        "gen_ai.response.finish_reasons": ("length",),
        "gen_ai.usage.input_tokens": 3,
        "gen_ai.usage.output_tokens": 2,
        "gen_ai.usage.cache_read.input_tokens": 1,
    }


def test_a_span_belongs_to_the_callers_trace(traced: Any, exporter: InMemorySpanExporter) -> None:
    body = {"model": "m", "prompt": "hi", "stream": True, "n": 2}
    headers = {"traceparent": f"00-{TRACE}-{PARENT}-01", "tracestate": "vendor=value"}
    traced.http.post("/v1/completions", json=body, headers=headers)
    span = only(traced, exporter)
    assert span.context is not None
    assert span.parent is not None
    assert (f"{span.context.trace_id:032x}", f"{span.parent.span_id:016x}") == (TRACE, PARENT)
    assert span.context.trace_state.get("vendor") == "value"
    assert span.name == "text_completion m"
    assert (span.attributes or {})["gen_ai.request.choice.count"] == 2


def test_what_the_caller_does_not_sample_is_not_sent(traced: Any, exporter: InMemorySpanExporter) -> None:
    traced.http.get("/v1/models", headers={"traceparent": f"00-{TRACE}-{PARENT}-00"})
    traced.http.get("/v1/models", headers={"traceparent": "nonsense"})
    span = only(traced, exporter)
    assert (span.name, span.parent) == ("GET /v1/models", None)


@pytest.mark.parametrize(
    ("prompt", "stream", "status", "error"),
    [
        ("break", False, 502, "engine_dead"),
        ("break", True, 200, "engine_dead"),
        ("bug", False, 500, "server_error"),
        ("fail InvalidRequestError", False, 400, None),
    ],
)
def test_errors(
    traced: Any, exporter: InMemorySpanExporter, prompt: str, stream: bool, status: int, error: str | None
) -> None:
    traced.chat(prompt, stream=stream)
    span = only(traced, exporter)
    attributes = span.attributes or {}
    assert (attributes["http.response.status_code"], attributes.get("error.type")) == (status, error)
    assert span.status.status_code == (StatusCode.ERROR if error else StatusCode.UNSET)


def test_what_has_no_model(traced: Any, exporter: InMemorySpanExporter) -> None:
    traced.http.get("/health")
    traced.http.get("/nowhere")
    span = only(traced, exporter)
    assert (span.name, "http.route" in (span.attributes or {})) == ("GET", False)
    traced.http.post("/v1/embeddings", json={"model": "m", "input": "four"})
    span = only(traced, exporter)
    assert (span.name, (span.attributes or {})["gen_ai.usage.input_tokens"]) == ("embeddings m", 4)


def test_no_span_tells_a_prompt(traced: Any, exporter: InMemorySpanExporter) -> None:
    traced.chat("canary", stop=["canary"])
    assert "canary" not in only(traced, exporter).to_json()


def test_a_collector_gets_them(start_server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    bodies: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            bodies.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    collector = HTTPServer(("127.0.0.1", 0), Collector)
    thread = threading.Thread(target=collector.serve_forever)
    thread.start()
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{collector.server_port}")
    try:
        with start_server(Settings(bind="127.0.0.1:0", traces=True)) as server:
            server.chat("hello")
    finally:
        collector.shutdown()
        thread.join()
        collector.server_close()
    path, body = bodies[0]
    assert path == "/v1/traces"
    assert b"chat m" in body
    assert b"service.name" in body


@pytest.mark.parametrize(("variables", "name"), [({}, "shimmy"), ({"OTEL_SERVICE_NAME": "mine"}, "mine")])
def test_the_environment_names_the_service(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], name: str
) -> None:
    monkeypatch.delenv("OTEL_SERVICE_NAME", raising=False)
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    traces = open_traces("1.2.3")
    resource = traces._provider.resource.attributes
    traces._provider.shutdown()
    assert (resource["service.name"], resource["service.version"]) == (name, "1.2.3")


def test_without_the_extra_it_is_a_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=r"pip install 'shimmy-llm\[otel\]'"):
        open_traces("1")


def test_nothing_is_imported_unless_asked_for() -> None:
    """FastAPI itself imports the API, which does nothing without the SDK."""
    program = (
        "import sys, json\n"
        "from shimmy.models.manager import ModelManager\n"
        "from shimmy.models.registry import Registry\n"
        "from shimmy.server.app import create_app\n"
        "from shimmy.settings import Settings\n"
        "create_app(ModelManager(Registry(Settings(), roots=[])), Settings())\n"
        "heavy = ('opentelemetry.sdk', 'opentelemetry.exporter', 'google', 'requests')\n"
        "print(json.dumps([name for name in sys.modules if name.startswith(heavy)]))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, timeout=60)
    assert json.loads(done.stdout) == []


@pytest.mark.parametrize(("text", "value"), [("1", True), ("TRUE", True), ("0", False)])
def test_the_variable(text: str, value: bool, tmp_path: Any) -> None:
    assert load_settings(environ={"SHIMMY_TRACES": text}, config=tmp_path / "none.toml").traces is value
    with pytest.raises(SettingsError, match="SHIMMY_TRACES: traces"):
        load_settings(environ={"SHIMMY_TRACES": "maybe"}, config=tmp_path / "none.toml")
