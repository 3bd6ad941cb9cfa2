"""Server-sent events, as they come in."""

from __future__ import annotations


class SseParser:
    """Takes bytes cut anywhere; gives the data of each complete event (WHATWG HTML, 9.2.6; \\n and \\r\\n ends)."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []

    def feed(self, chunk: bytes) -> list[str]:
        """The events that `chunk` completes; comments and other fields than data are dropped."""
        lines = (self._rest + chunk).split(b"\n")
        self._rest = lines.pop()
        events = []
        for raw in lines:
            line = raw.removesuffix(b"\r")
            if line.startswith(b"data:"):
                self._data.append(line[5:].removeprefix(b" "))
            elif not line and self._data:
                events.append(b"\n".join(self._data).decode("utf-8", "replace"))
                self._data = []
        return events
