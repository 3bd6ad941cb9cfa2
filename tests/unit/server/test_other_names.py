"""Fields under the names that clients of other servers know them by, on every route that generates."""

from __future__ import annotations

from typing import Any

import pytest

MESSAGES = [{"role": "user", "content": "count 9"}]
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", {"messages": MESSAGES}),
    "text": ("/v1/completions", {"prompt": "count 9"}),
    "responses": ("/v1/responses", {"input": "count 9"}),
    "anthropic": ("/v1/messages", {"messages": MESSAGES, "max_tokens": 99}),
    "native": ("/api/generate", {"prompt": "count 9", "stream": False}),
    "raw": ("/completion", {"prompt": "count 9"}),
    "infill": ("/infill", {"input_prefix": "count", "input_suffix": "9"}),
}


def post(server: Any, route: str, **fields: Any) -> Any:
    path, body = ROUTES[route]
    return server.http.post(path, json={"model": "m", **body, **fields})


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"repetition_penalty": 1.2}, (1.2, -1)),
        ({"repetition_penalty": 1.2, "repeat_last_n": 32}, (1.2, 32)),
        ({"repetition_penalty": 1.2, "repeat_penalty": 1.2}, (1.2, -1)),
        ({"repetition_penalty": None, "repeat_penalty": 1.3, "repeat_last_n": 8}, (1.3, 8)),
    ],
)
@pytest.mark.parametrize("route", ROUTES)
def test_repetition_penalty(server: Any, route: str, fields: dict[str, Any], expected: tuple[float, int]) -> None:
    assert post(server, route, **fields).status_code == 200
    sampling = server.engine.requests[-1].sampling
    assert (sampling["repeat_penalty"], sampling["repeat_last_n"]) == expected


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_repetition_penalty_among_ollamas_options(server: Any, path: str) -> None:
    body = {"model": "m", "prompt": "hi", "messages": MESSAGES, "stream": False}
    assert server.http.post(path, json={**body, "options": {"repetition_penalty": 1.2}}).status_code == 200
    sampling = server.engine.requests[-1].sampling
    assert (sampling["repeat_penalty"], sampling["repeat_last_n"]) == (1.2, -1)  # not the 64 of the route


@pytest.mark.parametrize("route", ROUTES)
def test_two_penalties_that_differ_are_refused(server: Any, route: str) -> None:
    answer = post(server, route, repetition_penalty=1.2, repeat_penalty=1.1)
    assert answer.status_code == 400
    assert "repetition_penalty is 1.2 and repeat_penalty 1.1" in answer.text


@pytest.mark.parametrize(
    ("route", "fields", "limit"),
    [
        ("chat", {"n_predict": 3}, 3),
        ("chat", {"n_predict": -1}, None),
        ("chat", {"n_predict": 3, "max_tokens": 5}, 5),
        ("text", {"n_predict": 3}, 3),
        ("text", {"n_predict": -1}, None),
        ("text", {"n_predict": 3, "max_tokens": 5}, 5),
        ("raw", {"max_tokens": 3}, 3),
        ("raw", {"max_tokens": 3, "n_predict": 5}, 5),
        ("raw", {"max_tokens": 3, "n_predict": -1}, None),
        ("infill", {"max_tokens": 3}, 3),
        ("infill", {"max_tokens": 3, "n_predict": 5}, 5),
    ],
)
def test_limits_of_an_answer(server: Any, route: str, fields: dict[str, Any], limit: int | None) -> None:
    assert post(server, route, **fields).status_code == 200
    assert server.engine.requests[-1].max_tokens == limit


def test_an_answer_of_no_tokens_names_the_field(server: Any) -> None:
    assert post(server, "chat", n_predict=0).json()["error"]["param"] == "n_predict"
