"""A host of models in a thread: an Ollama registry and a Hugging Face hub of files in memory, with faults on demand."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

LAYER = "application/vnd.ollama.image."


def digest_of(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class FakeHost:
    """What it serves, what it was asked, and how it fails."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.name = urlsplit(url).netloc
        self.files: dict[str, bytes] = {}
        """Path -> body."""
        self.redirects: dict[str, str] = {}
        self.statuses: dict[str, int] = {}
        self.asked: list[tuple[str, str | None]] = []
        """Paths, each with its Range."""
        self.headers: dict[str, Any] = {}
        """Of the last request for each path."""
        self.cut_after: int | None = None
        """Bytes of a body after which the connection breaks, once."""
        self.gate = threading.Event()
        """Bodies of more than a kilobyte stop in their middle until it is set."""
        self.gate.set()
        self.ignore_range = False
        self.wrong_range = False
        """Parts begin one byte too late."""

    def add_model(self, name: str, layers: dict[str, bytes], *, tag: str = "latest") -> dict[str, Any]:
        """A model of an Ollama registry: kind of layer -> content. Returns its manifest."""

        def layer(kind: str, data: bytes) -> dict[str, Any]:
            self.files[f"/v2/{name}/blobs/{digest_of(data)}"] = data
            return {"mediaType": kind, "digest": digest_of(data), "size": len(data)}

        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.docker.distribution.manifest.v2+json",
            "config": layer("application/vnd.docker.container.image.v1+json", b'{"model_format":"gguf"}'),
            "layers": [layer(LAYER + kind, data) for kind, data in layers.items()],
        }
        self.files[f"/v2/{name}/manifests/{tag}"] = json.dumps(manifest).encode()
        return manifest

    def add_repository(self, name: str, files: dict[str, bytes]) -> None:
        """A repository of a Hugging Face hub: file name -> content."""
        siblings = []
        for file, data in files.items():
            self.files[f"/{name}/resolve/abc123/{file}"] = data
            lfs = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 100}
            siblings.append({"rfilename": file, "size": len(data), "blobId": "b", "lfs": lfs})
        info = {"id": name, "modelId": name, "sha": "abc123", "siblings": siblings, "tags": [], "private": False}
        self.files[f"/api/models/{name}"] = json.dumps(info).encode()

    def fetched(self, part: str) -> list[str | None]:
        """The Range of each request for a path that holds `part`."""
        return [where for path, where in self.asked if part in path]


def _handler(host: FakeHost) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            where = self.headers.get("range")
            host.asked.append((path, where))
            host.headers[path] = {name.lower(): value for name, value in self.headers.items()}
            if path in host.redirects:
                self._answer(307, b"", location=host.redirects[path])
            elif path in host.statuses:
                self._answer(host.statuses[path], b"{}")
            elif path not in host.files:
                code = {"x-error-code": "RepoNotFound"} if path.startswith("/api/models/") else {}
                self._answer(404, b'{"error": "not found"}', **code)
            else:
                self._send(host.files[path], where)

        def _send(self, body: bytes, where: str | None) -> None:
            start = re.fullmatch(r"bytes=(\d+)-", where or "")
            if start is None or host.ignore_range:
                self._answer(200, body)
                return
            first = int(start[1]) + host.wrong_range
            self._answer(206, body[first:], content_range=f"bytes {first}-{len(body) - 1}/{len(body)}")

        def _answer(self, status: int, body: bytes, **headers: str) -> None:
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            for name, value in headers.items():
                self.send_header(name.replace("_", "-"), value)
            self.end_headers()
            if host.cut_after is not None and len(body) > host.cut_after:
                body, host.cut_after = body[: host.cut_after], None
                self.close_connection = True
            half = len(body) // 2 if len(body) > 1024 else 0
            try:
                self.wfile.write(body[:half])
                self.wfile.flush()
                if half:
                    host.gate.wait(10)
                self.wfile.write(body[half:])
            except OSError:
                self.close_connection = True

        def log_message(self, *_: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """Clients that leave are part of the tests."""


@contextmanager
def run_host() -> Iterator[FakeHost]:
    server = _Server(("127.0.0.1", 0), BaseHTTPRequestHandler)
    host = FakeHost(f"http://127.0.0.1:{server.server_port}")
    server.RequestHandlerClass = _handler(host)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield host
    finally:
        host.gate.set()
        server.shutdown()
        thread.join()
        server.server_close()
