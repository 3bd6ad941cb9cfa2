"""By what a conversation left the cache: what the model's process found, and the requests that came before."""

from __future__ import annotations

from typing import Any

import pytest

from shimmy.output import CacheDiagnosis
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.server.cache_reason import explained
from shimmy.server.metrics import Metrics
from shimmy.server.request_tracker import TrackedRequest

SYSTEM = {"role": "system", "content": "Be brief."}
HELLO = {"role": "user", "content": "Hello."}
HI = {"role": "assistant", "content": "Hi."}
MORE = {"role": "user", "content": "More."}
TOOL = {"type": "function", "function": {"name": "look"}}
ASKED = [SYSTEM, HELLO, HI, MORE]


def tracked(*messages: dict[str, Any], model: str = "m", tenant: str = "", **fields: Any) -> TrackedRequest:
    own = {name: fields.pop(name) for name in ("lora",) if name in fields}
    prompt = ChatPrompt(messages=list(messages), **fields)
    request = GenerateRequest(request_id="r", prompt=prompt, tenant=tenant, **own)
    return TrackedRequest(model, request, Metrics().of(model))


def why(found: CacheDiagnosis, now: TrackedRequest, *before: TrackedRequest) -> str:
    return explained(found, now, [*before, now]).reason


MESSAGE = CacheDiagnosis(1, "user", "message")
NEW = CacheDiagnosis(0, "system", "new")


@pytest.mark.parametrize(
    ("found", "before", "reason"),
    [
        (MESSAGE, tracked(SYSTEM, MORE), "message"),
        (MESSAGE, tracked(*ASKED, tools=[TOOL]), "tools"),
        (MESSAGE, tracked(*ASKED, tool_choice="none"), "tools"),
        (MESSAGE, tracked(*ASKED, enable_thinking=False), "template"),
        (MESSAGE, tracked(*ASKED), "template"),
        (CacheDiagnosis(2, "assistant", "message"), tracked(SYSTEM, HELLO), "message"),
        (CacheDiagnosis(0, "system", "system"), tracked(HELLO, HI), "system"),
        (CacheDiagnosis(None, None, "template"), tracked(*ASKED, tools=[TOOL]), "template"),
        (MESSAGE, tracked(*ASKED, tools=[TOOL], tenant="other"), "message"),
        (MESSAGE, tracked(*ASKED, tools=[TOOL], model="other"), "message"),
        (MESSAGE, tracked(*ASKED, tools=[TOOL], lora={"a": 1.0}), "message"),
        (NEW, tracked(*ASKED, model="other"), "model"),
        (NEW, tracked(*ASKED, lora={"a": 1.0}), "adapter"),
        (NEW, tracked(*ASKED), "evicted"),
        (NEW, tracked(MORE), "new"),
        (NEW, tracked(*ASKED, tenant="other"), "new"),
        (CacheDiagnosis(1, "user", "evicted"), tracked(*ASKED, tools=[TOOL]), "evicted"),
        (CacheDiagnosis(3, "user", "truncated"), tracked(*ASKED), "truncated"),
    ],
)
def test_the_reason(found: CacheDiagnosis, before: TrackedRequest, reason: str) -> None:
    assert why(found, tracked(*ASKED), before) == reason


def test_the_request_with_most_in_common_counts() -> None:
    same = tracked(*ASKED, tools=[TOOL])
    assert why(MESSAGE, tracked(*ASKED), tracked(MORE), same, tracked(SYSTEM, MORE)) == "tools"


def test_nothing_is_known_at_first() -> None:
    assert why(NEW, tracked(*ASKED)) == "new"
    assert why(MESSAGE, tracked(*ASKED)) == "message"


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages", "native", "ollama"])
def test_each_protocols_usage_tells_it(server: Any, protocol: str) -> None:
    messages = [{"role": "user", "content": "full"}]
    fields = {"model": "m", "cache_diagnostics": True}

    def post(path: str, **body: Any) -> Any:
        return server.http.post(path, json={**fields, **body}).json()

    match protocol:
        case "chat":
            told = post("/v1/chat/completions", messages=messages)["usage"]["prompt_tokens_details"]
        case "responses":
            told = post("/v1/responses", input="full")["usage"]["input_tokens_details"]
        case "messages":
            told = post("/v1/messages", messages=messages, max_tokens=9)["usage"]
        case "native":
            told = post("/api/generate", messages=messages, stream=False)["usage"]
        case _:
            fields = {"model": "m", "options": {"cache_diagnostics": True}}
            told = post("/api/chat", messages=messages, stream=False)["usage"]
    diagnosis = told["cache_diagnosis"]
    assert (diagnosis["message"], diagnosis["role"]) == (0, "user")
    assert diagnosis["reason"] in ("message", "template")  # the shared server remembers other tests' requests


def test_it_is_told_to_those_who_ask(server: Any) -> None:
    for text, fields in (("full", {}), ("hello", {"cache_diagnostics": True})):
        assert "cache_diagnosis" not in server.chat(text, **fields).text


def test_another_request_of_the_server_explains_it(start_server: Any) -> None:
    with start_server() as server:
        for tools, reason in ((None, "message"), ([TOOL], "tools")):
            answer = server.chat("full", tools=tools, cache_diagnostics=True)
            assert answer.json()["usage"]["prompt_tokens_details"]["cache_diagnosis"]["reason"] == reason
