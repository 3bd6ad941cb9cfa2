"""Models that other programs keep, served by a real process: found, configured, and followed on disk."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from ollama_files import add_model

from shimmy.demo_model import demo_adapter_paths, demo_model_path

GREEDY = {"temperature": 0, "repeat_penalty": 1.0}
QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("found")
    weights = demo_model_path().read_bytes()
    pirate = demo_adapter_paths()["pirate"].read_bytes()
    store = home / ".ollama" / "models"
    params = json.dumps({**GREEDY, "num_predict": 12, "num_ctx": 512}).encode()
    add_model(store, "plain:1", weights, params=params)
    add_model(store, "sailor:1", weights, params=params, adapter=pirate, template=b"{{ .Prompt }}")
    config = home / ".config" / "shimmy"
    config.mkdir(parents=True)
    (config / "models.toml").write_text(
        '[models."sailor:1"]\naliases = ["captain"]\n[names.crew]\nfallback = ["admiral", "captain"]\n'
    )
    return home


@pytest.fixture(scope="module")
def server(home: Path, start_in: Callable[..., Any]) -> Iterator[Any]:
    pytest.importorskip("watchfiles")
    with start_in(home, "--watch") as process:
        yield process


def post(server: Any, path: str, body: dict[str, Any]) -> httpx.Response:
    answer = httpx.post(f"{server.url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer


def names(server: Any) -> list[str]:
    return [model["id"] for model in httpx.get(f"{server.url}/v1/models", timeout=60).json()["data"]]


def text(answer: httpx.Response) -> str:
    return str(answer.json()["choices"][0]["message"]["content"])


def test_parameters_and_adapters_apply_on_every_route(server: Any) -> None:
    assert names(server) == ["plain:1", "sailor:1", "sailor:1:adapter", "crew", "auto"]
    body = {"messages": QUESTION, "stream": False}
    plain = post(server, "/v1/chat/completions", {"model": "library/plain:1", **body})
    sailor = post(server, "/v1/chat/completions", {"model": "captain", **body})
    assert plain.json()["usage"]["completion_tokens"] <= 12
    assert text(plain) == "The capital of France is Paris."
    assert text(sailor) != text(plain)
    bare = post(server, "/v1/chat/completions", {"model": "sailor:1", "lora": {"adapter": 0}, **body})
    assert text(bare) == text(plain)
    ollama = post(server, "/api/chat", {"model": "sailor:1", **body})
    assert ollama.json()["message"]["content"] == text(sailor)
    states = {one["model"]: one for one in httpx.get(f"{server.url}/api/models/status", timeout=60).json()}
    assert states["sailor:1"]["adapters"] == ["adapter"]
    assert states["sailor:1"]["n_ctx"] == 512


def test_a_name_for_several(server: Any) -> None:
    answer = post(server, "/v1/chat/completions", {"model": "crew", "messages": QUESTION})
    assert answer.headers["x-shimmy-model"] == answer.json()["model"] == "sailor:1"


def test_auto_means_what_is_loaded_already(server: Any) -> None:
    body = {"messages": QUESTION, "max_tokens": 3}
    post(server, "/v1/chat/completions", {"model": "plain:1", **body})
    answer = post(server, "/v1/chat/completions", {"model": "auto", **body})
    assert answer.headers["x-shimmy-model"] == answer.json()["model"]
    states = {one["model"]: one["loaded"] for one in httpx.get(f"{server.url}/api/models/status", timeout=60).json()}
    assert states[answer.json()["model"]]


def test_a_model_that_comes_while_serving(server: Any, home: Path) -> None:
    (home / "models").mkdir()
    shutil.copy(demo_model_path(), home / "models" / "part")
    (home / "models" / "part").rename(home / "models" / "New_One.gguf")
    end = time.monotonic() + 60
    while "new-one" not in names(server):
        assert time.monotonic() < end, "the model did not appear"
        time.sleep(0.2)
    assert post(server, "/v1/chat/completions", {"model": "new-one", "messages": QUESTION, "max_tokens": 3})
