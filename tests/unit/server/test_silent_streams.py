"""Streams that are kept alive while nothing is generated."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import anthropic
import openai
import pytest

from shimmy.settings import Settings

COMMENT = ": keep-alive\n\n"
PATHS = ["/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/api/generate", "/completion"]


def body_of(path: str, prompt: str) -> dict[str, Any]:
    body: dict[str, Any] = {"model": "m", "stream": True, "max_tokens": 50}
    if path == "/v1/responses":
        return {**body, "input": prompt}
    if path in ("/v1/chat/completions", "/v1/messages"):
        return {**body, "messages": [{"role": "user", "content": prompt}]}
    return {**body, "prompt": prompt}


@pytest.fixture
def impatient(start_server: Any) -> Iterator[Any]:
    with start_server(Settings(bind="127.0.0.1:0", sse_keep_alive_seconds=0.1)) as server:
        server.chat("warm up")
        yield server


@pytest.fixture
def patient(start_server: Any) -> Iterator[Any]:
    """With comments, after longer than a busy machine delays an answer."""
    with start_server(Settings(bind="127.0.0.1:0", sse_keep_alive_seconds=30)) as server:
        server.chat("warm up")
        yield server


@pytest.mark.parametrize("path", PATHS)
def test_a_late_first_part_comes_after_comments(impatient: Any, patient: Any, path: str) -> None:
    answer = impatient.http.post(path, json=body_of(path, "wait 1.0 hello there"))
    assert answer.status_code == 200
    assert answer.text.startswith(COMMENT * 2)
    rest = answer.text.lstrip(COMMENT)
    at_once = patient.http.post(path, json=body_of(path, "hello there")).text
    assert COMMENT not in at_once
    assert rest.count("\n\n") == at_once.count("\n\n")


@pytest.mark.parametrize("path", PATHS)
def test_an_early_error_is_plain_http(patient: Any, path: str) -> None:
    answer = patient.http.post(path, json=body_of(path, "fail EngineDeadError"))
    assert (answer.status_code, answer.headers["content-type"]) == (502, "application/json")
    answer = patient.http.post(path, json=body_of(path, "wait 0.02 fail QueueFullError"))
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "1")


@pytest.mark.parametrize(
    ("path", "last"),
    [
        ("/v1/chat/completions", 'data: {"error":{"message":"as asked"'),
        ("/v1/completions", 'data: {"error":{"message":"as asked"'),
        ("/v1/responses", 'event: response.failed\ndata: {"type":"response.failed","sequence_number":2'),
        ("/v1/messages", 'event: error\ndata: {"type":"error","error":{"type":"api_error","message":"as asked"}'),
        ("/api/generate", 'event: error\ndata: {"error":"as asked"}'),
        ("/completion", 'data: {"error":{"message":"as asked"'),
    ],
)
def test_an_error_after_a_comment_is_the_streams_own(impatient: Any, path: str, last: str) -> None:
    answer = impatient.http.post(path, json=body_of(path, "wait 1.0 fail EngineDeadError"))
    assert answer.status_code == 200
    assert answer.text.startswith(COMMENT)
    assert answer.text.strip().split("\n\n")[-1].startswith(last)


def test_pauses_within_an_answer(impatient: Any, patient: Any) -> None:
    answer = patient.http.post("/v1/chat/completions", json=body_of("/v1/chat/completions", "say at once"))
    assert COMMENT not in answer.text
    body = body_of("/v1/completions", "say 1 1.0 2")
    texts = impatient.http.post("/v1/completions", json=body).text.split("\n\n")
    one = next(at for at, text in enumerate(texts) if text.startswith("data: "))
    assert texts[one + 1 : one + 3] == [": keep-alive"] * 2


def test_anthropics_ping_once_the_message_has_begun(impatient: Any) -> None:
    events = impatient.http.post("/v1/messages", json=body_of("/v1/messages", "wait 0.5 say 1 0.5 2")).text
    kinds = [event.partition("\n")[0] for event in events.strip().split("\n\n")]
    begin = kinds.index("event: message_start")
    assert set(kinds[:begin]) == {": keep-alive"}
    assert "event: ping" in kinds[begin:]
    assert ": keep-alive" not in kinds[begin:]


@pytest.mark.parametrize("path", ["/api/chat", "/api/generate"])
def test_lines_of_json_know_no_comments(impatient: Any, path: str) -> None:
    body = body_of("/v1/chat/completions" if path == "/api/chat" else path, "wait 0.3 fail EngineDeadError")
    answer = impatient.http.post(path, json=body, headers={"accept": "application/x-ndjson"})
    assert (answer.status_code, answer.json()) == (502, {"error": "as asked"})


def test_it_can_be_turned_off(start_server: Any) -> None:
    with start_server(Settings(bind="127.0.0.1:0", sse_keep_alive_seconds=0)) as server:
        answer = server.chat("wait 0.2 fail EngineDeadError", stream=True)
        assert answer.status_code == 502


def test_a_client_that_leaves_between_comments(impatient: Any) -> None:
    body = body_of("/v1/completions", "hang")
    with impatient.http.stream("POST", "/v1/completions", json=body) as answer:
        lines = answer.iter_lines()
        assert [next(lines) for _ in range(4)] == [": keep-alive", ""] * 2
    impatient.wait_until(lambda: len(impatient.engine.cancelled) == 1)


def test_openais_sdk_sees_nothing_of_it(impatient: Any) -> None:
    client = openai.OpenAI(base_url=f"{impatient.url}/v1", api_key="none", max_retries=0)
    messages: Any = [{"role": "user", "content": "wait 0.25 say hello 0.25 there"}]
    chunks = list(client.chat.completions.create(model="m", messages=messages, stream=True))
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "hellothere"
    with client.responses.stream(model="m", input="wait 0.25 say hello 0.25 there") as stream:
        assert stream.get_final_response().output_text == "hellothere"
    with pytest.raises(openai.APIError, match="as asked"):
        list(client.completions.create(model="m", prompt="wait 0.25 fail EngineDeadError", stream=True))
    client.close()


def test_anthropics_sdk_sees_nothing_of_it(impatient: Any) -> None:
    client = anthropic.Anthropic(base_url=impatient.url, api_key="none", max_retries=0)

    def answer(prompt: str) -> str:
        messages: Any = [{"role": "user", "content": prompt}]
        with client.messages.stream(model="m", max_tokens=50, messages=messages) as stream:
            return stream.get_final_text()

    assert answer("wait 0.25 say hello 0.25 there") == "hellothere"
    with pytest.raises(anthropic.APIStatusError, match="as asked"):
        answer("wait 0.25 fail EngineDeadError")
    client.close()
