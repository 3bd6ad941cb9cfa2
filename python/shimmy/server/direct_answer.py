"""Parts of an answer written to its connection at once, past ASGI and all that is between.

What stands between the application and the server has to do with the beginning and the end of an answer, not with each
of its tokens.
"""

from __future__ import annotations

from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

DIRECT = "shimmy.direct"
"""Where a scope has the `DirectAnswer`; there is none where another server than `Connection` runs the application."""


class DirectAnswer:
    """The answer to one request, once its first part was sent by ASGI's `send`, and before its last."""

    def __init__(self, cycle: RequestResponseCycle) -> None:
        self._cycle = cycle

    def is_open(self) -> bool:
        """Whether a part can be written now; not while the client does not read. ASGI's `send` waits for it."""
        cycle = self._cycle
        if cycle.flow.write_paused or cycle.disconnected or cycle.response_complete or cycle.transport.is_closing():
            return False
        return cycle.response_started and cycle.chunked_encoding is True

    def write(self, part: bytes) -> None:
        """Write a part that is not empty, while it `is_open`."""
        self._cycle.transport.write(b"%x\r\n%b\r\n" % (len(part), part))
