"""The last message of a conversation, where the answer goes on with its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from shimmy.errors import InvalidRequestError


def ends_in_text(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the last message is an assistant's text, which an answer can go on with."""
    last = messages[-1] if messages else {}
    return last.get("role") == "assistant" and bool(last.get("content")) and not last.get("tool_calls")


def begins_the_answer(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether the last message is such a text, and answers something."""
    return ends_in_text(messages) and _is_asked(messages[:-1])


def text_to_go_on_with(messages: Sequence[dict[str, Any]], place: str = "messages[-1]") -> str:
    """The text of the last message, which `place` names in errors: InvalidRequestError unless it is an assistant's,
    has text and no calls, and answers something.
    """
    last = messages[-1] if messages else {}
    if last.get("role") != "assistant":
        raise InvalidRequestError(
            f"{place} is of role {last.get('role')}, and the answer can only go on with an assistant's text: put its "
            "first words into a last message of role assistant",
            place,
        )
    content = last.get("content")
    if last.get("tool_calls"):
        raise InvalidRequestError(f"{place} calls a tool, which no text can follow: give the call's result", place)
    if not isinstance(content, str) or not content:
        raise InvalidRequestError(f"{place} has no text that the answer could go on with", place)
    if not _is_asked(messages[:-1]):
        raise InvalidRequestError(f"{place} answers nothing: put the question before it", place)
    return content


def _is_asked(messages: Sequence[dict[str, Any]]) -> bool:
    """Whether there is anything to answer: more than what a system says."""
    return any(message.get("role") not in ("system", "developer") for message in messages)
