"""API keys: who gets in, and what they may do."""

from __future__ import annotations

import hmac
import json
from pathlib import Path
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from shimmy.server.auth import keys_of, scope_for
from shimmy.settings import Settings, SettingsError

KEYS = """
[ann]
key = "ann-secret"
scopes = ["infer"]
[bob]
key = "bob-secret"
scopes = ["infer", "admin"]
"""
BODY = {"model": "m", "messages": [{"role": "user", "content": "hi"}]}


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


@pytest.fixture
def guarded(start_server: Any, tmp_path: Path) -> Any:
    path = tmp_path / "keys.toml"
    path.write_text(KEYS)
    with start_server(Settings(bind="127.0.0.1:0", api_keys=path)) as server:
        yield server


def test_without_keys_everyone_gets_in(server: Any) -> None:
    assert server.http.post("/v1/chat/completions", json=BODY).status_code == 200


@pytest.mark.parametrize("headers", [bearer("ann-secret"), {"x-api-key": "ann-secret"}])
def test_both_headers(guarded: Any, headers: dict[str, str]) -> None:
    assert guarded.http.post("/v1/chat/completions", json=BODY, headers=headers).status_code == 200


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Basic YTpi"}, bearer("ann-secre"), bearer("ann-secret2"), {"x-api-key": "é"}]
)
def test_no_key_or_a_wrong_one(guarded: Any, headers: dict[str, str]) -> None:
    raw = {name: value.encode() for name, value in headers.items()}
    answer = guarded.http.post("/v1/chat/completions", json=BODY, headers=raw)
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json()["error"]["type"] == "authentication_error"
    assert guarded.http.post("/api/chat", json=BODY, headers=raw).json()["error"]
    told = guarded.http.post("/v1/messages", json={**BODY, "max_tokens": 9}, headers=raw).json()
    assert told["error"]["type"] == "authentication_error"
    assert not guarded.engines


@pytest.mark.parametrize(("key", "status"), [("ann-secret", 200), ("another-key", 401)])
def test_no_time_tells_how_much_of_a_key_was_right(
    guarded: Any, monkeypatch: pytest.MonkeyPatch, key: str, status: int
) -> None:
    compare, compared = hmac.compare_digest, []

    def spy(given: bytes, known: bytes) -> bool:
        compared.append((given, known))
        return compare(given, known)

    monkeypatch.setattr(hmac, "compare_digest", spy)
    assert guarded.http.post("/v1/chat/completions", json=BODY, headers=bearer(key)).status_code == status
    assert compared == [(key.encode(), b"ann-secret"), (key.encode(), b"bob-secret")]


def test_probes_and_preflights_need_none(guarded: Any) -> None:
    for path in ("/health", "/", "/api/version"):
        assert guarded.http.get(path).status_code == 200
    preflight = {"origin": "http://localhost:3000", "access-control-request-method": "POST"}
    assert guarded.http.options("/v1/chat/completions", headers=preflight).status_code == 200


def test_a_browser_may_read_why(guarded: Any) -> None:
    origin = {"origin": "http://localhost:3000"}
    answer = guarded.http.post("/v1/chat/completions", json=BODY, headers=origin)
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (401, origin["origin"])


def test_scopes(guarded: Any) -> None:
    refused = guarded.http.post("/api/models/m/load", headers=bearer("ann-secret"))
    assert (refused.status_code, "admin" in refused.json()["error"]) == (403, True)
    assert guarded.http.post("/api/models/m/load", headers=bearer("bob-secret")).status_code == 200
    assert guarded.http.get("/api/models", headers=bearer("ann-secret")).status_code == 200


@pytest.mark.parametrize("path", ["/api/models/m/load%0A", "/api/models/m%0A/load", "/diag%0A", "/diag%00"])
def test_no_path_gets_around_a_scope(guarded: Any, path: str) -> None:
    for method in ("GET", "POST", "DELETE"):
        assert guarded.http.request(method, path, headers=bearer("ann-secret")).status_code == 403


def test_unloading_by_way_of_ollama_is_for_admins(guarded: Any) -> None:
    body = {"model": "m", "keep_alive": 0}
    assert guarded.http.post("/api/chat", json=body, headers=bearer("ann-secret")).status_code == 403
    assert guarded.http.post("/api/chat", json=body, headers=bearer("bob-secret")).json()["done_reason"] == "unload"


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("/v1/chat/completions", "infer"),
        ("/api/chat", "infer"),
        ("/api/models", "infer"),
        ("/api/models/discover", "admin"),
        ("/api/models/org/chat:8b/unload", "admin"),
        ("/api/pull", "admin"),
        ("/diag", "admin"),
        ("/api/tools/x/execute", "tools"),
        ("/api/workflows/execute", "tools"),
    ],
)
def test_what_a_route_needs(path: str, needed: str) -> None:
    assert scope_for(path) == needed


def test_each_key_is_a_tenant(guarded: Any) -> None:
    ann, bob = bearer("ann-secret"), bearer("bob-secret")
    answer = guarded.http.post("/v1/responses", json={"model": "m", "input": "hi"}, headers=ann).json()
    assert guarded.engine.requests[-1].tenant == "ann"
    assert guarded.http.get(f"/v1/responses/{answer['id']}", headers=ann).status_code == 200
    assert guarded.http.get(f"/v1/responses/{answer['id']}", headers=bob).status_code == 404
    (one,) = guarded.http.get("/v1/requests", headers=ann).json()["data"]
    assert guarded.http.get("/v1/requests", headers=bob).json()["data"] == []
    assert guarded.http.get(f"/v1/requests/{one['id']}", headers=bob).status_code == 404


def test_sockets(guarded: Any) -> None:
    url = guarded.url.replace("http", "ws") + "/ws/generate"
    with pytest.raises(InvalidStatus), connect(url):
        pass
    with connect(url, additional_headers=bearer("ann-secret")) as socket:
        socket.send(json.dumps({"model": "m", "prompt": "hi"}))
        assert socket.recv() == "hi"


def test_one_key_for_everything(start_server: Any) -> None:
    with start_server(Settings(bind="127.0.0.1:0", api_key="only-secret")) as server:
        assert server.http.get("/diag").status_code == 401
        assert server.http.get("/diag", headers=bearer("only-secret")).status_code == 200


@pytest.mark.parametrize(
    "text",
    ["[a", "[a]\nkey = 3", '[a]\nkey = "short"', '[a]\nkey = "long enough"\nscopes = ["root"]', '[a]\nother = ""'],
)
def test_a_bad_file_is_named(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"keys\.toml"):
        keys_of(Settings(api_keys=path))
    with pytest.raises(SettingsError, match=r"missing\.toml"):
        keys_of(Settings(api_keys=tmp_path / "missing.toml"))
