"""What a model's own settings do to requests that say nothing, on every route."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_registry import FakeEntry
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.models.registry import Registry
from shimmy.request import ChatPrompt
from shimmy.request_defaults import RequestDefaults
from shimmy.settings import Settings

DEFAULTS = RequestDefaults(
    sampling={"temperature": 0.25, "seed": 10},
    stop=["END"],
    max_tokens=7,
    system="Be brief.",
    messages=[{"role": "user", "content": "shot"}],
    lora={"style": 0.5},
)
SYSTEM = {"role": "system", "content": "Be brief."}
SHOT = {"role": "user", "content": "shot"}
HI = {"role": "user", "content": "hi"}


@pytest.fixture
def configured(start_server: Any) -> Iterator[Any]:
    with start_server(entries=[FakeEntry("m", "m.gguf", aliases=("also",), defaults=DEFAULTS)]) as server:
        yield server


def asked(server: Any) -> Any:
    return server.engine.requests[-1]


def test_chat_completions(configured: Any) -> None:
    assert configured.chat("hi").status_code == 200
    request = asked(configured)
    assert request.prompt.messages == [SYSTEM, SHOT, HI]
    assert (request.sampling, request.stop, request.max_tokens) == ({"temperature": 0.25, "seed": 10}, ["END"], 7)
    assert request.lora == {"style": 0.5}


def test_what_a_request_says_wins(configured: Any) -> None:
    own = {"role": "system", "content": "Be long."}
    body = {"model": "m", "messages": [own, HI], "temperature": 1, "stop": "X", "max_tokens": 3, "lora": {"style": 0}}
    assert configured.http.post("/v1/chat/completions", json={**body, "seed": 1}).status_code == 200
    request = asked(configured)
    assert request.prompt.messages == [own, SHOT, HI]
    assert (request.sampling, request.stop, request.max_tokens) == ({"temperature": 1.0, "seed": 1}, ["X"], 3)
    assert request.lora == {"style": 0.0}


def test_a_seed_counts_on_over_several_answers(configured: Any) -> None:
    assert configured.chat("hi", n=3).status_code == 200
    assert [request.sampling["seed"] for request in configured.engine.requests] == [10, 11, 12]


def test_they_come_before_those_of_the_route(configured: Any) -> None:
    assert configured.generate(prompt="hi", stream=False).status_code == 200
    request = asked(configured)
    assert request.prompt == "hi"
    assert request.sampling == {
        "temperature": 0.25,
        "top_p": 0.9,
        "top_k": 40,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "seed": 10,
    }


def test_ollamas_routes(configured: Any) -> None:
    headers = {"user-agent": "ollama-python/0.6"}
    assert configured.generate(headers, prompt="hi", stream=False).status_code == 200
    assert asked(configured).prompt.messages == [SYSTEM, SHOT, HI]
    context = configured.generate(headers, prompt="hi", stream=False).json()["context"]
    assert bytes(context[1:]).startswith(b"<system>Be brief.<user>shot<user>hi")
    body = {"model": "m", "messages": [HI], "stream": False}
    assert configured.http.post("/api/chat", json=body).status_code == 200
    assert asked(configured).prompt.messages == [SYSTEM, SHOT, HI]
    assert asked(configured).sampling["temperature"] == 0.25


def test_counts_are_of_what_is_computed(configured: Any) -> None:
    text = "<system>Be brief.<user>shot<user>hi"
    body = {"model": "m", "messages": [HI]}
    counted = configured.http.post("/v1/messages/count_tokens", json=body).json()["input_tokens"]
    assert counted == len(text) + 1
    assert configured.http.post("/apply-template", json=body).json()["prompt"] == text
    assert configured.http.post("/tokenize", json=body).json()["count"] == len(text) + 1
    assert configured.http.post("/v1/responses/input_tokens", json={"model": "m", "input": "hi"}).json() == {
        "object": "response.input_tokens",
        "input_tokens": len(text) + 1,
    }


def test_a_fork_is_not_completed_twice(configured: Any) -> None:
    assert configured.chat("hi").status_code == 200
    parent = asked(configured)
    forked = configured.http.post(f"/v1/requests/{parent.request_id}/fork", json={})
    assert forked.status_code == 200
    request = asked(configured)
    assert (request.prompt, request.sampling, request.lora) == (parent.prompt, parent.sampling, parent.lora)


def test_the_model_behind_a_name_is_told(start_server: Any, tmp_path: Path) -> None:
    for name in ("broken", "m"):
        write_model(tmp_path / f"{name}.gguf")
    path = tmp_path / "models.toml"
    path.write_text("[names.best]\nfallback = ['broken', 'm']")
    registry = Registry(Settings(model_settings=path), roots=[Root(tmp_path)])
    with start_server(registry=registry) as server:
        body = {"model": "best", "messages": [HI]}
        for route in ("/v1/chat/completions", "/api/chat", "/v1/messages"):
            for stream in (False, True):
                answer = server.http.post(route, json={**body, "max_tokens": 5, "stream": stream})
                assert (answer.status_code, answer.headers["x-shimmy-model"]) == (200, "m")
        assert "x-shimmy-model" not in server.chat("hi").headers


def test_a_prompt_that_has_it_all_stays_as_it_is() -> None:
    prompt = ChatPrompt(messages=[HI])
    once = DEFAULTS.conversation(prompt)
    assert DEFAULTS.conversation(once) == once
    assert RequestDefaults().conversation(prompt) is prompt


def test_a_wrong_settings_file_is_named_and_changes_nothing(start_server: Any, tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf")
    path = tmp_path / "models.toml"
    path.write_text("[models.m]\nsystem = 'Be brief.'")
    registry = Registry(Settings(model_settings=path), roots=[Root(tmp_path)])
    with start_server(registry=registry) as server:
        path.write_text("[models.m]\nsytem = ''")
        answer = server.http.post("/api/models/discover")
        assert answer.status_code == 400
        assert f"{path}:2: unknown key 'sytem'" in answer.json()["error"]
        assert server.chat("hi").status_code == 200
        assert asked(server).prompt.messages == [SYSTEM, HI]
