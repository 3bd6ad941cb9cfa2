"""POST /api/reload: what changes while serving, what does not, and what a mistake leaves as it was."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.models.registry import Registry
from shimmy.server.reload import LIVE
from shimmy.settings import Settings, load_settings

HI = [{"role": "user", "content": "hi"}]


class Files:
    """config.toml, keys.toml and models.toml beside a model called m."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config('log_level = "warning"')
        self.models("")
        write_model(folder / "models" / "m.gguf")

    def config(self, text: str) -> None:
        (self.folder / "config.toml").write_text(f'bind = "127.0.0.1:0"\nmodel_settings = "models.toml"\n{text}')

    def models(self, text: str) -> None:
        (self.folder / "models.toml").write_text(text)

    def keys(self, **keys: str) -> None:
        (self.folder / "keys.toml").write_text("".join(f'[{name}]\nkey = "{key}"\n' for name, key in keys.items()))

    def load(self) -> Settings:
        return load_settings(environ={}, config=self.folder / "config.toml")


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@pytest.fixture
def server(files: Files, start_server: Any) -> Iterator[Any]:
    settings = files.load()
    registry = Registry(settings, roots=[Root(files.folder / "models")])
    level = logging.getLogger().level
    with start_server(settings=settings, registry=registry, load=files.load) as server:
        yield server
    root = logging.getLogger()
    root.setLevel(level)
    for handler in [one for one in root.handlers if one.get_name() == "shimmy"]:
        root.removeHandler(handler)


def reload(server: Any, status: int = 200, **headers: str) -> dict[str, Any]:
    answer = server.http.post("/api/reload", headers=headers)
    assert answer.status_code == status, answer.text
    told: dict[str, Any] = answer.json()
    return told


def chat(server: Any, key: str = "none-at-all", content: str = "hi") -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": content}]}
    return server.http.post("/v1/chat/completions", json=body, headers={"x-api-key": key})


def test_nothing_changed(server: Any) -> None:
    nothing = {"changed": [], "needs_restart": [], "reloading": [], "models": 1, "problems": []}
    assert reload(server) == nothing


def test_all_options_are_known() -> None:
    assert set(Settings.__struct_fields__) >= LIVE


def test_limits_and_log_level(server: Any, files: Files) -> None:
    assert chat(server).status_code == 200
    files.config('requests_per_minute = 2\nlog_level = "error"\nmax_body_bytes = 2048\nwrite_stall_seconds = 1')
    told = reload(server)
    assert told["changed"] == ["log_level", "requests_per_minute"]
    assert told["needs_restart"] == ["max_body_bytes", "write_stall_seconds"]
    assert logging.getLogger().level == logging.ERROR
    assert [chat(server).status_code for _ in range(3)] == [200, 200, 429]
    files.config('requests_per_minute = 3\nlog_level = "error"')
    assert reload(server)["changed"] == ["requests_per_minute"]
    assert [chat(server).status_code for _ in range(2)] == [200, 429]  # the minute goes on
    files.config('log_level = "error"')
    reload(server)
    assert chat(server).status_code == 200


def test_keys_come_change_and_go(server: Any, files: Files) -> None:
    files.keys(ann="ann-secret")
    files.config('api_keys = "keys.toml"\napi_key = "the-master"\nlog_level = "warning"')
    assert reload(server)["changed"] == ["api_key", "api_keys"]
    assert [chat(server, key).status_code for key in ("", "ann-secret", "the-master")] == [401, 200, 200]
    assert "security" in server.http.get("/openapi.json").json()["paths"]["/v1/chat/completions"]["post"]
    files.keys(bob="bob-secret")
    assert server.http.post("/api/reload").status_code == 401
    assert reload(server, 403, **{"x-api-key": "ann-secret"})["error"] == "this API key has no scope 'admin'"
    reload(server, **{"x-api-key": "the-master"})
    assert [chat(server, key).status_code for key in ("ann-secret", "bob-secret")] == [401, 200]
    files.config('log_level = "warning"')
    reload(server, **{"x-api-key": "the-master"})
    assert chat(server).status_code == 200
    assert "security" not in server.http.get("/openapi.json").json()["paths"]["/v1/chat/completions"]["post"]


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("config.toml", "ctx = 'many'", "config.toml: ctx: Expected `int | null`, got `str`"),
        ("config.toml", "bind = ", "config.toml: Invalid value"),
        ("models.toml", "[names.x]\nfalback = ['m']", "models.toml:2: unknown key 'falback'"),
        ("keys.toml", "[ann]\nkey = 'short'", "keys.toml: Expected `str` of length >= 8"),
    ],
)
def test_a_mistake_changes_nothing(server: Any, files: Files, name: str, text: str, words: str) -> None:
    files.models("[models.m]\naliases = ['other']")
    files.keys(ann="ann-secret")
    files.config('api_keys = "keys.toml"\nrequests_per_minute = 1\nlog_level = "warning"')
    (files.folder / name).write_text(text)
    told = reload(server, 400)
    assert words in told["error"]
    assert [chat(server).status_code for _ in range(3)] == [200, 200, 200]
    assert server.http.get("/v1/models/other").status_code == 404


def test_a_models_settings_replace_its_engine_when_it_is_idle(server: Any, files: Files) -> None:
    with server.http.stream(
        "POST",
        "/v1/chat/completions",
        json={"model": "m", "messages": [{"role": "user", "content": "slow 300"}], "stream": True},
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        files.models("[models.m]\ncontext = 512\naliases = ['other']\n[names.best]\nfallback = ['gone', 'other']")
        told = reload(server)
        assert told["reloading"] == ["m"]
        assert told["problems"] == ["names.best: 'gone' is not found"]
        assert chat(server).status_code == 200
        first, second = server.engines
        assert (first.alive, second.alive) == (True, True)
        chunks = [json.loads(line[6:]) for line in lines if line.startswith("data: {")]
        text = "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk["choices"])
        assert text.endswith("298 299 ")
    server.wait_until(lambda: not first.alive)
    body = {"model": "best", "messages": HI}
    assert server.http.post("/v1/chat/completions", json=body).json()["model"] == "m"
    assert reload(server)["reloading"] == []
    assert len(server.engines) == 2


def test_a_model_whose_settings_became_wrong_stays(server: Any, files: Files) -> None:
    assert chat(server).status_code == 200
    files.models("[models.m]\ndraft = 'gone'")
    assert reload(server)["reloading"] == []
    assert chat(server).status_code == 200
    assert server.engine.alive


def test_a_hundred_requests_during_ten_reloads(server: Any, files: Files) -> None:
    statuses: list[int] = []

    def ask() -> None:
        statuses.extend(chat(server, content="slow 3").status_code for _ in range(25))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        assert chat(server).status_code == 200
        files.models(f"[models.m]\ncontext = {512 + number}")
        assert reload(server)["reloading"] == ["m"]
    for thread in threads:
        thread.join()
    assert statuses == [200] * 100
    server.wait_until(lambda: sum(engine.alive for engine in server.engines) <= 1)
