"""One WebSocket connection: uvicorn's, which leaves it to the application when to close it as the server stops."""

from __future__ import annotations

import asyncio

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

STOPPING = "shimmy.stopping"
"""The ASGI extension whose `event` (asyncio.Event) is set when the server stops."""


class SocketConnection(WebSocketsSansIOProtocol):
    """At shutdown sets the event of STOPPING, and leaves the connection open: closed at once, as uvicorn does it,
    what is being answered on it would be lost.
    """

    _stopping: asyncio.Event | None = None

    def shutdown(self) -> None:
        if self._stopping is not None and self.handshake_complete and not self.close_sent:
            self._stopping.set()
        else:
            super().shutdown()

    async def run_asgi(self) -> None:
        self._stopping = asyncio.Event()
        self.scope["extensions"] = {**(self.scope["extensions"] or {}), STOPPING: {"event": self._stopping}}
        await super().run_asgi()
