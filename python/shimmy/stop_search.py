"""Finds stop strings in streamed text, as the engine does, for answers whose text is made outside of it."""

from __future__ import annotations

from collections.abc import Iterable


class StopSearch:
    """Holds back what might become a stop string. Empty ones count as none."""

    def __init__(self, stop: Iterable[str]) -> None:
        self._stop = [text for text in stop if text]
        self._held = ""

    def push(self, text: str) -> tuple[str, str | None]:
        """Take more text; returns what can be shown, and the stop string that follows it, after which nothing may come.

        The one that ends first wins; of those ending together, the longest.
        """
        self._held += text
        found = [(self._held.find(stop) + len(stop), -len(stop), stop) for stop in self._stop if stop in self._held]
        if found:
            end, _, stop = min(found)
            return self._take(end - len(stop)), stop
        return self._take(len(self._held) - max(map(self._begun, self._stop), default=0)), None

    def flush(self) -> str:
        """What was held back."""
        return self._take(len(self._held))

    def _take(self, n: int) -> str:
        shown, self._held = self._held[:n], self._held[n:]
        return shown

    def _begun(self, stop: str) -> int:
        """How much of `stop` the text ends with."""
        longest = min(len(stop) - 1, len(self._held))
        return next((n for n in range(longest, 0, -1) if self._held.endswith(stop[:n])), 0)
