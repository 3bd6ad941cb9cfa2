"""Which messages of a conversation go when it is too long for its context, and what is cut when these are not enough.

What is kept: system messages, the last turn's question, and what follows the last call. Turns go first, the oldest
before the others, each with its answer; then rounds of calls within the last turn, a call always with its results. Only
then texts lose their middle, the longest first, so that no template ever sees half of a message's frame.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

Messages = list[dict[str, Any]]

_KEPT_ROLES = ("system", "developer")
_FRAME = 4.0
"""Tokens that a template puts around a message, until it is known."""
_SHORTEST = 16
"""Tokens that a text keeps at least."""
_ROUNDS = 8


class Cut(NamedTuple):
    """What is left: messages, and their places in the conversation before."""

    messages: Messages
    kept: list[int]


def droppable(messages: Sequence[dict[str, Any]]) -> list[list[int]]:
    """Groups of messages that only go together, in the order in which they go."""
    turns: list[list[int]] = []
    for index, message in enumerate(messages):
        if message["role"] in _KEPT_ROLES:
            continue
        if message["role"] == "user" or not turns:
            turns.append([])
        turns[-1].append(index)
    if not turns:
        return []
    last = turns.pop()
    rounds: list[list[int]] = []
    for index in last[1:] if messages[last[0]]["role"] == "user" else last:
        if messages[index]["role"] != "tool" or not rounds:
            rounds.append([])
        rounds[-1].append(index)
    return turns + rounds[:-1]


class ConversationCut:
    """Finds the cut of one conversation. `count` counts the tokens of rendered messages, `size` those of a text."""

    def __init__(self, messages: Messages, count: Callable[[Messages], int], size: Callable[[str], int]) -> None:
        self._messages = messages
        self._count = count
        self._size = size
        self._sizes: dict[int, int] = {}  # of messages

    def find(self, n_tokens: int, limit: int, step: int) -> Cut | None:
        """A cut that counts at most `limit`, of a conversation that counts `n_tokens`, more than that; None when what
        must be kept is more. `count` was called with the result last.

        At least a multiple of `step` tokens goes with the messages, where they have as many. They are counted one by
        one, so that the same messages always free the same.
        """
        groups = droppable(self._messages)
        needed = -(-(n_tokens - limit) // step) * step
        n_gone = self._n_groups(groups, needed, _FRAME)
        n_left = self._count(self._left(groups[:n_gone]).messages)
        again = self._n_groups(groups, needed, self._frame(groups[:n_gone], n_tokens - n_left))
        if again != n_gone:
            n_gone = again
            n_left = self._count(self._left(groups[:n_gone]).messages)
        while n_left > limit and n_gone < len(groups):
            n_gone += max(self._n_groups(groups[n_gone:], n_left - limit, _FRAME), 1)
            n_left = self._count(self._left(groups[:n_gone]).messages)
        left = self._left(groups[:n_gone])
        return left if n_left <= limit else self._shorten(left, n_left, limit)

    def _n_groups(self, groups: Sequence[Sequence[int]], needed: int, frame: float) -> int:
        """How many of the groups free that many tokens; all, when they do not."""
        freed = 0.0
        for n, group in enumerate(groups):
            if freed >= needed:
                return n
            freed += sum(self._size_of(index) + frame for index in group)
        return len(groups)

    def _frame(self, groups: Sequence[Sequence[int]], n_freed: int) -> float:
        """What the template puts around a message, by the tokens that went with these."""
        gone = [index for group in groups for index in group]
        texts = sum(self._size_of(index) for index in gone)
        return max(n_freed - texts, 0) / len(gone) if gone else _FRAME

    def _size_of(self, index: int) -> int:
        if index not in self._sizes:
            self._sizes[index] = self._size(text_of(self._messages[index]))
        return self._sizes[index]

    def _left(self, groups: Sequence[Sequence[int]]) -> Cut:
        gone = {index for group in groups for index in group}
        kept = [index for index in range(len(self._messages)) if index not in gone]
        return Cut([self._messages[index] for index in kept], kept)

    def _shorten(self, cut: Cut, n_tokens: int, limit: int) -> Cut | None:
        """Texts without their middles, the longest first."""
        sizes = {
            place: self._size(message["content"])
            for place, message in enumerate(cut.messages)
            if message["role"] not in _KEPT_ROLES and isinstance(message.get("content"), str)
        }
        excess = 0
        for _ in range(_ROUNDS):
            excess += n_tokens - limit
            level = _level(list(sizes.values()), excess)
            if level < _SHORTEST:
                return None
            messages = list(cut.messages)
            for place, size in sizes.items():
                if size > level:
                    text = messages[place]["content"]
                    messages[place] = {**messages[place], "content": _ends(text, len(text) * level // size)}
            n_tokens = self._count(messages)
            if n_tokens <= limit:
                return Cut(messages, cut.kept)
        return None


def text_of(message: dict[str, Any]) -> str:
    """All that a template may show of it."""
    parts = [message.get("content"), message.get("reasoning_content")]
    texts = [part if isinstance(part, str) else msgspec.json.encode(part).decode() for part in parts if part]
    if calls := message.get("tool_calls"):
        texts.append(msgspec.json.encode(calls).decode())
    return "\n".join(texts)


def _level(sizes: Sequence[int], excess: int) -> int:
    """The length to which all longer texts are cut so that `excess` tokens go; 0 when there are not as many."""
    ordered = [*sorted(sizes, reverse=True), 0]
    above = 0
    for n, (size, below) in enumerate(pairwise(ordered), 1):
        above += size
        level = (above - excess) // n
        if level >= below:
            return max(level, 0)
    return 0


def _ends(text: str, n: int) -> str:
    """The first and the last characters of a text, `n` of them."""
    head = n // 2
    return text[:head] + text[len(text) - (n - head) :]
