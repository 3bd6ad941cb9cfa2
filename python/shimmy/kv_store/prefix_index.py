"""Which stored prefixes begin like a prompt. Knows no files."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from shimmy.kv_store.prefix_file import MIN_TOKENS, Space, TokenArray

_READ_COST = 16  # reading the state of so many tokens costs about as much as computing one


class StoredPrefix(NamedTuple):
    """One file."""

    path: Path
    space: Space
    tokens: TokenArray
    seconds: float
    """How long computing it takes, about; 0: not known."""
    offset: int
    """Where its state begins in the file, in bytes."""
    state_bytes: int


class PrefixIndex:
    """Stored prefixes by path, found by tokens. Not thread-safe."""

    def __init__(self) -> None:
        self._by_path: dict[Path, StoredPrefix] = {}
        self._by_start: dict[tuple[Space, bytes], list[StoredPrefix]] = {}

    def __len__(self) -> int:
        return len(self._by_path)

    def paths(self) -> set[Path]:
        return set(self._by_path)

    def add(self, stored: StoredPrefix) -> None:
        """Replaces the one of the same path."""
        self.discard(stored.path)
        self._by_path[stored.path] = stored
        self._by_start.setdefault((stored.space, _start(stored.tokens)), []).append(stored)

    def discard(self, path: Path) -> None:
        if (stored := self._by_path.pop(path, None)) is not None:
            key = (stored.space, _start(stored.tokens))
            self._by_start[key] = [one for one in self._by_start[key] if one is not stored]
            if not self._by_start[key]:
                del self._by_start[key]

    def find(self, space: Space, tokens: TokenArray) -> tuple[StoredPrefix, int] | None:
        """The one that saves most, and how many tokens they have in common: at least MIN_TOKENS."""
        matches = [(one, common_prefix(one.tokens, tokens)) for one in self._alike(space, tokens)]
        return max(matches, key=lambda match: match[1] - len(match[0].tokens) / _READ_COST, default=None)

    def covered(self, space: Space, tokens: TokenArray) -> int:
        """How many of them are stored in a prefix that is not much longer than they are."""
        alike = (one for one in self._alike(space, tokens) if len(one.tokens) <= 2 * len(tokens))
        return max((common_prefix(one.tokens, tokens) for one in alike), default=0)

    def superseded(self, stored: StoredPrefix) -> list[StoredPrefix]:
        """Those that `stored` holds as a whole, and that are not much shorter."""
        n = len(stored.tokens)
        return [
            one
            for one in self._alike(stored.space, stored.tokens)
            if one.path != stored.path and n < 2 * len(one.tokens) <= 2 * n
            if common_prefix(one.tokens, stored.tokens) == len(one.tokens)
        ]

    def _alike(self, space: Space, tokens: TokenArray) -> list[StoredPrefix]:
        return self._by_start.get((space, _start(tokens)), []) if len(tokens) >= MIN_TOKENS else []


def common_prefix(one: TokenArray, other: TokenArray) -> int:
    n = min(len(one), len(other))
    different = one[:n] != other[:n]
    return int(different.argmax()) if different.any() else n


def _start(tokens: TokenArray) -> bytes:
    return np.ascontiguousarray(tokens[:MIN_TOKENS]).tobytes()
