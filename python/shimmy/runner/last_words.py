"""What a process said before it died: the lines that tell people why."""

from __future__ import annotations

import logging
import re
from collections import deque

_MOST_LINES = 4
_MOST_CHARACTERS = 400
_NOISE = ("Fatal Python error", "Current thread", "Thread 0x", "Extension modules", "  File ", "Aborted")
_FOLDER = re.compile(r"(?:/[\w.+@ -]+)+/(?=[\w.+-]+)")


class LastWords:
    """Remembers the last lines that are errors, or that no logger wrote, as native code does when it gives up."""

    def __init__(self) -> None:
        self._lines: deque[str] = deque(maxlen=_MOST_LINES)

    def hear(self, level: int | None, message: str) -> None:
        """`level` as in logging; None for a line without one."""
        text = message.strip()
        if text and not message.startswith(_NOISE) and (level is None or level >= logging.ERROR):
            self._lines.append(_FOLDER.sub("", text)[:_MOST_CHARACTERS])

    def __str__(self) -> str:
        """One line, without the folders of files; empty when nothing was said."""
        return "; ".join(dict.fromkeys(self._lines))
