"""The loading of a model as server-sent events: how far it is, then that it is loaded."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable

import msgspec

from shimmy.models.manager import ModelManager
from shimmy.server import sse
from shimmy.server.endpoint import StreamReply
from shimmy.server.schemas.model_routes import Loaded, Loading

_LOOK_SECONDS = 0.1


async def load_events(manager: ModelManager, name: str, loading: Awaitable[Loaded]) -> StreamReply:
    """Events "progress", each when it has changed, then "loaded"; "error" for a load that fails later. One that fails
    at once raises. The load goes on when the client leaves: others may wait for it.
    """
    task = asyncio.ensure_future(loading)
    task.add_done_callback(_retrieve)
    try:
        await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        if task.done():
            task.result()
    except BaseException:
        task.cancel()
        raise
    return StreamReply(sse.MEDIA_TYPE, _parts(manager, name, task), lambda error: sse.named_event("error", error))


def _retrieve(task: asyncio.Future[Loaded]) -> None:
    """Look at the error of a load whose client has left, so that asyncio does not warn about it."""
    if not task.cancelled():
        task.exception()


async def _parts(manager: ModelManager, name: str, task: asyncio.Future[Loaded]) -> AsyncGenerator[bytes, None]:
    told = -1.0
    try:
        while not task.done():
            progress = manager.status(name).progress
            if progress != told:
                told = progress
                event = Loading(model=name, status="loading", progress=round(progress, 4))
                yield sse.named_event("progress", msgspec.json.encode(event))
            await asyncio.wait({task}, timeout=_LOOK_SECONDS)
        yield sse.named_event("loaded", msgspec.json.encode(await task))
    finally:
        task.cancel()
