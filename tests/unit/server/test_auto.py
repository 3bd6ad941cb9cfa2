"""`auto` in every protocol: which model answers, and how the answer and the lists of models tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tiny_gguf import write_model

from shimmy.discovery.walk import Root
from shimmy.models.registry import Registry
from shimmy.settings import Settings

HI = [{"role": "user", "content": "hi"}]
TOOL = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
CLAUDE_TOOL = {"name": "f", "input_schema": {"type": "object"}}
THINKS = {"tokenizer.chat_template": "{{ tools }} <think>"}
VECTORS = {"general.architecture": "bert", "tokenizer.chat_template": None}
RANKS = {"general.architecture": "bert", "bert.pooling_type": 4, "tokenizer.chat_template": None}


@pytest.fixture(scope="module")
def server(start_server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    folder = tmp_path_factory.mktemp("models")
    write_model(folder / "large.gguf", n_params=999)
    write_model(folder / "able.gguf", THINKS)
    write_model(folder / "vectors.gguf", VECTORS)
    write_model(folder / "ranks.gguf", RANKS)
    path = folder / "models.toml"
    path.write_text("[auto]\nloaded_first = false\n[names.best]\nfallback = ['gone', 'able']")
    with start_server(registry=Registry(Settings(model_settings=path), roots=[Root(folder)])) as server:
        yield server


@pytest.mark.parametrize(
    ("path", "body", "model"),
    [
        ("/v1/chat/completions", {"messages": HI}, "large"),
        ("/v1/chat/completions", {"messages": HI, "tools": [TOOL]}, "able"),
        ("/v1/chat/completions", {"messages": HI, "reasoning_effort": "low"}, "able"),
        ("/v1/chat/completions", {"messages": HI, "chat_template_kwargs": {"enable_thinking": True}}, "able"),
        ("/v1/completions", {"prompt": "hi"}, "large"),
        ("/v1/responses", {"input": "hi"}, "large"),
        ("/v1/responses", {"input": "hi", "reasoning": {"effort": "high"}}, "able"),
        ("/v1/messages", {"messages": HI, "max_tokens": 5}, "large"),
        ("/v1/messages", {"messages": HI, "max_tokens": 5, "tools": [CLAUDE_TOOL]}, "able"),
        (
            "/v1/messages",
            {"messages": HI, "max_tokens": 2000, "thinking": {"type": "enabled", "budget_tokens": 1024}},
            "able",
        ),
        ("/api/chat", {"messages": HI, "stream": False}, "large"),
        ("/api/chat", {"messages": HI, "stream": False, "think": True}, "able"),
        ("/api/chat", {"messages": HI, "stream": False, "tools": [TOOL]}, "able"),
        ("/api/generate", {"prompt": "hi", "stream": False}, "large"),
        ("/api/generate", {"prompt": "hi", "stream": False, "options": {}}, "large"),
        ("/v1/embeddings", {"input": "hi"}, "vectors"),
        ("/api/embed", {"input": "hi"}, "vectors"),
        ("/v1/rerank", {"query": "hi", "documents": ["a"]}, "ranks"),
        ("/completion", {"prompt": "hi"}, "large"),
    ],
)
def test_the_model_that_answers_is_told(server: Any, path: str, body: dict[str, Any], model: str) -> None:
    for name in ("auto", "auto:latest"):
        answer = server.http.post(path, json={"model": name, **body})
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-shimmy-model"] == model
        assert answer.json()["model"] == model


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", {"messages": HI, "tools": [TOOL]}),
        ("/v1/messages", {"messages": HI, "max_tokens": 5, "tools": [CLAUDE_TOOL]}),
        ("/v1/responses", {"input": "hi", "tools": [{"type": "function", "name": "f", "parameters": {}}]}),
        ("/api/chat", {"messages": HI, "tools": [TOOL]}),
    ],
)
def test_streams_tell_it_too(server: Any, path: str, body: dict[str, Any]) -> None:
    answer = server.http.post(path, json={"model": "auto", "stream": True, **body})
    assert (answer.status_code, answer.headers["x-shimmy-model"]) == (200, "able")
    assert '"model":"able"' in answer.text.replace(" ", "")
    assert '"model":"auto"' not in answer.text.replace(" ", "")


def test_other_virtual_names_tell_it_as_well(server: Any) -> None:
    answer = server.http.post("/v1/chat/completions", json={"model": "best", "messages": HI})
    assert (answer.json()["model"], answer.headers["x-shimmy-model"]) == ("able", "able")
    assert server.http.post("/v1/chat/completions", json={"model": "large", "messages": HI}).json()["model"] == "large"


@pytest.mark.parametrize("path", ["/v1/completions", "/api/generate"])
def test_nobody_can_fill_in(server: Any, path: str) -> None:
    answer = server.http.post(path, json={"model": "auto", "prompt": "a", "suffix": "b"})
    assert answer.status_code == 400
    assert "completion and insert is needed" in answer.text
    assert "large has no insert" in answer.text


def test_images_are_refused(server: Any) -> None:
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    answer = server.http.post(
        "/v1/chat/completions", json={"model": "auto", "messages": [{"role": "user", "content": [image]}]}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[0].content[0].type"


def test_lists_have_virtual_names_of_their_own(server: Any) -> None:
    assert [one["id"] for one in server.http.get("/v1/models").json()["data"]] == ["able", "large", "best", "auto"]
    anthropic = server.http.get("/v1/models", headers={"anthropic-version": "2023-06-01"}).json()
    assert anthropic["last_id"] == "auto"
    assert server.http.get("/v1/models/auto").json()["id"] == "auto"
    lines = {line["name"]: line for line in server.http.get("/api/models").json()["models"]}
    assert (lines["best"]["model_type"], lines["best"]["chooses"], lines["best"]["models"]) == (
        "virtual",
        "fallback",
        ["able"],
    )
    assert "chooses" not in lines["able"]
    assert lines["auto"]["models"] == ["able", "large"]
    assert lines["auto"]["capabilities"] == ["chat", "completion", "thinking", "tools"]
    tags = {line["name"]: line for line in server.http.get("/api/tags").json()["models"]}
    assert (tags["auto"]["size"], tags["auto"]["details"]["family"]) == (0, "auto")
    assert tags["auto"]["capabilities"] == ["completion", "tools", "thinking"]
    assert server.http.post("/api/show", json={"model": "auto"}).status_code == 200
