"""Which Host and Origin may talk to us: the defence against DNS rebinding and against foreign web pages."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from shimmy.server.errors import HttpError
from shimmy.server.refusal import refuse

LOOPBACK_HOSTS = frozenset(("localhost", "127.0.0.1", "::1"))

LOOPBACK_ORIGIN = r"https?://(localhost|127\.0\.0\.1|\[::1\])(:\d{1,5})?"

_HOST = re.compile(r"(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+))(?::\d{1,5})?")
_LOOPBACK_ORIGIN = re.compile(LOOPBACK_ORIGIN)


class Guard:
    """Refuses with 403, before any work, what a browser was lured into sending.

    Hosts: loopback names, the address that the connection came in on, and `hosts`; any port, because tunnels and
    containers change it. Origins: none, loopback ones, our own, and `origins` ("*" for all).
    """

    def __init__(self, app: ASGIApp, hosts: Iterable[str] = (), origins: Iterable[str] = ()) -> None:
        self._app = app
        self._hosts = LOOPBACK_HOSTS | {_bare(host) for host in hosts}
        self._origins = frozenset(origin.lower().rstrip("/") for origin in origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        reason = self._objection(scope)
        if reason is None:
            await self._app(scope, receive, send)
        else:
            await refuse(scope, receive, send, HttpError(403, reason, "forbidden"))

    def _objection(self, scope: Scope) -> str | None:
        if any(letter < " " or letter == "\x7f" for letter in scope["path"]):
            return "the path holds a control character"  # a route's pattern may match before it, a rule for paths not
        headers: dict[bytes, bytes] = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        name = _host_name(host)
        if name is None or not (name in self._hosts or name == _local_address(scope)):
            return f"Host {host!r} is not allowed: use localhost, or add it to allowed_hosts"
        origin = headers.get(b"origin")
        if origin is not None:
            return self._origin_objection(origin.decode("latin-1"), host)
        if headers.get(b"sec-fetch-site") == b"cross-site" and scope.get("method", "GET") not in ("GET", "HEAD"):
            return "cross-site requests are not allowed"
        return None

    def _origin_objection(self, origin: str, host: str) -> str | None:
        asked = origin.lower()
        same = asked in (f"http://{host.lower()}", f"https://{host.lower()}")
        if same or "*" in self._origins or asked in self._origins or _LOOPBACK_ORIGIN.fullmatch(asked):
            return None
        return f"Origin {origin!r} is not allowed: add it to cors_origins"


def _host_name(header: str) -> str | None:
    match = _HOST.fullmatch(header)
    return (match[1] or match[2]).lower() if match else None


def _bare(host: str) -> str:
    """A configured host without port and brackets."""
    return _host_name(host) or host.lower()


def _local_address(scope: Scope) -> Any:
    server = scope.get("server")
    return server[0].lower() if server else None
