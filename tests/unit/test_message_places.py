from __future__ import annotations

from typing import Any

import pytest

from shimmy.message_places import message_at

MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": "  Be brief.\n"},
    {"role": "user", "content": [{"type": "text", "text": "What is"}, {"type": "text", "text": "this?"}]},
    {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "look", "arguments": "{}"}}]},
    {"role": "tool", "content": "a user"},
    {"role": "assistant", "content": ""},
    {"role": "user", "content": "a user"},
]
TEXT = "<s>Be brief.<u>What is\nthis?<a>{look}<t>a user<a><u>a user<a>"


@pytest.mark.parametrize(
    ("part", "index"),
    [("<s>", 0), ("brief", 0), ("<u>What", 1), ("this?", 1), ("<a>{", 2), ("look", 2), ("<t>", 3), ("<u>a", 5)],
)
def test_the_frame_before_a_message_is_its_own(part: str, index: int) -> None:
    assert message_at(TEXT, MESSAGES, TEXT.index(part)) == index


def test_what_opens_the_answer_is_of_no_message() -> None:
    assert message_at(TEXT, MESSAGES, len(TEXT) - 3) == -1
    assert message_at(TEXT, MESSAGES, 10**6) == -1
    assert message_at("", [], 0) == -1


def test_a_message_that_is_shown_otherwise_counts_to_the_next() -> None:
    assert message_at("<u>WHAT<a>fine", [{"role": "user", "content": "what"}, {"content": "fine"}], 4) == 1
