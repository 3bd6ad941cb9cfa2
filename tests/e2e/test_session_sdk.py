"""Sessions through the official Anthropic client: the history is the server's, the answers those of a whole history."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from anthropic import Anthropic

MODEL = "shimmy-mini"
FIRST = {"role": "user", "content": "What is the capital of France?"}
SECOND = {"role": "user", "content": "Who are you?"}


@pytest.fixture(scope="module")
def client(server: Any) -> Iterator[Anthropic]:
    with Anthropic(base_url=server.url, api_key="none", max_retries=0, timeout=60) as client:
        yield client


def fields(messages: list[Any], session_id: str | None) -> dict[str, Any]:
    return {
        "model": MODEL,
        "messages": messages,
        "max_tokens": 100,
        "extra_body": {"temperature": 0, "session_id": session_id},
    }


def say(client: Anthropic, messages: list[Any], session_id: str | None, *, stream: bool) -> Any:
    if not stream:
        return client.messages.create(**fields(messages, session_id))
    with client.messages.stream(**fields(messages, session_id)) as streamed:
        return streamed.get_final_message()


@pytest.mark.parametrize("stream", [False, True])
def test_a_session_is_its_whole_history(client: Anthropic, server: Any, stream: bool) -> None:
    name = f"sdk-{stream}"
    first = say(client, [FIRST], name, stream=stream)
    assert first.session_id == name
    second = say(client, [SECOND], name, stream=stream)
    assert second.usage.cache_read_input_tokens > 0
    answered = {"role": "assistant", "content": first.content[0].text}
    alone = say(client, [FIRST, answered, SECOND], None, stream=stream)
    assert second.content[0].text == alone.content[0].text
    n_tokens = second.usage.input_tokens + second.usage.cache_read_input_tokens
    assert n_tokens == alone.usage.input_tokens + alone.usage.cache_read_input_tokens
    assert httpx.get(f"{server.url}/v1/session/{name}", timeout=60).json()["message_count"] == 4
    status = httpx.get(f"{server.url}/v1/status", timeout=60).json()
    assert (status["generator"]["state"], status["generator"]["model"]) == ("ready", MODEL)
    assert httpx.delete(f"{server.url}/v1/session/{name}", timeout=60).status_code == 204
    assert httpx.get(f"{server.url}/v1/session/{name}", timeout=60).status_code == 404


def test_a_session_that_fills_the_context_says_so(client: Anthropic, server: Any) -> None:
    say(client, [FIRST], "full", stream=False)
    body = {"model": MODEL, "messages": [{"role": "user", "content": "word " * 20_000}], "max_tokens": 5}
    answer = httpx.post(f"{server.url}/v1/messages", json={**body, "session_id": "full"}, timeout=60)
    assert answer.status_code == 400
    assert "tokens" in answer.json()["error"]["message"]
    assert httpx.get(f"{server.url}/v1/session/full", timeout=60).json()["message_count"] == 2
