"""Chat completions that go on with their last message, as vLLM's clients ask for it; Ollama's chats always do."""

from __future__ import annotations

from typing import Any

import pytest

BEGUN = [{"role": "user", "content": "And?"}, {"role": "assistant", "content": "It is"}]
TOOL = {"type": "function", "function": {"name": "weather"}}


def asked(server: Any, **fields: Any) -> Any:
    return server.http.post("/v1/chat/completions", json={"model": "m", "messages": BEGUN, **fields})


@pytest.mark.parametrize("also", [{}, {"add_generation_prompt": False}, {"add_generation_prompt": None}])
def test_the_last_message_is_gone_on_with(server: Any, also: dict[str, Any]) -> None:
    assert asked(server, continue_final_message=True, **also).status_code == 200
    prompt = server.engine.requests[-1].prompt
    assert prompt.continue_final_message
    assert prompt.messages == BEGUN


@pytest.mark.parametrize("fields", [{}, {"continue_final_message": False, "add_generation_prompt": True}])
def test_it_is_a_turn_that_is_over_where_nothing_else_is_said(server: Any, fields: dict[str, Any]) -> None:
    assert asked(server, **fields).status_code == 200
    assert not server.engine.requests[-1].prompt.continue_final_message


@pytest.mark.parametrize(
    ("last", "words"),
    [
        ({"role": "user", "content": "x"}, "messages[1] is of role user"),
        ({"role": "assistant", "content": ""}, "messages[1] has no text"),
        ({"role": "assistant", "content": None, "tool_calls": [TOOL]}, "messages[1] calls a tool"),
        ({"role": "assistant", "content": "a", "tool_calls": [TOOL]}, "messages[1] calls a tool"),
    ],
)
def test_only_a_text_can_be_gone_on_with(server: Any, last: dict[str, Any], words: str) -> None:
    answer = asked(server, messages=[BEGUN[0], last], continue_final_message=True)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "messages[1]"
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"messages": BEGUN[1:], "continue_final_message": True}, "messages[0]", "answers nothing"),
        (
            {"continue_final_message": True, "add_generation_prompt": True},
            "add_generation_prompt",
            "exclude each other",
        ),
        ({"add_generation_prompt": False}, "add_generation_prompt", "without continue_final_message"),
        ({"continue_final_message": "yes"}, "continue_final_message", "must be true or false"),
    ],
)
def test_what_is_refused(server: Any, fields: dict[str, Any], param: str, words: str) -> None:
    answer = asked(server, **fields)
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param
    assert words in answer.json()["error"]["message"]


@pytest.mark.parametrize(
    ("messages", "goes_on"),
    [
        (BEGUN, True),
        (BEGUN[:1], False),
        (BEGUN[1:], False),
        ([BEGUN[0], {"role": "assistant", "content": ""}], False),
        ([BEGUN[0], {"role": "assistant", "content": "x", "tool_calls": [{"function": {"name": "f"}}]}], False),
    ],
)
def test_ollamas_chats_go_on_with_a_text_at_their_end(server: Any, messages: list[Any], goes_on: bool) -> None:
    body = {"model": "m", "messages": messages, "stream": False}
    assert server.http.post("/api/chat", json=body).status_code == 200
    assert server.engine.requests[-1].prompt.continue_final_message == goes_on
