"""Where the messages of a conversation are in the text that a chat template made of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def message_at(text: str, messages: Sequence[dict[str, Any]], offset: int) -> int:
    """The message that has character `offset` of the rendered text: the first that ends behind it; -1 when none does,
    as in what opens the answer.

    Templates show contents as they are, one after the other, and put what frames a message before it. Where one
    rewrites a content, the message counts to the next one that is found. One pass over the text.
    """
    end = 0
    for index, message in enumerate(messages):
        for part in _parts(message):
            at = text.find(part, end)
            if at >= 0:
                end = at + len(part)
        if end > offset:
            return index
    return -1


def _parts(message: dict[str, Any]) -> Iterator[str]:
    content = message.get("content")
    texts = [content] if isinstance(content, str) else [part.get("text") or "" for part in content or ()]
    for text in texts:
        if text.strip():
            yield text.strip()
    for call in message.get("tool_calls") or ():
        if name := call.get("function", {}).get("name"):
            yield name
