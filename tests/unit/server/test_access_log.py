"""One line for each request, and what it tells."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from shimmy.logs import JsonFormatter, TextFormatter
from shimmy.server.request_record import RequestRecord
from shimmy.settings import Settings

SECRET = "canary"


class Lines(logging.Handler):
    """The records of shimmy.access."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)

    def last(self) -> dict[str, Any]:
        """The last line, as JSON tells it."""
        entry: dict[str, Any] = json.loads(JsonFormatter().format(self.records[-1]))
        for name in ("time", "logger"):
            entry.pop(name)
        return entry


@pytest.fixture
def lines() -> Iterator[Lines]:
    handler = Lines()
    logger = logging.getLogger("shimmy.access")
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.removeHandler(handler)
    logger.setLevel(logging.NOTSET)


@pytest.fixture
def own(start_server: Any, tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "keys.toml"
    path.write_text('[ann]\nkey = "ann-secret"\nrequests_per_minute = 1000\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=path)) as server:
        server.http.headers["authorization"] = "Bearer ann-secret"
        yield server


def after(server: Any, lines: Lines, count: int = 1) -> dict[str, Any]:
    """The last of so many lines: an answer is there before its line is."""
    server.wait_until(lambda: len(lines.records) >= count)
    assert len(lines.records) == count
    return lines.last()


def test_what_a_generation_came_to(own: Any, lines: Lines) -> None:
    answer = own.chat(f"{SECRET} two three")
    line = after(own, lines)
    assert 0 < line.pop("ttft_ms") <= line.pop("duration_ms") < 10_000
    assert line == {
        "level": "info",
        "message": "request",
        "method": "POST",
        "route": "/v1/chat/completions",
        "status": 200,
        "request_id": answer.headers["x-request-id"],
        "client": "127.0.0.1",
        "key": "ann",
        "model": "m",
        "prompt_tokens": 3,
        "cached_tokens": 1,
        "completion_tokens": 3,
        "finish_reason": "stop",
    }


def test_the_client_s_own_id_stands_beside_ours(own: Any, lines: Lines) -> None:
    answer = own.http.get("/v1/models", headers={"x-request-id": "theirs-1"})
    line = after(own, lines)
    assert (line["request_id"], line["client_request_id"]) == (answer.headers["request-id"], "theirs-1")


def test_a_stream_is_told_when_it_has_ended(own: Any, lines: Lines) -> None:
    own.chat("count 5", stream=True, max_tokens=2)
    line = after(own, lines)
    assert (line["finish_reason"], line["completion_tokens"]) == ("length", 2)


def test_several_choices_count_their_prompt_once(own: Any, lines: Lines) -> None:
    own.chat("one two three", n=3)
    line = after(own, lines)
    assert (line["prompt_tokens"], line["completion_tokens"], line["finish_reason"]) == (3, 9, "stop,stop,stop")
    own.http.post("/v1/completions", json={"model": "m", "prompt": ["one", "two three"], "n": 2})
    assert after(own, lines, 2)["prompt_tokens"] == 3


def test_a_client_that_leaves(own: Any, lines: Lines) -> None:
    body = {"model": "m", "prompt": "slow 100000", "stream": True}
    with own.http.stream("POST", "/v1/completions", json=body) as answer:
        rows = answer.iter_lines()
        next(rows)
    line = after(own, lines)
    assert (line["status"], line["finish_reason"]) == (200, "cancelled")
    with pytest.raises(Exception, match="timed out"):
        own.http.post("/v1/completions", json={"model": "m", "prompt": "hang"}, timeout=0.2)
    line = after(own, lines, 2)
    assert (line["status"], line["finish_reason"], "ttft_ms" in line) == (499, "cancelled", False)


@pytest.mark.parametrize(
    ("prompt", "stream", "status", "error"),
    [
        ("break", False, 502, "engine_dead"),
        ("break", True, 200, "engine_dead"),
        ("bug", False, 500, "server_error"),
        ("fail QueueFullError", True, 429, "rate_limit_exceeded"),
    ],
)
def test_errors_by_their_code(own: Any, lines: Lines, prompt: str, stream: bool, status: int, error: str) -> None:
    own.chat(prompt, stream=stream)
    line = after(own, lines)
    assert (line["status"], line["error"]) == (status, error)


@pytest.mark.parametrize(
    ("broken", "method", "path"),
    [
        ("model_routes.ModelRoutes._lines", "GET", "/api/models"),
        ("limits.Limiter.admit", "POST", "/v1/chat/completions"),
        ("health.HealthRoutes._health", "GET", "/health"),
    ],
)
def test_bugs_outside_of_routes(
    start_server: Any, lines: Lines, monkeypatch: pytest.MonkeyPatch, broken: str, method: str, path: str
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(f"shimmy.server.{broken}", fail)
    with start_server(Settings(bind="127.0.0.1:0", access_log=True)) as server:
        answer = server.http.request(method, path)
        assert (answer.status_code, "internal server error" in answer.text) == (500, True)
        line = after(server, lines)
        assert (line["status"], line["error"]) == (500, "server_error")
        assert line["request_id"] == answer.headers["x-request-id"]


def test_what_is_refused(own: Any, lines: Lines) -> None:
    own.http.get("/nowhere")
    line = after(own, lines)
    assert (line["path"], line["status"], line["error"], "route" in line) == ("/nowhere", 404, "route_not_found", False)
    own.http.get("/v1/models/m", headers={"authorization": "Bearer other"})
    line = after(own, lines, 2)
    assert (line["status"], line["error"], "key" in line) == (401, "invalid_api_key", False)
    own.http.get("/v1/models/m", headers={"host": "evil.example"})
    assert after(own, lines, 3)["error"] == "forbidden"
    own.http.get("/v1/models/m")
    line = after(own, lines, 4)
    assert (line["route"], line["path"]) == ("/v1/models/{name:path}", "/v1/models/m")


def test_embeddings(own: Any, lines: Lines) -> None:
    for path in ("/api/embed", "/api/embeddings"):
        lines.records.clear()
        own.http.post(path, json={"model": "m", "input": "four", "prompt": "four"})
        line = after(own, lines)
        assert (line["model"], line["prompt_tokens"]) == ("m", 4)
    lines.records.clear()
    own.http.post("/v1/embeddings", json={"model": "m", "input": "four"})
    line = after(own, lines)
    assert (line["model"], line["prompt_tokens"], "completion_tokens" in line) == ("m", 4, False)


def test_probes_are_told_at_level_debug(own: Any, lines: Lines) -> None:
    own.http.get("/health")
    own.http.get("/metrics")
    own.wait_until(lambda: len(lines.records) == 2)
    assert {record.levelname for record in lines.records} == {"DEBUG"}


def test_a_socket_is_told_when_it_has_closed(own: Any, lines: Lines) -> None:
    url = own.url.replace("http", "ws") + "/ws/generate"
    with connect(url, additional_headers={"authorization": "Bearer ann-secret"}) as socket:
        for count in (1, 2):
            socket.send(json.dumps({"model": "m", "prompt": "one two"}))
            while "done" not in socket.recv(timeout=5):
                pass
            line = after(own, lines, count)
            assert (line["status"], line["finish_reason"], line["completion_tokens"]) == (101, "stop", 2)
            assert (line["route"], line["key"], line["ttft_ms"] >= 0) == ("/ws/generate", "ann", True)
    line = after(own, lines, 3)
    assert (line["status"], "model" in line, "completion_tokens" in line) == (101, False, False)
    with pytest.raises(InvalidStatus), connect(url):
        pass
    line = after(own, lines, 4)
    assert (line["status"], line["error"]) == (403, "missing_api_key")


def test_a_response_in_the_background_is_told_when_it_has_ended(own: Any, lines: Lines) -> None:
    body = {"model": "m", "input": "slow 30", "background": True}
    created = own.http.post("/v1/responses", json=body)
    line = after(own, lines)
    assert line["duration_ms"] >= 250  # of the answer, not of the request
    assert (line["request_id"], line["status"]) == (created.headers["x-request-id"], 200)
    assert (line["finish_reason"], line["completion_tokens"]) == ("stop", 30)


def test_prompts_are_never_told(own: Any, lines: Lines) -> None:
    own.chat(SECRET)
    own.chat(SECRET, temperature=SECRET)
    own.http.post("/v1/completions", json={"model": "m", "prompt": f"fail {SECRET}"})
    own.http.post("/v1/completions", content=SECRET)
    own.http.post("/v1/embeddings", json={"model": SECRET, "input": SECRET})
    own.wait_until(lambda: len(lines.records) == 5)
    for formatter in (JsonFormatter(), TextFormatter()):
        assert SECRET not in "".join(map(formatter.format, lines.records))


def test_prompts_are_told_when_asked_for(start_server: Any, lines: Lines) -> None:
    with start_server(Settings(bind="127.0.0.1:0", log_prompts=True)) as server:
        server.chat("hello", n=2)
        assert after(server, lines)["prompts"] == [[{"role": "user", "content": "hello"}]]
        server.http.post("/v1/completions", json={"model": "m", "prompt": ["a b", "c"]})
        assert after(server, lines, 2)["prompts"] == ["a b", "c"]


def test_it_can_be_turned_off(start_server: Any, lines: Lines) -> None:
    with start_server(Settings(bind="127.0.0.1:0", access_log=False)) as server:
        server.chat("hello")
        server.http.get("/health")
    assert not lines.records


def test_text_cannot_be_forged() -> None:
    record = logging.makeLogRecord({"name": "shimmy.access", "levelname": "INFO", "msg": "request"})
    record.__dict__ |= {"path": "/a b=c\n\x1b[0mé", "status": 200, "route": "/v1/models/{name:path}", "key": ""}
    text = TextFormatter().format(record).partition("shimmy.access: ")[2]
    assert text == 'request path="/a b=c\\n\\u001b[0m\\u00e9" status=200 route=/v1/models/{name:path} key=""'


def test_an_observer_hears_of_what_fails() -> None:
    from shimmy.server.request_record import Recorder

    seen: list[RequestRecord] = []

    async def failing(scope: Any, receive: Any, send: Any) -> None:
        raise ValueError("bug")

    async def ask() -> None:
        with pytest.raises(ValueError, match="bug"):
            await Recorder(failing, [seen.append])({"type": "http", "method": "GET", "path": "/"}, None, None)  # type: ignore[arg-type]

    asyncio.run(ask())
    assert seen[0].seconds > 0
