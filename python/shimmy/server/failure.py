"""What a bug of ours is answered with, where no route caught it."""

from __future__ import annotations

import logging

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from shimmy.server.endpoint import unexpected
from shimmy.server.refusal import refuse

logger = logging.getLogger("shimmy.server")


class Failures:
    """Logs what the app below it raises, and answers 500 unless an answer has begun: then the connection breaks.

    Stands below what records requests and gives them their ids, which the framework's own handler does not.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = False

        async def send_and_note(message: Message) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            await self._app(scope, receive, send_and_note)
        except Exception:
            if begun:
                raise
            logger.exception("a request failed unexpectedly")
            await refuse(scope, receive, send, unexpected())
