"""Ollama's routes that change what models there are: pull, create (also of blobs that were sent), copy and delete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from typing import Any

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.discovery.classify import LOADABLE, classify
from shimmy.discovery.gguf_header import GgufError, read_header
from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.library.blob import blob_file
from shimmy.library.egress import DownloadError
from shimmy.library.library import Library
from shimmy.library.pull import Progress, Puller
from shimmy.library.record import Record
from shimmy.library.reference import check_name
from shimmy.models.adapter_names import refuse_adapter
from shimmy.models.entry import ModelEntry
from shimmy.models.manager import ModelManager
from shimmy.server.blobs import BlobRoutes
from shimmy.server.created_model import copied, created
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply
from shimmy.server.errors import native_error
from shimmy.server.generation import parts_of
from shimmy.server.ollama_answer import MEDIA_TYPE
from shimmy.server.operation import JSON, LINES, Family, Operation
from shimmy.server.pulls import Pulls
from shimmy.server.schemas.ollama import OllamaModelName
from shimmy.server.schemas.ollama_library import CopyRequest, CreateRequest, PullRequest

_ENCODER = msgspec.json.Encoder()
_SUCCESS = Progress(status="success")


class OllamaLibraryRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, manager: ModelManager, registry_url: str, max_body_bytes: int) -> None:
        self._manager = manager
        self._max_body_bytes = max_body_bytes
        self._puller = Puller(manager.registry.library, registry_url)
        self._pulls = Pulls(self._puller, manager.rescan)

    def routes(self) -> list[BaseRoute]:
        def route(path: str, handler: Any, method: str = "POST") -> BaseRoute:
            return Route(path, Endpoint(handler, native_error, self._max_body_bytes), methods=[method])

        return [
            route("/api/pull", self._pull),
            route("/api/create", self._create),
            route("/api/copy", self._copy),
            route("/api/delete", self._delete, "DELETE"),
            *BlobRoutes(self._manager.registry.library).routes(),
        ]

    def close(self) -> None:
        """End the pulls under way."""
        self._pulls.close()

    def pulling(self) -> list[str]:
        """The models that are on their way."""
        return self._pulls.names()

    @Operation(
        Family.OLLAMA,
        "Pull a model",
        body=PullRequest,
        example={"model": "hf.co/bartowski/Llama-3.2-1B-Instruct-GGUF"},
        answers={JSON: Progress, LINES: Progress},
        errors=(404, 424, 503),
    )
    async def _pull(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(PullRequest)
        if body.insecure:
            raise InvalidRequestError("insecure is not supported: set registry_url to an address of http", "insecure")
        name = _named(body.model or body.name)
        self._puller.reference(name)
        self._manager.registry.check_free(name.removeprefix("https://"))
        return await _told(self._pulls.follow(name), body.stream)

    @Operation(
        Family.OLLAMA,
        "Make a model of another one",
        body=CreateRequest,
        example={"model": "poet", "from": "shimmy-mini", "system": "You are a poet."},
        answers={JSON: Progress, LINES: Progress},
        errors=(404, 424),
    )
    async def _create(self, call: Call) -> Reply | StreamReply:
        body = await call.body.decode(CreateRequest)
        name = check_name(_named(body.model or body.name))
        self._manager.registry.check_free(name)
        if bool(body.files) == bool(body.from_):
            raise InvalidRequestError(
                "from is required: the model that it is made from; or files, but not both", "from"
            )
        if body.files:
            record = created(body, name, None, (await asyncio.to_thread(self._file, body.files),))
        else:
            record = created(body, name, await self._entry(body.from_ or ""), ())
        return await _told(self._creating(record), body.stream)

    def _file(self, files: dict[str, str]) -> str:
        """The one GGUF file that was sent before, as the library names it."""
        if len(files) != 1:
            raise InvalidRequestError(f"files must hold one GGUF file, got {len(files)}: merge the parts", "files")
        ((name, digest),) = files.items()
        file = blob_file(digest)
        try:
            kind = classify(read_header(self._manager.registry.library.file(file)))
        except FileNotFoundError:
            raise ModelNotFoundError(f"files: {name}: {digest} was not sent; POST it to /api/blobs first") from None
        except GgufError as error:
            reason = error.message.rpartition(f"{file}: ")[2]
            raise InvalidRequestError(f"files: {name} is no model that can be loaded: {reason}", "files") from error
        if kind not in LOADABLE:
            raise InvalidRequestError(f"files: {name} is of kind {kind} and cannot be loaded on its own", "files")
        return file

    async def _creating(self, record: Record) -> AsyncGenerator[Progress, None]:
        yield Progress(status="reading model metadata")
        for layer in ("template", "system", "parameters", "messages", "license"):
            if getattr(record, layer):
                yield Progress(status=f"creating {layer} layer")
        yield Progress(status="writing manifest")
        await self._change(record.name, lambda library: library.replace(record))
        yield _SUCCESS

    @Operation(
        Family.OLLAMA,
        "Give a model another name",
        body=CopyRequest,
        example={"source": "shimmy-mini", "destination": "mine"},
        answers={},
        errors=(404, 424),
    )
    async def _copy(self, call: Call) -> Reply:
        body = await call.body.decode(CopyRequest)
        name = check_name(body.destination)
        entry = await self._entry(body.source)
        if name != entry.name:
            self._manager.registry.check_free(name)
            record = copied(entry, name)
            await self._change(name, lambda library: library.replace(record))
        return Reply(b"")

    @Operation(
        Family.OLLAMA,
        "Delete a model",
        body=OllamaModelName,
        example={"model": "mine"},
        answers={},
        errors=(404, 424),
    )
    async def _delete(self, call: Call) -> Reply:
        body = await call.body.decode(OllamaModelName)
        entry = await self._entry(_named(body.model or body.name))
        if entry.record is None:
            raise InvalidRequestError(
                f"{entry.name} was not downloaded or created by shimmy, which deletes nothing else: remove its file "
                "yourself",
                "model",
            )
        await self._change(entry.name, lambda library: library.delete(entry.name))
        return Reply(b"")

    async def _entry(self, name: str) -> ModelEntry:
        """Also of a model that another process put into the library."""
        registry = self._manager.registry
        try:
            entry = registry.get(name)
        except ModelNotFoundError:
            await self._manager.rescan()
            entry = registry.get(name)
        refuse_adapter(entry)
        return entry

    async def _change(self, name: str, work: Callable[[Library], None]) -> None:
        """Do `work`, then make it known. DownloadError when the disk refuses."""
        try:
            await asyncio.to_thread(work, self._manager.registry.library)
        except OSError as error:
            raise DownloadError(f"{name}: the library cannot be written: {error.strerror or error}") from error
        await self._manager.rescan()


async def _told(lines: AsyncGenerator[Progress, None], stream: bool | None) -> Reply | StreamReply:
    if stream is False:
        async for _ in lines:
            pass
        return Reply(_ENCODER.encode(_SUCCESS))
    return StreamReply(MEDIA_TYPE, parts_of(lines, _line), lambda error: error + b"\n")


def _line(line: Progress) -> bytes:
    return _ENCODER.encode(line) + b"\n"


def _named(name: str | None) -> str:
    if not name:
        raise InvalidRequestError("model is required", "model")
    return name
