"""What the official Python clients make of a wrong key, of a full queue, and of leaving."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

import anthropic
import ollama
import openai
import pytest
from endless import ENDLESS, wait_until_ended

MODEL = "shimmy-mini"
ANSWER = "The capital of France is Paris."
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]

Ask: TypeAlias = Callable[..., Any]


@contextmanager
def ask_openai(url: str, key: str, retries: int = 0) -> Iterator[Ask]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries, timeout=60) as client:

        def ask(stream: bool = False, max_tokens: int = 200, **extra: Any) -> Any:
            fields: Any = {"max_tokens": max_tokens, "temperature": 0, "stream": stream}
            answer: Any = client.chat.completions.create(model=MODEL, messages=QUESTION, **fields, extra_body=extra)
            return answer if stream else answer.choices[0].message.content

        yield ask


@contextmanager
def ask_responses(url: str, key: str, retries: int = 0) -> Iterator[Ask]:
    with openai.OpenAI(base_url=f"{url}/v1", api_key=key, max_retries=retries, timeout=60) as client:

        def ask(stream: bool = False, max_tokens: int = 200, **extra: Any) -> Any:
            fields: Any = {"max_output_tokens": max_tokens, "temperature": 0, "stream": stream}
            answer: Any = client.responses.create(model=MODEL, input=QUESTION, **fields, extra_body=extra)
            return answer if stream else answer.output_text

        yield ask


@contextmanager
def ask_anthropic(url: str, key: str, retries: int = 0) -> Iterator[Ask]:
    with anthropic.Anthropic(base_url=url, api_key=key, max_retries=retries, timeout=60) as client:

        def ask(stream: bool = False, max_tokens: int = 200, **extra: Any) -> Any:
            fields: Any = {"max_tokens": max_tokens, "stream": stream, "extra_body": {"temperature": 0, **extra}}
            answer: Any = client.messages.create(model=MODEL, messages=QUESTION, **fields)
            return answer if stream else answer.content[0].text

        yield ask


@contextmanager
def ask_ollama(url: str, key: str) -> Iterator[Ask]:
    client = ollama.Client(host=url, timeout=60, headers={"Authorization": f"Bearer {key}"})

    def ask(stream: bool = False, max_tokens: int = 200, **extra: Any) -> Any:
        options = {"temperature": 0, "repeat_penalty": 1.0, "num_predict": max_tokens, **extra}
        answer: Any = client.chat(MODEL, QUESTION, stream=stream, options=options)
        return answer if stream else answer.message.content

    yield ask
    client._client.close()


class Client(NamedTuple):
    """How a client is asked, and what it raises."""

    open: Callable[..., Any]
    unknown_key: type[Exception]
    too_many: type[Exception]


CLIENTS = [
    Client(ask_openai, openai.AuthenticationError, openai.RateLimitError),
    Client(ask_responses, openai.AuthenticationError, openai.RateLimitError),
    Client(ask_anthropic, anthropic.AuthenticationError, anthropic.RateLimitError),
    Client(ask_ollama, ollama.ResponseError, ollama.ResponseError),
]
clients = pytest.mark.parametrize("client", CLIENTS, ids=lambda client: client.open.__name__)


@clients
def test_keys(guarded: Any, client: Client) -> None:
    with client.open(guarded.url, guarded.key) as ask:
        assert ask() == ANSWER
    with client.open(guarded.url, "another-key") as ask, pytest.raises(client.unknown_key, match="key") as refused:
        ask()
    assert refused.value.status_code == 401  # type: ignore[attr-defined]


@clients
def test_a_full_queue(guarded: Any, client: Client) -> None:
    refusals: list[Any] = []
    with client.open(guarded.url, guarded.key) as ask, ThreadPoolExecutor(48) as pool:

        def try_it(_: int) -> bool:
            try:
                return bool(ask(max_tokens=400, ignore_eos=True))
            except client.too_many as error:
                refusals.append(error)
                return False

        answered = sum(pool.map(try_it, range(48)))
    assert answered >= 1
    assert len(refusals) == 48 - answered > 0
    for refused in refusals:
        assert refused.status_code == 429
        assert "waiting already" in str(refused)
        if hasattr(refused, "response"):
            assert int(refused.response.headers["retry-after"]) >= 1


@pytest.mark.parametrize("opened", [ask_openai, ask_anthropic])
def test_retries_get_through_a_full_queue(guarded: Any, opened: Callable[..., Any]) -> None:
    with opened(guarded.url, guarded.key, retries=60) as ask, ThreadPoolExecutor(32) as pool:
        assert all(pool.map(lambda _: ask(max_tokens=4), range(32)))


@clients
def test_leaving_a_stream_ends_the_work(server: Any, client: Client) -> None:
    with client.open(server.url, server.key) as ask:
        stream = ask(stream=True, **ENDLESS)
        next(iter(stream))
        stream.close()
    last = wait_until_ended(server.url)[-1]
    assert last["state"] == "cancelled"
    assert last["usage"]["completion_tokens"] == last["n_tokens"] > 0
