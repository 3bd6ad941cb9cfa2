"""Commands that ask a running server, against one that answers as it is told."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest
from typer.testing import Result

Run = Callable[..., Result]

LOADED = {
    "model": "llama3:8b",
    "status": "loaded",
    "loaded": True,
    "error": None,
    "memory_bytes": 5 << 30,
    "vram_bytes": 0,
    "n_ctx": 8192,
    "in_use": 2,
    "pinned": False,
    "expires_at": None,
}


class Told(HTTPServer):
    """`answers`: path -> status and body; `asked`: what came, as (method, path, body, key)."""

    answers: dict[str, tuple[int, bytes]]
    asked: list[tuple[str, str, Any, str | None]]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    server: Told

    def do_GET(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        self.server.asked.append(
            (self.command, self.path, json.loads(body) if body else None, self.headers.get("authorization"))
        )
        status, answer = self.server.answers[self.path]
        self.send_response(status)
        self.send_header("content-length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET  # noqa: N815 - as the base class looks for it

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Told]:
    with Told(("127.0.0.1", 0), Handler) as server:
        server.answers, server.asked = {}, []
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def tell(server: Told, path: str, answer: Any, status: int = 200) -> None:
    server.answers[path] = (status, answer if isinstance(answer, bytes) else json.dumps(answer).encode())


def test_ps(run: Run, server: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time()
    monkeypatch.setattr("shimmy.cli.ps.time.time", lambda: now)
    states = [
        LOADED,
        {**LOADED, "model": "b", "expires_at": now + 65.4},
        {**LOADED, "model": "c", "expires_at": now + 7300, "vram_bytes": 1 << 30},
        {**LOADED, "model": "d", "expires_at": now - 1},
        {**LOADED, "model": "e", "pinned": True},
        {**LOADED, "model": "f", "status": "failed", "loaded": False, "error": "bad magic", "memory_bytes": None},
        {**LOADED, "model": "g", "status": "unloaded", "loaded": False},
    ]
    tell(server, "/api/models/status", states)
    result = run("ps", "--url", server.url + "/")
    assert result.exit_code == 0
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    assert lines == [
        "NAME STATE MEMORY GPU CONTEXT IN USE UNTIL",
        "llama3:8b loaded 5.0 GiB - 8192 2 for ever",
        "b loaded 5.0 GiB - 8192 2 in 1 min 5 s",
        "c loaded 5.0 GiB 1.0 GiB 8192 2 in 2 h 1 min",
        "d loaded 5.0 GiB - 8192 2 in 0 s",
        "e loaded 5.0 GiB - 8192 2 pinned",
        "f failed - - 8192 2 bad magic",
    ]


def test_where_the_settings_say(run: Run, server: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIMMY_BIND_ADDRESS", f"0.0.0.0:{server.server_port}")
    monkeypatch.setenv("SHIMMY_API_KEY", "a-long-secret")
    tell(server, "/api/models/status", [])
    assert run("ps").stdout == f"no model is loaded at {server.url}\n"
    assert server.asked == [("GET", "/api/models/status", None, "Bearer a-long-secret")]


def test_load(run: Run, server: Told) -> None:
    events = (
        b'event: progress\ndata: {"model": "a", "status": "loading", "progress": 0.5}\n\n'
        b': a comment\n\nevent: loaded\ndata: {"model": "a"}\n\n'
    )
    tell(server, "/api/models/load", events)
    assert run("load", "a", "--keep-alive", "-1", "--url", server.url).stdout == "a is loaded\n"
    assert run("load", "a", "--url", server.url).exit_code == 0
    assert [body for _, _, body, _ in server.asked] == [{"model": "a", "keep_alive": "-1"}, {"model": "a"}]
    tell(server, "/api/models/load", b'event: error\ndata: {"error": "no memory"}\n\n')
    late = run("load", "a", "--url", server.url)
    assert (late.exit_code, late.stderr) == (2, "error: no memory\n")


def test_unload(run: Run, server: Told) -> None:
    tell(server, "/api/models/unload", {"message": "a was unloaded"})
    assert run("unload", "a", "--url", server.url).stdout == "a was unloaded\n"
    assert server.asked == [("POST", "/api/models/unload", {"model": "a"}, None)]


@pytest.mark.parametrize(
    ("status", "answer", "code", "words"),
    [
        (404, {"error": "model 'a' not found"}, 1, "error: model 'a' not found"),
        (400, {"error": "it needs 5.0 GiB"}, 1, "error: it needs 5.0 GiB"),
        (401, {"error": "an API key is required"}, 2, "error: an API key is required"),
        (503, {"error": "try again"}, 2, "error: try again"),
        (502, b"<html>", 2, "error: the server answered 502"),
        (500, {"error": {"message": "another shape"}}, 2, "error: the server answered 500"),
    ],
)
def test_what_the_server_refuses(run: Run, server: Told, status: int, answer: Any, code: int, words: str) -> None:
    for command in ("load", "unload"):
        tell(server, f"/api/models/{command}", answer, status)
        result = run(command, "a", "--url", server.url)
        assert result.exit_code == code
        assert result.stderr.startswith(words)


def test_no_server(run: Run, server: Told) -> None:
    url = server.url
    server.server_close()
    for command in (["ps"], ["load", "a"], ["unload", "a"]):
        result = run(*command, "--url", url)
        assert result.exit_code == 2
        assert f"no server answers at {url}" in result.stderr
        assert "start one with shimmy serve, or give --url" in result.stderr
