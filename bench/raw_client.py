"""An HTTP client that costs little beside the server it measures: bytes and their times now, what they mean later."""

from __future__ import annotations

import asyncio
import json
import time
from types import TracebackType
from typing import Any, cast

from client import Events, HttpError
from sse import SseParser

_LAST_CHUNK = b"0\r\n\r\n"


class RawConnection:
    """One kept connection, one request at a time. One that the server closed is opened anew by the next request, within
    the time that is measured.
    """

    def __init__(self, port: int, wire: _Wire) -> None:
        self._port = port
        self._wire = wire

    @classmethod
    async def open(cls, port: int) -> RawConnection:
        return cls(port, await _connect(port))

    @property
    def closed(self) -> bool:
        return self._wire.closed

    async def stream(self, path: str, body: dict[str, Any]) -> Events:
        """Everything that a streamed answer sent. HttpError for an answer that is not 200, ConnectionError for one that
        is cut off.
        """
        started, arrivals = await self._ask(request("POST", path, body))
        return Events(started, arrivals[-1][0], events_of(arrivals))

    async def ask(self, path: str, body: dict[str, Any] | None = None) -> float:
        """Seconds until a whole answer came; without a body it is a GET. Raises as `stream`."""
        started, arrivals = await self._ask(request("GET" if body is None else "POST", path, body))
        return arrivals[-1][0] - started

    def close(self) -> None:
        self._wire.close()

    async def _ask(self, data: bytes) -> tuple[float, list[tuple[float, bytes]]]:
        started = time.perf_counter()
        if not self._wire.closed:
            try:
                return started, await self._wire.ask(data)
            except ConnectionError:
                if self._wire.arrivals:
                    raise
        self._wire = await _connect(self._port)
        return started, await self._wire.ask(data)


class _Wire(asyncio.Protocol):
    """A connection until its end."""

    def __init__(self) -> None:
        self.closed = False
        self.arrivals: list[tuple[float, bytes]] = []
        self._done: asyncio.Future[None] | None = None
        self._missing: int | None = None
        """Bytes of an answer with a length that have not come yet; None while its head is unknown, -1 for chunks."""
        self._tail = b""
        """The last bytes of the body, enough to see its end."""

    async def ask(self, data: bytes) -> list[tuple[float, bytes]]:
        self.arrivals = []
        self._missing = None
        self._tail = b""
        self._done = asyncio.get_running_loop().create_future()
        self._transport.write(data)
        await self._done
        return self.arrivals

    def close(self) -> None:
        self.closed = True
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.WriteTransport, transport)

    def data_received(self, data: bytes) -> None:
        if self._done is None or self._done.done():
            return
        self.arrivals.append((time.perf_counter(), data))
        if self._missing is None:
            data = self._read_head()
        elif self._missing > 0:
            self._missing -= len(data)
        self._tail = (self._tail + data)[-len(_LAST_CHUNK) :]
        if self._missing == 0 or (self._missing == -1 and self._tail == _LAST_CHUNK):
            self._done.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self.closed = True
        if self._done is not None and not self._done.done():
            came = b"".join(data for _, data in self.arrivals)
            self._done.set_exception(ConnectionError(f"the server closed the connection after {came[-200:]!r}"))

    def _read_head(self) -> bytes:
        """Gives what came behind the head."""
        head, end, rest = b"".join(data for _, data in self.arrivals).partition(b"\r\n\r\n")
        if not end:
            return b""
        if not head.startswith(b"HTTP/1.1 200"):
            assert self._done is not None
            text = (head + end + rest).decode(errors="replace")
            self._done.set_exception(HttpError(int(head.split(b" ", 2)[1]), text[:500]))
            self.close()  # the rest of it may be on the way
            return b""
        lines = [line.partition(b":") for line in head.lower().split(b"\r\n")]
        length = next((int(value) for name, _, value in lines if name == b"content-length"), None)
        self._missing = -1 if length is None else length - len(rest)
        return rest


class RawClient:
    """Keeps its connections open between requests; as many at once as are asked for."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[RawConnection] = []

    async def __aenter__(self) -> RawClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for connection in self._free:
            connection.close()

    async def stream(self, path: str, body: dict[str, Any]) -> Events:
        """Raises as RawConnection.stream."""
        connection = self._free.pop() if self._free else await RawConnection.open(self._port)
        try:
            events = await connection.stream(path, body)
        except BaseException:
            connection.close()  # there may be more of the answer
            raise
        self._free.append(connection)
        return events


async def _connect(port: int) -> _Wire:
    _, wire = await asyncio.get_running_loop().create_connection(_Wire, "127.0.0.1", port)
    return wire


def request(method: str, path: str, body: dict[str, Any] | None = None) -> bytes:
    """One request as it goes over the wire."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(content)}\r\n\r\n".encode() + content


def events_of(arrivals: list[tuple[float, bytes]]) -> list[tuple[float, str]]:
    """The data of each event of a chunked answer with the time at which its end came, without the final [DONE]."""
    parser = SseParser()
    events: list[tuple[float, str]] = []
    waiting = b""
    in_body = False
    for moment, data in arrivals:
        waiting += data
        if not in_body:
            _, end, rest = waiting.partition(b"\r\n\r\n")
            if not end:
                continue
            waiting, in_body = rest, True
        content = []
        while (at := waiting.find(b"\r\n")) >= 0:
            size = int(waiting[:at], 16)
            if len(waiting) < at + 4 + size:
                break
            content.append(waiting[at + 2 : at + 2 + size])
            waiting = waiting[at + 4 + size :]
        events += [(moment, text) for text in parser.feed(b"".join(content)) if text != "[DONE]"]
    return events
