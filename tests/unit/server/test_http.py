"""What holds for every route: guards, limits, malformed input, unknown routes, models, health."""

from __future__ import annotations

import json
import random
import socket
import time
from collections.abc import Callable
from datetime import datetime
from typing import Any

import httpx
import pytest
from fake_registry import FakeEntry, FakeRegistry

from shimmy.settings import Settings

ROUTES = ("/v1/chat/completions", "/v1/completions", "/api/generate")


def error_of(response: httpx.Response) -> str:
    """The message, in the shape that belongs to the path."""
    error = response.json()["error"]
    if response.url.path.startswith("/api"):
        assert isinstance(error, str)
        return error
    assert set(error) >= {"message", "type", "param", "code"}
    return str(error["message"])


@pytest.mark.parametrize("path", ROUTES)
@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not valid JSON"),
        (b"{", "not valid JSON"),
        (b'{"model": }', "not valid JSON"),
        (b'{"model": "m", "messages": [], "prompt": ""} x', "not valid JSON"),
        (b'{"model": "\xff"}', "not valid UTF-8"),
        (b'{"model": "\\ud800"}', "not valid JSON"),
        (b'{"temperature": 1e999}', "temperature"),
        (b'{"temperature": NaN}', "not valid JSON"),
        (b"[]", "must be an object, got a list"),
        (b"{}", "model is required"),
        (b'{"a":' + b"[" * 100_000, "nested"),
        (b'{"model": 5}', "model must be a string, got an integer"),
    ],
)
def test_malformed_bodies_are_400(server: Any, path: str, body: bytes, words: str) -> None:
    response = server.http.post(path, content=body)
    assert response.status_code == 400
    assert words in error_of(response)


@pytest.mark.parametrize("path", ROUTES)
def test_a_thousand_mutations_never_give_5xx(server: Any, path: str) -> None:
    rng = random.Random(path)
    seed = json.dumps(
        {"model": "m", "messages": [{"role": "user", "content": "hi"}], "prompt": "hi", "n": 1, "stop": ["x"]}
    ).encode()
    values = (b"null", b"-1", b"1e308", b"2147483648", b"[]", b"{}", b'""', b"true", b'"\\u0000"', b"[[[]]]", b"1.5")
    for _ in range(300):
        body = bytearray(seed)
        for _ in range(rng.randint(1, 3)):
            at = rng.randrange(len(body))
            if rng.random() < 0.5:
                body[at] = rng.randrange(256)
            else:
                body[at : at + rng.randint(0, 6)] = rng.choice(values)
        response = server.http.post(path, content=bytes(body))
        assert response.status_code < 500, bytes(body)
        assert response.status_code != 422


@pytest.mark.parametrize(
    "path", ["/v1/nothing", "/api/nothing", "/nothing", "/v1/chat/completions/", "/docs/", "/redoc"]
)
def test_unknown_routes_are_json_404(server: Any, path: str) -> None:
    response = server.http.get(path)
    assert response.status_code == 404
    assert error_of(response) == f"there is no route {path}"


@pytest.mark.parametrize("path", ROUTES)
def test_wrong_methods_are_json_405(server: Any, path: str) -> None:
    response = server.http.get(path)
    assert response.status_code == 405
    assert response.headers["allow"] == "POST"
    assert error_of(response) == f"GET is not allowed on {path}"


def test_a_body_over_the_limit_is_413(start_server: Callable[..., Any]) -> None:
    with start_server(Settings(bind="127.0.0.1:0", max_body_bytes=1024)) as server:
        assert server.chat("x" * 500).status_code == 200
        for content in (b"x" * 5_000_000, (b"x" * 1000 for _ in range(5000))):
            response = server.http.post("/v1/chat/completions", content=content)
            assert response.status_code == 413
            assert response.json()["error"]["message"] == "the request body is larger than 1024 bytes"
        response = server.http.post("/api/generate", content=b"x" * 2000, headers={"expect": "100-continue"})
        assert response.status_code == 413
        assert "larger than 1024" in response.json()["error"]


@pytest.mark.parametrize(
    "host",
    [
        "evil.example.com",
        "evil.example.com:11435",
        "localhost.",
        "127.1",
        "0x7f.1",
        "[::ffff:127.0.0.1]",
        "",
        "10.0.0.1",
    ],
)
@pytest.mark.parametrize("path", ["/health", "/v1/chat/completions"])
def test_foreign_hosts_are_403(server: Any, path: str, host: str) -> None:
    response = server.http.post(path, headers={"host": host})
    assert response.status_code == 403
    assert "is not allowed" in error_of(response)


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:99", "[::1]:11435"])
def test_loopback_hosts_pass(server: Any, host: str) -> None:
    assert server.http.get("/health", headers={"host": host}).status_code == 200


def test_a_request_without_host_is_403(server: Any) -> None:
    with socket.create_connection(("127.0.0.1", httpx.URL(server.url).port)) as raw:
        raw.sendall(b"GET /health HTTP/1.0\r\n\r\n")
        assert b" 403 " in raw.recv(4096).split(b"\r\n")[0]


def test_configured_hosts_and_origins_pass(start_server: Callable[..., Any]) -> None:
    settings = Settings(bind="127.0.0.1:0", allowed_hosts=("box.lan:8080",), cors_origins=("https://app.example",))
    with start_server(settings) as server:
        assert server.http.get("/health", headers={"host": "box.lan"}).status_code == 200
        headers = {"origin": "https://app.example", "access-control-request-method": "POST"}
        response = server.http.options("/v1/chat/completions", headers=headers)
        assert response.headers["access-control-allow-origin"] == "https://app.example"
        answered = server.http.get("/v1/models", headers={"origin": "https://app.example"})
        exposed = answered.headers["access-control-expose-headers"].split(", ")
        assert {"x-ratelimit-remaining-requests", "retry-after", "x-should-retry"} <= set(exposed)


@pytest.mark.parametrize("origin", ["https://evil.example", "null", "http://localhost.evil.example", "file://"])
def test_foreign_origins_are_403_before_any_work(server: Any, origin: str) -> None:
    server.chat("warm up")
    n_requests = len(server.engine.requests)
    body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hi"}]})
    headers = {"origin": origin, "content-type": "text/plain"}
    response = server.http.post("/v1/chat/completions", content=body, headers=headers)
    assert response.status_code == 403
    assert "access-control-allow-origin" not in response.headers
    preflight = server.http.options(
        "/v1/chat/completions", headers={"origin": origin, "access-control-request-method": "POST"}
    )
    assert preflight.status_code == 403
    assert "access-control-allow-origin" not in preflight.headers
    assert len(server.engine.requests) == n_requests


def test_cross_site_posts_without_origin_are_403(server: Any) -> None:
    headers = {"sec-fetch-site": "cross-site"}
    assert server.http.post("/v1/completions", content=b"{}", headers=headers).status_code == 403
    assert server.http.get("/health", headers=headers).status_code == 200


@pytest.mark.parametrize("origin", ["http://localhost:3000", "http://127.0.0.1", "https://[::1]:8443"])
def test_loopback_origins_get_cors(server: Any, origin: str) -> None:
    response = server.http.get("/v1/models", headers={"origin": origin})
    assert response.headers["access-control-allow-origin"] == origin
    headers = {"origin": origin, "access-control-request-method": "DELETE", "access-control-request-headers": "x-a"}
    preflight = server.http.options("/v1/models", headers=headers)
    assert preflight.status_code == 200
    assert "DELETE" in preflight.headers["access-control-allow-methods"]


def test_every_answer_has_an_id_of_ours_beside_the_client_s(server: Any) -> None:
    paths = ("/health", "/nowhere", "/v1/models/nope")
    answers = [server.http.get(path, headers={"x-request-id": "mine"}) for path in paths]
    ids = {answer.headers["request-id"] for answer in answers}
    assert len(ids) == 3
    assert all(one.startswith("req_") for one in ids)
    assert {answer.headers["x-request-id"] for answer in answers} == {"mine"}


@pytest.mark.parametrize("given", [None, "", "a b", 'a"b', "a/b", "x" * 129, "\u00e4".encode("latin-1")])
def test_an_id_that_is_none_is_not_echoed(server: Any, given: Any) -> None:
    headers = server.http.get("/health", headers=None if given is None else {"x-request-id": given}).headers
    assert headers["x-request-id"] == headers["request-id"]
    twice = server.http.get("/health", headers=[("x-request-id", "a"), ("x-request-id", "b")]).headers
    assert twice["x-request-id"] == twice["request-id"]


def test_two_clients_with_one_id_are_two(server: Any) -> None:
    headers = {"x-request-id": "same.ID_1-2"}
    body = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}
    first, second = (server.http.post("/v1/chat/completions", json=body, headers=headers) for _ in range(2))
    assert first.headers["x-request-id"] == second.headers["x-request-id"] == "same.ID_1-2"
    (found,) = server.http.get(f"/v1/requests?request_id={first.headers['request-id']}").json()["data"]
    assert (found["id"], found["request_id"]) == (first.json()["id"], first.headers["request-id"])
    assert server.http.get("/v1/requests?request_id=same.ID_1-2").json()["data"] == []
    assert server.http.get("/v1/requests/same.ID_1-2").status_code == 404


@pytest.mark.parametrize("path", ["/v1/models", "/models"])
def test_models_list(server: Any, path: str) -> None:
    models = server.http.get(path).json()
    assert models["object"] == "list"
    assert models["data"][0] == {"id": "m", "object": "model", "created": 1_700_000_000, "owned_by": "shimmy"}
    assert [model["id"] for model in models["data"]] == ["m", "org/chat:8b", "broken"]


def test_one_model(server: Any) -> None:
    for name in ("org/chat:8b", "org%2Fchat%3A8b"):
        assert server.http.get(f"/v1/models/{name}").json()["id"] == "org/chat:8b"
    response = server.http.get("/v1/models/nope")
    assert response.status_code == 404
    assert response.json()["error"]["code"] == "model_not_found"


def test_health(server: Any) -> None:
    health = server.http.get("/health").json()
    told = datetime.fromisoformat(health.pop("timestamp").replace("Z", "+00:00"))
    assert abs(told.timestamp() - time.time()) < 5
    assert 0 <= health.pop("uptime_seconds") < 600
    assert health.pop("version")
    assert health == {
        "status": "ok",
        "service": "shimmy",
        "models": {"total": 3, "discovered": 2, "manual": 1},
        "endpoints": {
            "health": "/health",
            "models": "/v1/models",
            "chat": "/v1/chat/completions",
            "generate": "/api/generate",
        },
        "compatibility": {"openai": True, "cors": True},
    }


def test_health_counts_as_metrics_do_while_models_come_and_go(start_server: Any) -> None:
    class Swapped(FakeRegistry):
        def names(self) -> list[str]:
            return ["a model that has gone"]

    registry = Swapped(FakeEntry("m", "m.gguf"), FakeEntry("embed", "embed.gguf", kind="embedding"))
    with start_server(registry=registry) as server:
        health = server.http.get("/health")
        assert (health.status_code, health.json()["models"]["total"]) == (200, 2)
        metrics = server.http.get("/metrics", headers={"accept": "application/json"}).json()
        assert metrics["models"]["total_count"] == 2


def test_diag_tells_the_loaded_models_but_no_paths(server: Any) -> None:
    server.chat("warm up")
    response = server.http.get("/diag")
    diag = response.json()
    assert diag["cores"] >= 1
    assert diag["mem_total_mb"] > 100
    assert diag["os"] in ("linux", "macos", "windows")
    assert (diag["devices"], diag["backends_used"], diag["layers_offloaded"]["m"]) == (["CPU"], ["CPU"], 0)
    assert (diag["llama_cpp_commit"], diag["cpu_features"]) == ("", [])
    loaded = next(model for model in diag["models"] if model["name"] == "m")
    assert loaded["state"] == "loaded"
    assert (loaded["info"]["backend"], loaded["info"]["n_gpu_layers"]) == ("CPU", 0)
    assert "gguf" not in response.text
