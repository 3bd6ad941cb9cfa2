"""Policy: which files make way for others. No files, no clock."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

DEFAULT_BYTES = 4 << 30
MAX_AGE_SECONDS = 7 * 86_400
"""What nobody used for so long is removed: it is text that somebody wrote."""

_SHARE_OF_FREE = 10


class CacheFile(NamedTuple):
    path: Path
    n_bytes: int
    used: float
    """When it was last used, in seconds since the epoch."""


def budget_of(given: int | None, free_bytes: int, own_bytes: int) -> int:
    """The bytes that may be used: those given, else a tenth of what the disk has left without us, at most
    DEFAULT_BYTES.
    """
    return min(DEFAULT_BYTES, (free_bytes + own_bytes) // _SHARE_OF_FREE) if given is None else given


def accepts(n_bytes: int, budget: int) -> bool:
    """One file never takes all."""
    return n_bytes <= budget // 2


def to_remove(files: Iterable[CacheFile], n_bytes: int, budget: int, now: float) -> list[CacheFile]:
    """The files that go so that `n_bytes` more are within the budget: those too old, then those unused for longest."""
    by_use = sorted(files, key=lambda file: (file.used, file.path))
    total = n_bytes + sum(file.n_bytes for file in by_use)
    removed = []
    for file in by_use:
        if total <= budget and now - file.used <= MAX_AGE_SECONDS:
            break
        total -= file.n_bytes
        removed.append(file)
    return removed
