"""HEAD and POST /api/blobs/DIGEST: files that clients bring, for models made of them."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.library.blob import blob_file
from shimmy.library.download import check_space
from shimmy.library.egress import DownloadError
from shimmy.library.library import Library
from shimmy.library.new_file import NewFile, sweep
from shimmy.server.body import BodyReader, drain
from shimmy.server.errors import native_error, problem_of
from shimmy.server.operation import BYTES, Family, Operation
from shimmy.server.request_record import CLIENT_LEFT, note_error

_BATCH = 4 * 1024 * 1024
"""Bytes that are written at once, on another thread than the event loop's."""


class BlobRoutes:
    """The handlers, and the list of routes that lead to them. A body may be as large as the disk has room for."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/api/blobs/{digest}", self._has, methods=["HEAD"]),
            Route("/api/blobs/{digest}", self._take, methods=["POST"]),
        ]

    @Operation(Family.OLLAMA, "Tell whether a file was sent", errors=(400, 404))
    async def _has(self, request: Request) -> Response:
        try:
            path = self._path(request)
        except ShimmyError as error:
            return Response(status_code=problem_of(error).status)
        return Response(status_code=200 if path.is_file() else 404)

    @Operation(
        Family.OLLAMA, "Send a file", body=bytes, takes=BYTES, may_be_empty=True, statuses=(200, 201), errors=(424,)
    )
    async def _take(self, request: Request) -> Response:
        """201 once it is there whole, 200 when it was before. No piece may take longer than `read_body_seconds`."""
        body = BodyReader(request.receive, request.app.state.live.now.read_body_seconds, whole=False)
        try:
            answer = await self._answer(request, body)
            if not body.complete and answer.status_code != 408 and "expect" not in request.headers:
                await drain(request.receive)
        except ClientDisconnect:
            return Response(status_code=CLIENT_LEFT)
        return answer

    async def _answer(self, request: Request, body: BodyReader) -> Response:
        try:
            path = self._path(request)
            if path.is_file():
                return Response(status_code=200)
            announced = request.headers.get("content-length", "")
            await self._store(body, path, int(announced) if announced.isdigit() else _BATCH)
        except (ShimmyError, OSError) as error:
            known = error if isinstance(error, ShimmyError) else _unwritable(error)
            problem = problem_of(known)
            note_error(problem)
            return Response(native_error(problem), problem.status, problem.headers, "application/json")
        return Response(status_code=201)

    def _path(self, request: Request) -> Path:
        return self._library.file(blob_file(request.path_params["digest"]))

    async def _store(self, body: BodyReader, path: Path, n_bytes: int) -> None:
        sweep(path.parent)
        with NewFile(path) as new:
            check_space(path.parent, n_bytes)
            digest = hashlib.sha256()

            def write(batch: bytes) -> None:
                check_space(path.parent, len(batch))
                digest.update(batch)
                new.file.write(batch)

            async for batch in _batches(body):
                await asyncio.to_thread(write, batch)
            if f"sha256-{digest.hexdigest()}" != path.name:
                raise InvalidRequestError(
                    f"the body has the digest sha256:{digest.hexdigest()}, not the one it was sent as", "digest"
                )
            await asyncio.to_thread(new.commit)


def _unwritable(error: OSError) -> ShimmyError:
    return DownloadError(f"the library cannot be written: {error.strerror or error}")


async def _batches(body: BodyReader) -> AsyncIterator[bytes]:
    """The body in pieces of some megabytes."""
    chunks: list[bytes] = []
    size = 0
    while not body.complete:
        chunk = await body.read()
        chunks.append(chunk)
        size += len(chunk)
        if size >= _BATCH:
            yield b"".join(chunks)
            chunks, size = [], 0
    if chunks:
        yield b"".join(chunks)
