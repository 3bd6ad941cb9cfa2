"""One HTTP connection: uvicorn's, with the limits that it lacks."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from http import HTTPStatus
from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from shimmy.server.connection_limit import ConnectionLimit, most_connections
from shimmy.server.direct_answer import DIRECT, DirectAnswer
from shimmy.server.errors import HttpError, problem_of, shape_for
from shimmy.settings import Settings

MAX_HEAD_BYTES = 32 * 1024
MAX_HEADERS = 100


class HeadTooLargeError(Exception):
    """Ends the parser's work; its caller answers."""


class Connection(HttpToolsProtocol):
    """Cut with 408 when a request's head takes longer than `head_seconds`, without a word when nothing came, with 431
    when it is too large, with 503 when it is one too many by `limit`; dropped when its client read nothing for
    `stall_seconds` of what waits for it.

    uvicorn itself closes only connections that are idle between two requests.
    """

    head_seconds = 10.0
    stall_seconds = 60.0
    limit = ConnectionLimit(None, None)

    _head_timer: asyncio.TimerHandle | None = None
    _stall_timer: asyncio.TimerHandle | None = None
    _in_message = False
    """From the end of a request's head to the end of its body."""
    _in_head = False
    """From a request's first byte to the end of its head."""
    _n_waiting = 0
    """Bytes that came since the last request's end without completing a head."""
    _head_bytes = 0
    _too_large = False
    _started: RequestResponseCycle | None = None
    """Of the request that was started last; `cycle` is that of the last one whose head came, which may wait for it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        try:
            self.limit.check(self.client[0] if self.client else None, self.connections)
        except HttpError as error:
            self._refuse(error)
        else:
            self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_stall_timer()
        self._end_work()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._is_answered:
            # Also for what is left of a body whose answer was sent before its end.
            self._start_head_timer()
        if not self._in_message:
            self._n_waiting += len(data)
        super().data_received(data)
        if not self._in_message and self._n_waiting > MAX_HEAD_BYTES and not self.transport.is_closing():
            self._refuse_size()

    def on_message_begin(self) -> None:
        self._in_head = True
        self._head_bytes = 0
        super().on_message_begin()

    def on_url(self, url: bytes) -> None:
        self._count(len(url))
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value))
        if len(self.headers) >= MAX_HEADERS:
            self._too_large = True
            raise HeadTooLargeError
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        self._in_head = False
        self._in_message = True
        self._n_waiting = 0
        self._stop_head_timer()
        scope = self.scope
        super().on_headers_complete()
        if self.cycle is not None and self.cycle.scope is scope:  # not so for a WebSocket
            cast(dict[str, Any], scope)[DIRECT] = DirectAnswer(self.cycle)
            if len(self.pipeline) == 1:
                self.flow.resume_reading()  # who does not read does not see the client leave

    def on_message_complete(self) -> None:
        self._in_message = False
        super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._started = cycle
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_head and self._is_answered:  # one that began while the answer was being written
            self._start_head_timer()

    def send_400_response(self, msg: str) -> None:
        if self._too_large:
            self._refuse_size()
        else:
            self._refuse(HttpError(400, "this is not a valid HTTP request"))

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._stall_timer is None:
            self._watch_stall()

    def resume_writing(self) -> None:
        self._stop_stall_timer()
        super().resume_writing()

    @property
    def _is_answered(self) -> bool:
        """No request is being worked on; uvicorn's cycle is that of the last one whose head came."""
        return self.cycle is None or self.cycle.response_complete

    def _end_work(self) -> None:
        """Tell the request that runs that its client has left, and forget those that wait; uvicorn tells the last."""
        self.pipeline.clear()
        if self._started is not None and not self._started.response_complete:
            self._started.disconnected = True
            self._started.message_event.set()

    def _start_head_timer(self) -> None:
        """Unless it runs."""
        if self._head_timer is None:
            self._head_timer = self.loop.call_later(self.head_seconds, self._head_is_late)

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_stall_timer(self) -> None:
        if self._stall_timer is not None:
            self._stall_timer.cancel()
            self._stall_timer = None

    def _watch_stall(self) -> None:
        """Nothing is added while writing is paused: what waits to be read must shrink from one look to the next."""
        waiting = self._n_unread()

        def look() -> None:
            if self._n_unread() < waiting:
                self._watch_stall()
            else:
                self._stall_timer = None
                self._end_work()  # nothing may be written between here and `connection_lost`
                self.transport.abort()

        self._stall_timer = self.loop.call_later(self.stall_seconds, look)

    def _n_unread(self) -> int:
        """Bytes in our buffer and, where it can be asked, the system's, which may take megabytes at once from ours."""
        n_bytes = self.transport.get_write_buffer_size()
        if sys.platform == "linux":
            import fcntl
            import termios

            handle = self.transport.get_extra_info("socket").fileno()
            with contextlib.suppress(OSError):
                n_bytes += int.from_bytes(fcntl.ioctl(handle, termios.TIOCOUTQ, bytes(4)), sys.byteorder)
        return n_bytes

    def _head_is_late(self) -> None:
        self._head_timer = None
        if self.transport.is_closing():
            return
        if self._in_head:
            self._refuse(HttpError(408, f"the request's head took longer than {self.head_seconds:g} s"))
        else:
            self.transport.close()

    def _count(self, n_bytes: int) -> None:
        self._head_bytes += n_bytes
        if self._head_bytes > MAX_HEAD_BYTES:
            self._too_large = True
            raise HeadTooLargeError

    def _refuse_size(self) -> None:
        limits = f"{MAX_HEAD_BYTES} bytes or {MAX_HEADERS} headers"
        self._refuse(HttpError(431, f"the request's head is larger than {limits}", "request_head_too_large"))

    def _refuse(self, error: HttpError) -> None:
        """An answer without the application, unless an earlier request's is still being written; then the end."""
        if self._is_answered:
            path = self.url.decode("latin-1") if self._in_head else ""
            problem = problem_of(error)
            body = shape_for(path)(problem)
            headers = {"content-type": "application/json", "content-length": len(body), "connection": "close"}
            lines = [f"{name}: {value}\r\n" for name, value in {**headers, **problem.headers}.items()]
            head = f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{''.join(lines)}\r\n"
            self.transport.write(head.encode() + body)
        self.transport.close()


def connection_type(settings: Settings) -> type[Connection]:
    """What uvicorn makes of each connection: it hands over no options of ours."""
    limits = {
        "head_seconds": settings.read_head_seconds,
        "stall_seconds": settings.write_stall_seconds,
        "limit": ConnectionLimit(most_connections(), settings.connections_per_address or None),
    }
    return type("Connection", (Connection,), limits)
