"""context_policy in every protocol: how it is asked for, and where the answer says what was kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from websockets.sync.client import connect

CUT = {"prompt_tokens": 100, "kept": 60, "dropped": 40, "dropped_messages": 2}
CUT_USE = {"policy": "truncate_middle", **CUT, "shifts": 0, "shifted": 0}
SHIFT_USE = {
    "policy": "shift", "prompt_tokens": 100, "kept": 100, "dropped": 0, "dropped_messages": 0, "shifts": 1, "shifted": 7
}  # fmt: skip
HEADER = "truncate_middle; prompt=100; kept=60; dropped=40; dropped-messages=2"
MESSAGES = [{"role": "user", "content": "hello there"}]
OLLAMA = {"user-agent": "ollama-js/0.6"}

Post = Callable[..., Any]


def post(server: Any, path: str, headers: dict[str, str] | None = None, **body: Any) -> Any:
    return server.http.post(path, json={"model": "m", **body}, headers=headers)


def ollama_use(answer: Any) -> Any:
    return answer["usage"]["context"]


# path, headers, body, and where a whole answer tells it
ROUTES: dict[str, tuple[str, dict[str, str] | None, dict[str, Any], Callable[[Any], Any]]] = {
    "chat": ("/v1/chat/completions", None, {"messages": MESSAGES}, lambda answer: answer["usage"]["context"]),
    "completions": ("/v1/completions", None, {"prompt": "hello there"}, lambda answer: answer["usage"]["context"]),
    "responses": ("/v1/responses", None, {"input": "hello there"}, lambda answer: answer["usage"]["context"]),
    "messages": (
        "/v1/messages",
        None,
        {"messages": MESSAGES, "max_tokens": 9},
        lambda answer: answer["usage"]["context"],
    ),
    "native": ("/api/generate", None, {"prompt": "hello there", "stream": False}, ollama_use),
    "ollama chat": ("/api/chat", None, {"messages": MESSAGES, "stream": False}, ollama_use),
    "ollama generate": ("/api/generate", OLLAMA, {"prompt": "hello there", "stream": False}, ollama_use),
    "llama-server": ("/completion", None, {"prompt": "hello there"}, ollama_use),
}


def asked(name: str, **fields: Any) -> dict[str, Any]:
    """The fields where the protocol has its extensions."""
    return {"options": fields} if name.startswith("ollama") else fields


@pytest.mark.parametrize("name", ROUTES)
def test_a_whole_answer_tells_what_was_kept(server: Any, name: str) -> None:
    path, headers, body, use_of = ROUTES[name]
    answer = post(server, path, headers, **body, **asked(name, context_policy="truncate_middle", n_keep=5))
    assert answer.status_code == 200, answer.text
    assert use_of(answer.json()) == CUT_USE
    assert answer.headers["x-shimmy-context"] == HEADER
    (request,) = server.engine.requests
    assert (request.context_policy, request.n_keep) == ("truncate_middle", 5)
    shifted = post(server, path, headers, **body, **asked(name, context_policy="shift"))
    assert use_of(shifted.json()) == SHIFT_USE


@pytest.mark.parametrize("name", ROUTES)
def test_nothing_is_told_that_was_not_asked_for(server: Any, name: str) -> None:
    path, headers, body, _ = ROUTES[name]
    for fields in ({}, {"context_policy": None}, {"context_policy": "error"}):
        answer = post(server, path, headers, **body, **asked(name, **fields))
        assert '"dropped"' not in answer.text
        assert "x-shimmy-context" not in answer.headers
        assert server.engine.requests[-1].context_policy == "error"


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize(("field", "value"), [("context_policy", "middle"), ("n_keep", -2)])
def test_bad_values_are_refused_in_the_protocols_shape(server: Any, name: str, field: str, value: Any) -> None:
    path, headers, body, _ = ROUTES[name]
    answer = post(server, path, headers, **body, **asked(name, **{field: value}))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert field in (error if isinstance(error, str) else error["message"])
    assert server.engine.requests == []


@pytest.mark.parametrize("name", ROUTES)
def test_a_stream_tells_it_in_its_headers_and_at_its_end(server: Any, name: str) -> None:
    path, headers, body, _ = ROUTES[name]
    body = {**body, "stream": True}
    answer = post(server, path, headers, **body, **asked(name, context_policy="truncate_middle+shift"))
    assert answer.headers["x-shimmy-context"] == HEADER.replace("middle;", "middle+shift;")
    said = [line for line in answer.text.splitlines() if '"shifts":1' in line]
    assert len(said) == 1
    use = {"policy": "truncate_middle+shift", **CUT, "shifts": 1, "shifted": 7}
    assert json.dumps(use, separators=(",", ":")) in said[0]


def test_a_stream_with_usage_tells_it_there(server: Any) -> None:
    for path, body in (("/v1/chat/completions", {"messages": MESSAGES}), ("/v1/completions", {"prompt": "a b"})):
        options = {"stream": True, "stream_options": {"include_usage": True}, "context_policy": "shift"}
        answer = post(server, path, **body, **options)
        *chunks, last, done = [line for line in answer.text.splitlines() if line]
        assert done == "data: [DONE]"
        assert json.loads(last[6:])["usage"]["context"] == SHIFT_USE
        assert not any('"context"' in chunk for chunk in chunks)


def test_messages_begin_with_it(server: Any) -> None:
    answer = post(
        server, "/v1/messages", messages=MESSAGES, max_tokens=9, stream=True, context_policy="truncate_middle"
    )
    data = [json.loads(line[6:]) for line in answer.text.splitlines() if line.startswith("data: ")]
    assert data[0]["message"]["usage"]["context"] == CUT_USE


def test_the_socket_tells_it_at_the_end(server: Any) -> None:
    with connect(server.url.replace("http", "ws") + "/ws/generate") as socket:
        socket.send(json.dumps({"model": "m", "prompt": "hello", "context_policy": "shift"}))
        assert socket.recv(timeout=5) == "hello"
        assert json.loads(socket.recv(timeout=5))["usage"]["context"] == SHIFT_USE


def test_several_answers_to_one_prompt_tell_of_it_once_and_of_all_shifts(server: Any) -> None:
    for fields in ({"n": 3}, {"n": 1, "best_of": 3}):
        answer = post(server, "/v1/completions", prompt="a b", context_policy="truncate_middle+shift", **fields)
        use = answer.json()["usage"]["context"]
        assert use == {"policy": "truncate_middle+shift", **CUT, "shifts": 3, "shifted": 21}
        assert {request.context_policy for request in server.engine.requests} == {"truncate_middle+shift"}
    use = post(server, "/v1/completions", prompt=["a", "b"], context_policy="truncate_middle").json()["usage"][
        "context"
    ]
    assert use == {**CUT_USE, **{name: 2 * value for name, value in CUT.items()}}


@pytest.mark.parametrize(
    ("fields", "policy"),
    [
        ({"truncate": True}, "truncate_middle"),
        ({"shift": True}, "shift"),
        ({"truncate": True, "shift": True}, "truncate_middle+shift"),
        ({"truncate": False, "shift": False}, "error"),
        ({"truncate": True, "options": {"context_policy": "truncate_middle"}}, "truncate_middle"),
        ({}, "error"),
    ],
)
def test_ollamas_own_fields(server: Any, fields: dict[str, Any], policy: str) -> None:
    assert post(server, "/api/chat", messages=MESSAGES, **fields).status_code == 200
    assert post(server, "/api/generate", OLLAMA, prompt="x", raw=True, **fields).status_code == 200
    assert [request.context_policy for request in server.engine.requests] == [policy, policy]


def test_ollamas_fields_tell_its_clients_from_others(server: Any) -> None:
    answer = post(server, "/api/generate", prompt="x", truncate=True)
    assert answer.headers["content-type"] == "application/x-ndjson"


def test_ollamas_num_keep(server: Any) -> None:
    post(server, "/api/chat", messages=MESSAGES, shift=True, options={"num_keep": 7})
    assert server.engine.requests[-1].n_keep == 7


def test_two_fields_that_contradict_each_other(server: Any) -> None:
    answer = post(server, "/api/chat", messages=MESSAGES, shift=True, options={"context_policy": "truncate_middle"})
    assert (answer.status_code, "context_policy shift" in answer.json()["error"]) == (400, True)
    answer = post(server, "/v1/responses", input="x", truncation="auto", context_policy="shift")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "truncation")


def test_truncation_of_responses(server: Any) -> None:
    answer = post(server, "/v1/responses", input="x", truncation="auto").json()
    assert (answer["truncation"], answer["usage"]["context"]) == ("auto", CUT_USE)
    assert post(server, "/v1/responses", input="x", truncation="disabled").json()["truncation"] == "disabled"


def test_llama_servers_own_word(server: Any) -> None:
    assert post(server, "/completion", prompt="a", context_policy="truncate_middle").json()["truncated"] is True
    assert post(server, "/completion", prompt="a", context_policy="shift").json()["truncated"] is True
    assert post(server, "/completion", prompt="a").json()["truncated"] is False


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/completions", {"prompt": "a", "echo": True}),
        ("/v1/completions", {"prompt": "a", "suffix": "b"}),
        ("/infill", {"input_prefix": "a", "input_suffix": "b"}),
        ("/v1/embeddings", {"input": "a"}),
    ],
)
def test_what_cannot_lose_its_middle(server: Any, path: str, body: dict[str, Any]) -> None:
    answer = post(server, path, **body, context_policy="truncate_middle")
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "context_policy")
    assert post(server, path, **body, context_policy="error").status_code == 200


def test_a_fork_has_its_parents_policy_unless_it_says_otherwise(server: Any) -> None:
    post(server, "/v1/chat/completions", messages=MESSAGES, context_policy="shift", n_keep=3)
    parent = server.engine.requests[-1].request_id
    server.http.post(f"/v1/requests/{parent}/fork", json={})
    server.http.post(f"/v1/requests/{parent}/fork", json={"context_policy": "error"})
    assert [(request.context_policy, request.n_keep) for request in server.engine.requests] == [
        ("shift", 3), ("shift", 3), ("error", 3)
    ]  # fmt: skip
    assert server.http.get(f"/v1/requests/{parent}").json()["usage"]["context"] == SHIFT_USE


def test_the_document_tells_of_the_header(server: Any) -> None:
    document = server.http.get("/openapi.json").json()
    assert {"x-shimmy-context", "x-shimmy-model"} <= set(document["components"]["headers"])
    forks, embeddings = "/v1/requests/{id}/fork", "/v1/embeddings"
    for path in {path for path, *_ in ROUTES.values()} | {forks, embeddings}:
        headers = document["paths"][path]["post"]["responses"]["200"]["headers"]
        assert "x-shimmy-model" in headers
        assert ("x-shimmy-context" in headers) is (path != embeddings)
