"""Clients try again what they are told is temporary: what stays wrong is asked for once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import anthropic
import openai
import pytest
from tiny_gguf import write_model

from chain_model import ChainModel

MODEL = "whole"
QUESTION: Any = [{"role": "user", "content": "What is the capital of France?"}]
KEY = "a-key-for-tests"
TEMPLATE = "{% for message in messages %}{{ message.content }}{% endfor %}"

Ask = Callable[..., Any]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, start_in: Callable[..., Any]) -> Iterator[Any]:
    """A server with keys, a model, and one that is found but cannot be loaded."""
    folder = tmp_path_factory.mktemp("retries")
    ChainModel(["?", "Paris"], chat_template=TEMPLATE).write(folder / f"{MODEL}.gguf")
    write_model(folder / "hollow.gguf")
    environment = {"SHIMMY_API_KEY": KEY, "SHIMMY_MODEL_PATHS": str(folder)}
    with start_in(tmp_path_factory.mktemp("home"), environment=environment) as process:
        yield process


@pytest.fixture
def sent() -> list[str]:
    """The requests that a client sent."""
    return []


@pytest.fixture(params=["openai", "responses", "anthropic"])
def ask(request: pytest.FixtureRequest, server: Any, sent: list[str]) -> Iterator[Ask]:
    """Asks through a client that tries again twice."""
    package: Any = anthropic if request.param == "anthropic" else openai
    http = package.DefaultHttpxClient(event_hooks={"request": [lambda one: sent.append(str(one.url))]})
    where = server.url if package is anthropic else f"{server.url}/v1"
    make = anthropic.Anthropic if package is anthropic else openai.OpenAI
    with make(base_url=where, api_key=KEY, http_client=http, max_retries=2, timeout=60) as client:

        def call(key: str = KEY, content: Any = QUESTION, **fields: Any) -> Any:
            own: Any = client if key == KEY else client.with_options(api_key=key)
            given = {"model": MODEL, "extra_body": {"temperature": fields.pop("temperature", 0)}, **fields}
            if request.param == "responses":
                return own.responses.create(input=content, **given)
            if request.param == "openai":
                return own.chat.completions.create(messages=content, **given)
            return own.messages.create(messages=content, max_tokens=20, **given)

        yield call


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ({"temperature": -1}, 400),
        ({"temperature": "hot"}, 400),
        ({"content": []}, 400),
        ({"content": [{"role": "user", "content": "word " * 5000}]}, 400),
        ({"key": "another-key"}, 401),
        ({"model": "nothing"}, 404),
        ({"model": "hollow"}, 502),
    ],
    ids=["value", "type", "empty", "overflow", "key", "model", "hollow file"],
)
def test_what_stays_wrong_is_asked_for_once(
    ask: Ask, sent: list[str], fields: dict[str, Any], status: int, stream: bool
) -> None:
    with pytest.raises((openai.APIStatusError, anthropic.APIStatusError)) as failed:
        ask(**fields, stream=stream)
    assert (failed.value.status_code, len(sent)) == (status, 1)


def test_what_is_right_is_asked_for_once_too(ask: Ask, sent: list[str]) -> None:
    assert "Paris" in ask().model_dump_json()
    assert len(sent) == 1
