"""The official JavaScript clients, unmodified: each script in js/ says what it saw, and here is what it should have."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import jsonschema
import pytest
from client_scripts import run_node

MODEL = "shimmy-mini"
ANSWER = "The capital of France is Paris."
SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {"city": {"type": "string", "maxLength": 12}},
    "required": ["city"],
    "additionalProperties": False,
}
EVERY = ("openai", "responses", "anthropic", "ollama")
NAMING = ("openai", "responses", "anthropic")
"""Those whose protocol has tool_choice."""

Seen: TypeAlias = Callable[[str, str], Any]


@pytest.fixture(scope="session")
def seen(javascript: Path, server: Any, guarded: Any) -> Seen:
    """What a client saw in one of its script's cases; a script runs once."""
    reports: dict[str, dict[str, Any]] = {}

    def look(client: str, case: str) -> Any:
        if client not in reports:
            reports[client] = run_node(javascript, f"{client}.mjs", server.url, guarded.url, guarded.key)
        return reports[client][case]

    return look


@pytest.mark.parametrize("client", EVERY)
def test_an_answer(seen: Seen, client: str) -> None:
    answer = seen(client, "plain")
    reasons = {"anthropic": "end_turn", "responses": "completed"}
    assert (answer["text"], answer["reason"]) == (ANSWER, reasons.get(client, "stop"))
    n_in, n_out = {
        "openai": ("prompt_tokens", "completion_tokens"),
        "ollama": ("prompt_eval_count", "eval_count"),
    }.get(client, ("input_tokens", "output_tokens"))
    assert answer[n_in] + answer.get("cache_read_input_tokens", 0) > 20
    assert 5 < answer[n_out] < 15


@pytest.mark.parametrize("client", EVERY)
def test_a_stream_says_the_same(seen: Seen, client: str) -> None:
    assert seen(client, "stream")["text"] == ANSWER


@pytest.mark.parametrize("client", NAMING)
def test_the_stream_helpers_put_it_together(seen: Seen, client: str) -> None:
    answer = seen(client, "streamHelper")
    assert answer["text"] == answer["joined"] == ANSWER


def test_what_streams_tell_beside_the_text(seen: Seen) -> None:
    assert seen("openai", "stream")["usage"]["completion_tokens"] == seen("openai", "plain")["completion_tokens"]
    assert seen("anthropic", "stream")["usage"]["output_tokens"] == seen("anthropic", "plain")["output_tokens"]
    types = seen("anthropic", "stream")["types"]
    assert (types[0], types[-2:]) == ("message_start", ["message_delta", "message_stop"])
    events = seen("responses", "stream")
    assert events["numbers"] == list(range(len(events["types"])))
    assert (events["types"][0], events["types"][-1]) == ("response.created", "response.completed")
    assert seen("ollama", "stream")["done"][-2:] == [False, True]
    for client in ("openai", "anthropic"):
        assert seen(client, "requestId").startswith("req_")


@pytest.mark.parametrize(
    ("client", "case"),
    [
        *((client, case) for client in EVERY for case in ("tools", "toolsStreamed")),
        *((client, case) for client in NAMING for case in ("required", "requiredStreamed", "named", "namedStreamed")),
        ("openai", "toolsStreamHelper"),
        ("openai", "allowed"),
        ("anthropic", "toolsStreamHelper"),
    ],
)
def test_a_call(seen: Seen, client: str, case: str) -> None:
    answer = seen(client, case)
    reasons = {"openai": "tool_calls", "anthropic": "tool_use", "responses": "completed", "ollama": "stop"}
    assert answer["finish_reason"] == reasons[client]
    (call,) = answer["calls"]
    assert call["name"] == ("get_time" if case in ("named", "namedStreamed", "allowed") else "get_weather")
    assert call["id"]
    assert json.loads(call["arguments"]) == {"city": "Paris"}


def test_no_call_when_none_is_wanted(seen: Seen) -> None:
    assert seen("openai", "noTool") is None
    assert seen("anthropic", "noTool") == ["text"]


@pytest.mark.parametrize(
    ("client", "case"),
    [
        *((client, "runTools") for client in NAMING),
        ("openai", "runToolsStreamed"),
        ("anthropic", "runToolsStreamed"),
        ("responses", "answered"),
        ("ollama", "answered"),
    ],
)
def test_a_call_its_result_and_the_answer(seen: Seen, client: str, case: str) -> None:
    answer = seen(client, case)
    assert answer.get("asked", ["Paris"]) == ["Paris"]
    assert "21" in answer["text"] or "sunny" in answer["text"]


@pytest.mark.parametrize("client", EVERY)
@pytest.mark.parametrize("case", ["structured", "structuredStreamed"])
def test_an_answer_keeps_to_its_schema(seen: Seen, client: str, case: str) -> None:
    jsonschema.validate(seen(client, case), SCHEMA)


@pytest.mark.parametrize("client", NAMING)
@pytest.mark.parametrize("case", ["parsed", "parsedStreamed"])
def test_the_clients_parse_it(seen: Seen, client: str, case: str) -> None:
    parsed = seen(client, case)
    assert parsed["city"] in ("Paris", "Rome")
    assert isinstance(parsed["capital"], bool)


@pytest.mark.parametrize("client", ["openai", "ollama"])
def test_embeddings(seen: Seen, client: str) -> None:
    answer = seen(client, "embeddings")
    assert len(answer["vectors"]) == 2
    assert answer["floats"] == pytest.approx(answer["vectors"][0], abs=1e-3)


@pytest.mark.parametrize("client", ["openai", "ollama"])
def test_logprobs(seen: Seen, client: str) -> None:
    scored = seen(client, "logprobs")
    assert scored["text"].startswith(ANSWER)
    assert set(scored["tops"]) == {2}


@pytest.mark.parametrize("client", ["openai", "anthropic", "ollama"])
def test_models(seen: Seen, client: str) -> None:
    models = seen(client, "models")
    assert MODEL in models["listed"]
    assert models.get("retrieved") == {"openai": "shimmy", "anthropic": "model"}.get(client)


@pytest.mark.parametrize("client", EVERY)
@pytest.mark.parametrize(
    ("case", "status", "error", "words"),
    [
        ("badRequest", 400, "BadRequestError", "temperature"),
        ("overflow", 400, "BadRequestError", "context holds 2048"),
        ("overflowStreamed", 400, "BadRequestError", "context holds 2048"),
        ("noKey", 401, "AuthenticationError", "key"),
        ("unknownModel", 404, "NotFoundError", MODEL),
        ("unknownModelStreamed", 404, "NotFoundError", MODEL),
    ],
)
def test_errors_are_the_clients_own(seen: Seen, client: str, case: str, status: int, error: str, words: str) -> None:
    told = seen(client, case)
    assert (told["status"], told["error"]) == (status, "ResponseError" if client == "ollama" else error)
    assert words in told["message"]
    if case.startswith("overflow") and client in ("openai", "responses"):
        assert told["code"] == "context_length_exceeded"


@pytest.mark.parametrize("client", NAMING)
def test_what_stays_wrong_is_asked_for_once(seen: Seen, client: str) -> None:
    assert seen(client, "tries") == {"n": 1, "status": 400}


@pytest.mark.parametrize("client", EVERY)
def test_the_right_key_is_let_in(seen: Seen, client: str) -> None:
    assert seen(client, "rightKey") == ANSWER


def test_a_bearer_token_for_anthropic(seen: Seen) -> None:
    assert seen("anthropic", "rightToken") == ANSWER


@pytest.mark.parametrize("client", EVERY)
def test_a_full_queue_is_told_as_429(seen: Seen, client: str) -> None:
    crowd = seen(client, "crowd")
    assert crowd["answered"] >= 1
    assert crowd["refused"]
    error = "ResponseError" if client == "ollama" else "RateLimitError"
    assert {(refused["status"], refused["error"]) for refused in crowd["refused"]} == {(429, error)}


def test_retries_get_through_a_full_queue(seen: Seen) -> None:
    assert seen("openai", "crowdRetried") == {"answered": 48, "refused": []}


@pytest.mark.parametrize(
    ("client", "case"),
    [*((client, "aborted") for client in EVERY), *((client, "left") for client in NAMING)],
)
def test_leaving_ends_the_work(seen: Seen, client: str, case: str) -> None:
    request = seen(client, case)
    assert request["state"] == "cancelled"
    assert request["n_tokens"] > 0
    assert request["usage"]["completion_tokens"] == request["n_tokens"]
    if case == "aborted":
        assert request["thrown"] == ("AbortError" if client == "ollama" else "APIUserAbortError")


def test_what_only_openai_has(seen: Seen) -> None:
    assert seen("openai", "choices") == [ANSWER, ANSWER]
    completion = seen("openai", "completion")
    assert completion["whole"] == completion["streamed"] != ""


def test_what_only_responses_have(seen: Seen) -> None:
    turn = seen("responses", "conversation")
    assert "Shimmy" in turn["text"]
    assert (turn["kept"], turn["items"], turn["gone"]) == (turn["text"], ["message"], 404)
    assert seen("responses", "counted") == seen("responses", "plain")["input_tokens"]
    background = seen("responses", "background")
    assert background == {"text": ANSWER, "begun": "queued", "cancelled": "cancelled"}


def test_what_only_anthropic_has(seen: Seen) -> None:
    assert seen("anthropic", "stopped") == {
        "text": "The capital of",
        "stop_reason": "stop_sequence",
        "stop_sequence": " France",
    }
    usage = seen("anthropic", "plain")
    assert seen("anthropic", "counted") == usage["input_tokens"] + usage["cache_read_input_tokens"]
    assert seen("anthropic", "beta") == ANSWER


def test_what_only_ollama_has(seen: Seen) -> None:
    first = seen("ollama", "generate")
    assert first["text"] == ANSWER
    assert "Shimmy" in first["again"]
    assert first["grown"] > first["n"] > 20
    assert seen("ollama", "generateStreamed")["text"] == ANSWER
    assert seen("ollama", "raw")["eval_count"] == 8
    shown = seen("ollama", "show")
    assert "completion" in shown["capabilities"]
    assert shown["model_info"][f"{shown['details']['family']}.context_length"] >= 2048
    assert [model["name"] for model in seen("ollama", "ps")] == [MODEL]
    assert seen("ollama", "version")
    assert seen("ollama", "keepAlive") == {"reasons": ["unload", "load"], "loaded": [0, 1]}


# --- Vercel's AI SDK --------------------------------------------------------------------------------------------------

every_protocol = pytest.mark.parametrize("protocol", ["responses", "chat", "anthropic"])


@every_protocol
def test_answers_through_the_ai_sdk(seen: Seen, protocol: str) -> None:
    for case in ("plain", "stream"):
        answer = seen("ai_sdk", f"{protocol}.{case}")
        assert (answer["text"], answer["reason"]) == (ANSWER, "stop")
        assert answer["n_in"] > 20
        assert 5 < answer["n_out"] < 15
    assert seen("ai_sdk", f"{protocol}.rightKey") == ANSWER


@every_protocol
def test_a_second_turn_through_the_ai_sdk(seen: Seen, protocol: str) -> None:
    again = seen("ai_sdk", f"{protocol}.again")
    assert "Shimmy" in again.get("text", again)
    kinds = [item.get("type") for item in again["body"].get("input", [])]
    assert ("item_reference" in kinds) == (protocol == "responses")


@every_protocol
def test_tools_through_the_ai_sdk(seen: Seen, protocol: str) -> None:
    for case, name in (("required", "get_weather"), ("requiredStreamed", "get_weather"), ("named", "get_time")):
        (call,) = seen("ai_sdk", f"{protocol}.{case}")
        assert (call["name"], json.loads(call["arguments"])) == (name, {"city": "Paris"})
    for case in ("runTools", "runToolsStreamed"):
        answer = seen("ai_sdk", f"{protocol}.{case}")
        assert answer["asked"] == ["Paris"]
        assert "21" in answer["text"] or "sunny" in answer["text"]


def test_custom_and_hosted_tools_through_the_ai_sdk(seen: Seen) -> None:
    mixed = seen("ai_sdk", "responses.mixedTools")
    assert mixed.get("tools", mixed) == ["web_search", "function", "custom"]
    assert len(mixed["written"]) == 2
    assert all(mixed["written"])
    assert mixed["items"][-2:] == ["item_reference", "custom_tool_call_output"]


@every_protocol
def test_objects_through_the_ai_sdk(seen: Seen, protocol: str) -> None:
    for case in ("parsed", "parsedStreamed"):
        parsed = seen("ai_sdk", f"{protocol}.{case}")
        assert parsed["city"] in ("Paris", "Rome")
        assert isinstance(parsed["capital"], bool)


@every_protocol
def test_errors_and_leaving_through_the_ai_sdk(seen: Seen, protocol: str) -> None:
    for case, status, words in (
        ("badRequest", 400, "top_p"),
        ("overflow", 400, "context holds 2048"),
        ("noKey", 401, "key"),
        ("unknownModel", 404, MODEL),
    ):
        told = seen("ai_sdk", f"{protocol}.{case}")
        assert (told["error"], told["status"]) == ("APICallError", status)
        assert words in told["message"]
    request = seen("ai_sdk", f"{protocol}.aborted")
    assert (request["state"], request["n_tokens"] > 0) == ("cancelled", True)


def test_embeddings_through_the_ai_sdk(seen: Seen) -> None:
    first, second = seen("ai_sdk", "chat.embeddings")
    assert first == second > 8
