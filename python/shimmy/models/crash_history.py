"""When a model that keeps crashing may be started again: a pure function of its crashes."""

from __future__ import annotations

ALLOWED = 3
"""Crashes in a row, without an answer that ended well between them, before a model is put aside."""
FORGOTTEN_SECONDS = 60.0
"""After so long without another crash the next one is the first."""
FIRST_SECONDS = 5.0
MOST_SECONDS = 300.0


class CrashHistory:
    """The crashes of one model since something last went well. Times are seconds of one clock."""

    def __init__(self) -> None:
        self._count = 0
        self._until = 0.0  # it rests, or since when it does not
        self.reason = ""
        """Of the last one."""

    def record(self, now: float, reason: str) -> None:
        """From the third crash in a row on it rests, twice as long after each."""
        self._count = self._count + 1 if now < self._until + FORGOTTEN_SECONDS else 1
        self.reason = reason
        excess = self._count - ALLOWED
        self._until = now + (min(FIRST_SECONDS * 2**excess, MOST_SECONDS) if excess >= 0 else 0.0)

    def went_well(self) -> None:
        self._count = 0

    def rest(self, now: float) -> float:
        """Seconds until it may be started again; 0: now."""
        return max(0.0, self._until - now) if self._count >= ALLOWED else 0.0

    def describe(self, now: float) -> str:
        """Of one that rests, for people."""
        seconds = max(1, round(self.rest(now)))
        return f"it crashed {self._count} times in a row and rests for {seconds} s; last: {self.reason}"
