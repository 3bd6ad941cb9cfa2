"""Ids on every answer, so that a user's report can be found in a log: ours, and the client's own where it has one."""

from __future__ import annotations

import re
import secrets
from contextvars import ContextVar

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this task answers."""

OWN = "request-id"
ECHOED = "x-request-id"

_LEGAL = re.compile(r"[A-Za-z0-9._-]{1,128}")


class RequestId:
    """Adds `request-id`, an id of ours, and `x-request-id`, which is the client's header of that name where it holds 1
    to 128 letters, digits, dots, dashes and underscores, else ours too. A client's id is told and logged; nothing is
    ever looked up by it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        own = f"req_{secrets.token_hex(12)}"
        current.set(own)
        echoed = clients_id(scope) or own
        headers = [(ECHOED.encode(), echoed.encode()), (OWN.encode(), own.encode())]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_id)


def clients_id(scope: Scope) -> str | None:
    """The one that the client gave a request, or the handshake of a WebSocket; None where it is none that is told."""
    given = Headers(raw=scope.get("headers", [])).getlist(ECHOED)
    return given[0] if len(given) == 1 and _LEGAL.fullmatch(given[0]) else None
