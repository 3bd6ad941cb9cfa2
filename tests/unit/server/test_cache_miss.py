"""Why a prompt did not come from the cache, in each protocol's usage; the scripted engine says so of "full"."""

from __future__ import annotations

from typing import Any

import pytest

TOLD = {"cache_miss": "diverged", "cache_diverged_at": 0}


def usage_of(server: Any, protocol: str, text: str) -> Any:
    messages = [{"role": "user", "content": text}]
    match protocol:
        case "chat":
            return server.chat(text).json()["usage"]["prompt_tokens_details"]
        case "responses":
            body = {"model": "m", "input": text}
            return server.http.post("/v1/responses", json=body).json()["usage"]["input_tokens_details"]
        case "messages":
            body = {"model": "m", "messages": messages, "max_tokens": 9}
            return server.http.post("/v1/messages", json=body).json()["usage"]
    return server.generate(prompt=text, stream=False).json()["usage"]


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages", "native"])
def test_it_is_told(server: Any, protocol: str) -> None:
    usage = usage_of(server, protocol, "full")
    assert {name: usage[name] for name in TOLD} == TOLD


@pytest.mark.parametrize("protocol", ["chat", "responses", "messages"])
def test_nothing_is_told_without_a_miss(server: Any, protocol: str) -> None:
    assert not TOLD.keys() & usage_of(server, protocol, "hello").keys()
