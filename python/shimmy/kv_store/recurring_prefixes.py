"""Policy: which beginnings of prompts come again. No files, no clock."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from typing import NamedTuple

from shimmy.kv_store.prefix_file import MIN_TOKENS, Space, TokenArray
from shimmy.kv_store.prefix_index import common_prefix

MAX_PROMPTS = 64
MAX_TOKENS = 1 << 20
"""Of all prompts that are remembered."""


class RecurringPrefix(NamedTuple):
    """A prefix that at least two requests had in common."""

    space: Space
    lora: tuple[tuple[str, float], ...]
    """Adapters by name, as a request names them, with their scales."""
    tokens: TokenArray


class RecurringPrefixes:
    """Remembers the last prompts, and what they had in common. Not thread-safe."""

    def __init__(self) -> None:
        self._prompts: OrderedDict[bytes, RecurringPrefix] = OrderedDict()
        self._n_tokens = 0
        self._found: OrderedDict[bytes, RecurringPrefix] = OrderedDict()

    def add(self, prompt: RecurringPrefix) -> None:
        """A prompt that was computed."""
        if len(prompt.tokens) < MIN_TOKENS:
            return
        for other in self._prompts.values():
            if other.space == prompt.space:
                n = common_prefix(other.tokens, prompt.tokens)
                if n >= MIN_TOKENS:
                    found = prompt._replace(tokens=prompt.tokens[:n])
                    self._found[_key(found)] = found
                    self._found.move_to_end(_key(found))
        while len(self._found) > MAX_PROMPTS:
            self._found.popitem(last=False)
        key = _key(prompt)
        if key not in self._prompts:
            self._n_tokens += len(prompt.tokens)
        self._prompts[key] = prompt
        self._prompts.move_to_end(key)
        while len(self._prompts) > MAX_PROMPTS or (self._n_tokens > MAX_TOKENS and len(self._prompts) > 1):
            self._n_tokens -= len(self._prompts.popitem(last=False)[1].tokens)

    def found(self) -> list[RecurringPrefix]:
        """What came again, the longest first: it often covers others."""
        return sorted(self._found.values(), key=lambda one: len(one.tokens), reverse=True)

    def drop(self, prefix: RecurringPrefix) -> None:
        """Until it comes again."""
        self._found.pop(_key(prefix), None)


def worth_writing(n_tokens: int, n_covered: int) -> bool:
    """Whether a prefix has enough that is not stored yet. A conversation that grows turn by turn is written again only
    when it has grown by a quarter, so that all its writes together are some times its size.
    """
    return n_tokens - n_covered >= max(MIN_TOKENS, n_tokens / 4)


def _key(prefix: RecurringPrefix) -> bytes:
    hashed = hashlib.blake2b(repr((prefix.space, len(prefix.tokens))).encode(), digest_size=16)
    hashed.update(prefix.tokens.tobytes())
    return hashed.digest()
