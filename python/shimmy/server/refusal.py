"""What a middleware answers instead of letting a request in."""

from __future__ import annotations

from starlette.types import Receive, Scope, Send

from shimmy.errors import ShimmyError
from shimmy.server.errors import problem_of, shape_for
from shimmy.server.request_record import note_error


async def refuse(scope: Scope, receive: Receive, send: Send, error: ShimmyError, *headers: tuple[bytes, bytes]) -> None:
    """The error in the shape that callers of this path understand; a socket is closed with it as the reason."""
    problem = problem_of(error)
    note_error(problem)
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": error.message[:120]})
        return
    body = shape_for(scope["path"])(problem)
    every = [(b"content-type", b"application/json"), (b"content-length", str(len(body)).encode()), *headers]
    every += [(name.encode(), value.encode()) for name, value in problem.headers.items()]
    await send({"type": "http.response.start", "status": problem.status, "headers": every})
    await send({"type": "http.response.body", "body": body})
