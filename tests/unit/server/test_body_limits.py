"""Requests of a right form that hold more than anyone can mean: refused at once, by the name of the field."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from shimmy.models.adapter_names import MAX_NAME


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
