"""An id of our own on every answer, so that a user's report can be found in a log."""

from __future__ import annotations

import secrets
from contextvars import ContextVar

from starlette.types import ASGIApp, Message, Receive, Scope, Send

current: ContextVar[str | None] = ContextVar("request_id", default=None)
"""The id of the request that this task answers."""


class RequestId:
    """Adds `x-request-id` (OpenAI's name for it) and `request-id` (Anthropic's). A caller's header of those names is
    ignored: its ids must never become ours.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = f"req_{secrets.token_hex(12)}"
        current.set(request_id)
        headers = [(b"x-request-id", request_id.encode()), (b"request-id", request_id.encode())]

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *headers]
            await send(message)

        await self._app(scope, receive, send_with_id)
