"""Requests of a right form that hold more than anyone can mean: refused at once, by the name of the field."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest

from shimmy.errors import InvalidRequestError
from shimmy.models.adapter_names import MAX_NAME
from shimmy.server import llama_server
from shimmy.server.prompts import prompts_of
from shimmy.server.schemas.json_size import MAX_ITEMS, MAX_NODES

TOO_MANY_ITEMS = f"the request body holds more than {MAX_ITEMS} values"
TOO_MANY_NODES = f"the request body holds more than {MAX_NODES} lists, objects and fields"
NO_TOKENS = r"holds something that is no token id|or a list of one kind"
PART = '{"type":""},'
LAST = '{"type":""}'


def error_of(response: httpx.Response) -> str:
    """The message, in the shape that belongs to the path."""
    error = response.json()["error"]
    return str(error if response.url.path.startswith("/api") else error["message"])


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}),
        ("/v1/completions", {"prompt": "hi"}),
        ("/v1/responses", {"input": "hi"}),
        ("/v1/embeddings", {"input": "hi"}),
        ("/v1/messages", {"messages": [{"role": "user", "content": "hi"}], "max_tokens": 1}),
        ("/tokenize", {"content": "hi"}),
        ("/api/chat", {"messages": []}),
        ("/api/generate", {"prompt": "hi"}),
        ("/api/generate", {"prompt": "hi", "options": {}}),
        ("/api/show", {}),
        ("/api/models/load", {}),
    ],
)
def test_a_name_of_any_length(server: Any, path: str, fields: dict[str, Any]) -> None:
    response = server.http.post(path, json={"model": "x" * MAX_NAME, **fields})
    assert response.status_code == 404
    response = server.http.post(path, json={"model": "x" * 5_000_000, **fields})
    assert (response.status_code, error_of(response)) == (400, f"model must hold at most {MAX_NAME} characters")


ITEMS = [
    ("/v1/completions", '"prompt":[', "1,", "1]"),
    ("/v1/completions", '"prompt":[', '"",', '""]'),
    ("/completion", '"prompt":[', "1,", "1]"),
    ("/detokenize", '"tokens":[', "1,", "1]"),
    ("/api/generate", '"prompt":"hi","context":[', "1,", "1]"),
    ("/api/generate", '"nobody":[', "1,", "1]"),
]
NODES = [
    ("/v1/embeddings", '"input":[', "[],", "[]]"),
    ("/v1/chat/completions", '"messages":[{"role":"user","content":[', PART, LAST + "]}]"),
    ("/v1/messages", '"max_tokens":1,"system":[', PART, LAST + "]"),
    ("/v1/responses", '"input":[{"summary":[', PART, LAST + "]}]"),
    ("/v1/chat/completions", '"messages":[],"chat_template_kwargs":{', '"a":1,', '"a":1}'),
]


@pytest.mark.parametrize(("path", "begin", "item", "end"), ITEMS + NODES)
def test_more_values_than_anyone_can_mean(server: Any, path: str, begin: str, item: str, end: str) -> None:
    most, message = (MAX_ITEMS, TOO_MANY_ITEMS) if (path, begin, item, end) in ITEMS else (MAX_NODES, TOO_MANY_NODES)
    response = server.http.post(path, content=f'{{"model":"m",{begin}{item * most}{end}}}')
    assert (response.status_code, error_of(response)) == (400, message)


def test_a_large_text_is_not_a_large_list(server: Any) -> None:
    response = server.http.post("/tokenize", json={"model": "m", "content": '[{":,' * 400_000})
    assert response.json()["count"] == 2_000_000


def test_pieces_are_asked_for_in_batches_and_told_beside_the_loop(server: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    threads: list[threading.Thread] = []
    make = llama_server._token_list

    def noted(*given: Any) -> bytes:
        threads.append(threading.current_thread())
        return make(*given)

    content = "a\u00e4b" * 100
    whole = server.http.post("/tokenize", json={"model": "m", "content": content, "with_pieces": True})
    monkeypatch.setattr(llama_server, "_token_list", noted)
    monkeypatch.setattr(llama_server, "_BATCH", 7)
    parts = server.http.post("/tokenize", json={"model": "m", "content": content, "with_pieces": True})
    assert parts.json() == whole.json()
    assert len(parts.json()["tokens"]) == parts.json()["count"] == len(content.encode())
    assert threads[0].name.startswith("asyncio_")
    assert server.http.post("/tokenize", json={"model": "m", "content": ""}).json()["tokens"] == []


@pytest.mark.parametrize("bad", ["true", "1.0", "null", "-1", "2147483648", '"1"', "[1]", "1e3"])
def test_what_is_no_token(bad: str) -> None:
    for given in (f"[{bad}, 1]", f"[1, {bad}]", f"[[1], [1, {bad}]]"):
        with pytest.raises(InvalidRequestError, match=NO_TOKENS) as told:
            prompts_of(json.loads(given), "prompt", 4)
        assert told.value.param == "prompt"
    assert prompts_of([0, 2**31 - 1], "prompt", 1) == [[0, 2**31 - 1]]
    assert prompts_of([[1], [2, 3]], "prompt", 2) == [[1], [2, 3]]
