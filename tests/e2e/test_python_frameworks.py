"""LangChain, LiteLLM and LlamaIndex: each script in frameworks/ says what it saw, here is what it should have been.

They run in processes of their own: they leave sockets open and warn. LiteLLM and LlamaIndex may be of another
environment, whose python SHIMMY_TEST_CLIENTS names (see the group `clients`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import jsonschema
import pytest
from client_scripts import run_python

MODEL = "shimmy-mini"
ANSWER = "The capital of France is Paris."
LANGCHAIN = ("langchain-openai", "langchain-openai-responses", "langchain-anthropic", "langchain-ollama")
LITELLM = ("litellm-openai", "litellm-anthropic", "litellm-ollama")
EVERY = (*LANGCHAIN, *LITELLM, "llama-index")
CHOOSING = tuple(client for client in EVERY if not client.endswith("ollama"))
"""Those whose protocol has tool_choice."""
CITY = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}, "capital": {"type": "boolean"}},
    "required": ["city"],
    "additionalProperties": False,
}

Seen: TypeAlias = Callable[[str, str], Any]


def script_of(client: str) -> str:
    if client in LANGCHAIN:
        return "with_langchain.py"
    return "with_litellm.py" if client in LITELLM else "with_llama_index.py"


@pytest.fixture(scope="session")
def seen(server: Any, guarded: Any) -> Seen:
    """What a client saw in one of its cases; a script runs once."""
    reports: dict[str, Any] = {}

    def look(client: str, case: str) -> Any:
        script = script_of(client)
        if script not in reports:
            reports[script] = run_python(script, server.url, guarded.url, guarded.key)
        return reports[script][client][case]

    return look


@pytest.mark.parametrize("client", EVERY)
@pytest.mark.parametrize("case", ["plain", "stream"])
def test_an_answer(seen: Seen, client: str, case: str) -> None:
    answer = seen(client, case)
    assert answer["text"] == ANSWER
    if (client, case) != ("llama-index", "stream"):  # which tells no usage
        assert answer["n_in"] > 20
        assert 5 < answer["n_out"] < 15


@pytest.mark.parametrize("client", LANGCHAIN)
def test_a_batch_and_a_conversation(seen: Seen, client: str) -> None:
    assert seen(client, "batch") == [ANSWER] * 4
    assert "Shimmy" in seen(client, "conversation")["text"]


@pytest.mark.parametrize(
    ("client", "case"),
    [
        *((client, case) for client in EVERY for case in ("tools", "toolsStreamed")),
        *((client, case) for client in CHOOSING for case in ("required", "named")),
        *((client, f"{case}Streamed") for client in CHOOSING if client in LANGCHAIN for case in ("required", "named")),
    ],
)
def test_a_call(seen: Seen, client: str, case: str) -> None:
    name = "get_time" if case.startswith("named") else "get_weather"
    assert seen(client, case) == [{"name": name, "arguments": {"city": "Paris"}}]


@pytest.mark.parametrize("client", EVERY)
def test_the_answer_after_a_call(seen: Seen, client: str) -> None:
    text = seen(client, "answered")["text"]
    assert "21" in text or "sunny" in text


@pytest.mark.parametrize(
    ("client", "case"),
    [
        *((client, "structured") for client in EVERY),
        *((client, "structuredByCall") for client in CHOOSING if client not in LITELLM),
    ],
)
def test_structured_output(seen: Seen, client: str, case: str) -> None:
    jsonschema.validate(seen(client, case), CITY)


@pytest.mark.parametrize("client", ["langchain-openai", "langchain-ollama", "litellm-openai", "litellm-ollama"])
def test_embeddings(seen: Seen, client: str) -> None:
    answer = seen(client, "embeddings")
    assert len(answer["vectors"]) == 2
    assert answer["query"] == pytest.approx(answer["vectors"][0], abs=1e-3)


@pytest.mark.parametrize("client", EVERY)
@pytest.mark.parametrize(
    ("case", "status", "words"),
    [
        ("badRequest", 400, "it must be"),
        ("overflow", 400, "context holds 2048"),
        ("noKey", 401, "the API key is not known"),
        ("unknownModel", 404, MODEL),
    ],
)
def test_errors(seen: Seen, client: str, case: str, status: int, words: str) -> None:
    told = seen(client, case)
    assert (told.get("status"), words in told.get("message", "")) == (status, True), told


@pytest.mark.parametrize("client", EVERY)
def test_the_right_key_is_let_in(seen: Seen, client: str) -> None:
    assert seen(client, "rightKey") == ANSWER


@pytest.mark.parametrize("client", LANGCHAIN)
def test_a_full_queue_is_told_as_429(seen: Seen, client: str) -> None:
    crowd = seen(client, "crowd")
    assert crowd["answered"] >= 1
    assert crowd["refused"]
    assert {told["status"] for told in crowd["refused"]} == {429}
    assert all("waiting already" in told["message"] for told in crowd["refused"])


@pytest.mark.parametrize("client", LANGCHAIN)
def test_leaving_a_stream_ends_the_work(seen: Seen, client: str) -> None:
    request = seen(client, "left")
    assert request["state"] == "cancelled"
    assert request["n_tokens"] > 0
    assert request["usage"]["completion_tokens"] == request["n_tokens"]
