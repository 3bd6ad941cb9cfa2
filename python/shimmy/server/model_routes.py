"""shimmy's own routes about models: what there is, loading, unloading and how they are."""

from __future__ import annotations

import math
from collections.abc import Sequence

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError
from shimmy.keep_alive import keep_alive_seconds
from shimmy.model_info import EngineStats
from shimmy.models.entry import ModelEntry
from shimmy.models.manager import ModelManager, ModelStatus
from shimmy.models.virtual_names import Listed
from shimmy.server.endpoint import Call, Endpoint, Reply, StreamReply, reading
from shimmy.server.errors import native_error
from shimmy.server.load_progress import load_events
from shimmy.server.operation import EVENTS, JSON, Family, Operation
from shimmy.server.schemas.decoding import decode_query
from shimmy.server.schemas.model_routes import (
    Discovered,
    Loaded,
    Loading,
    LoadRequest,
    ModelLine,
    ModelLines,
    ModelState,
    UnloadQuery,
)


class ModelRoutes:
    """The handlers, and the list of routes that lead to them."""

    def __init__(self, manager: ModelManager, max_body_bytes: int) -> None:
        self._manager = manager
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        load = Endpoint(self._load_named, native_error, self._max_body_bytes)
        load_here = Endpoint(self._load_here, native_error, self._max_body_bytes)
        unload = Endpoint(self._unload_named, native_error, self._max_body_bytes)
        return [
            Route("/api/models", reading(self._list, native_error), methods=["GET"]),
            Route("/api/models/discover", reading(self._discover, native_error), methods=["POST"]),
            Route("/api/models/status", reading(self._statuses, native_error), methods=["GET"]),
            Route("/api/models/load", load, methods=["POST"]),
            Route("/api/models/unload", unload, methods=["POST"]),
            Route("/api/models/{name:path}/load", load_here, methods=["POST"]),
            Route("/api/models/{name:path}/unload", reading(self._unload, native_error), methods=["POST"]),
            Route("/api/models/{name:path}/status", reading(self._status, native_error), methods=["GET"]),
            Route("/api/models/{name:path}", reading(self._unload, native_error), methods=["DELETE"]),
        ]

    @Operation(Family.SHIMMY, "List the models and their states", answers={JSON: ModelLines})
    async def _list(self, request: Request) -> msgspec.Struct:
        return ModelLines(self._lines())

    @Operation(Family.SHIMMY, "Search for models again", answers={JSON: Discovered}, errors=(400,))
    async def _discover(self, request: Request) -> msgspec.Struct:
        await self._manager.rescan()
        lines = self._lines()
        return Discovered(sum(line.source == "discovered" for line in lines), lines)

    def _lines(self) -> list[ModelLine]:
        registry = self._manager.registry
        lines = [_line(entry, self._manager.status(entry.name)) for entry in registry.entries()]
        return [*lines, *(_virtual_line(one, lines) for one in registry.virtual_names())]

    @Operation(
        Family.SHIMMY,
        "Load a model",
        body=LoadRequest,
        example={"model": "shimmy-mini"},
        answers={JSON: Loaded, EVENTS: (Loading, Loaded)},
        errors=(404, 502, 503),
    )
    async def _load_named(self, call: Call) -> Reply | StreamReply:
        """With its progress as events for whoever asks for those."""
        body = await call.body.decode(LoadRequest)
        return await self._load(_named(body), call, keep_alive_seconds(body.keep_alive))

    @Operation(
        Family.SHIMMY,
        "Load a model",
        answers={JSON: Loaded, EVENTS: (Loading, Loaded)},
        errors=(400, 404, 408, 413, 502, 503),
    )
    async def _load_here(self, call: Call) -> Reply | StreamReply:
        """With its progress as events for whoever asks for those."""
        return await self._load(call.params["name"], call)

    async def _load(self, name: str, call: Call, keep_alive: float | None = None) -> Reply | StreamReply:
        if "text/event-stream" in call.headers.get("accept", ""):
            return await load_events(self._manager, name, self._loaded(name, keep_alive))
        return Reply(msgspec.json.encode(await self._loaded(name, keep_alive)))

    @Operation(
        Family.SHIMMY,
        "Unload a model",
        body=LoadRequest,
        example={"model": "shimmy-mini"},
        answers={JSON: Loaded},
        errors=(404, 503),
    )
    async def _unload_named(self, call: Call) -> Reply:
        return Reply(msgspec.json.encode(await self._unloaded(_named(await call.body.decode(LoadRequest)))))

    @Operation(Family.SHIMMY, "Unload a model", query=UnloadQuery, answers={JSON: Loaded}, errors=(400, 404, 503))
    async def _unload(self, request: Request) -> msgspec.Struct:
        query = decode_query(request.query_params, UnloadQuery)
        return await self._unloaded(request.path_params["name"], force=query.force)

    async def _loaded(self, name: str, keep_alive: float | None) -> Loaded:
        client = await self._manager.get(name, keep_alive)
        return Loaded(message=f"{name} is loaded", model=name, status="loaded", load_seconds=client.info.load_seconds)

    async def _unloaded(self, name: str, *, force: bool = False) -> Loaded:
        if await self._manager.unload(name, force=force):
            return Loaded(message=f"{name} was unloaded", model=name, status="unloaded")
        return Loaded(message=f"{name} was not loaded", model=name, status="unloaded")

    @Operation(Family.SHIMMY, "Tell how a model is", answers={JSON: ModelState}, errors=(404,))
    async def _status(self, request: Request) -> msgspec.Struct:
        return await self._state(self._manager.status(request.path_params["name"]))

    @Operation(Family.SHIMMY, "Tell how all models are", answers={JSON: list[ModelState]})
    async def _statuses(self, request: Request) -> list[msgspec.Struct]:
        return [await self._state(status) for status in self._manager.statuses()]

    async def _state(self, status: ModelStatus) -> ModelState:
        state = ModelState(
            model=status.name,
            status=status.state,
            loaded=status.state == "loaded",
            progress=status.progress,
            in_use=status.in_use,
            last_used=status.last_used,
            error=status.load_error,
            pinned=status.pinned,
            expires_at=None if status.expires_at in (None, math.inf) else status.expires_at,
        )
        if status.info is not None and self._manager.loaded(status.name) is not None:
            state.memory_bytes = round(status.held.ram) or None
            state.vram_bytes = status.info.vram_bytes
            state.vram_limit = status.info.vram_limit
            state.size_bytes = status.info.size_bytes
            state.n_ctx = status.info.n_ctx
            state.backend = status.info.backend
            state.devices = status.info.devices
            state.n_layer = status.info.n_layer
            state.n_gpu_layers = status.info.n_gpu_layers
            state.n_partial_layers = status.info.n_partial_layers
            state.memory = status.info.memory
            state.adapters = status.info.adapters
            if (stats := await self._manager.stats(status.name)) is not None:
                _count(state, stats)
        return state


def _count(state: ModelState, stats: EngineStats) -> None:
    state.running = stats.running
    state.waiting = stats.waiting
    state.kv_cells_used = stats.kv_cells_used
    state.kv_cells_total = stats.kv_cells_total
    state.tokens_per_second = round(stats.tokens_per_second, 2)


def _line(entry: ModelEntry, status: ModelStatus) -> ModelLine:
    return ModelLine(
        name=entry.name,
        size_bytes=entry.size_bytes,
        model_type=entry.kind,
        parameter_count=entry.model.size_label,
        source=entry.source,
        architecture=entry.model.architecture,
        quantization=entry.model.quantization,
        context_length=entry.model.n_ctx_train,
        adapters=sorted(entry.adapters),
        aliases=list(entry.aliases),
        state=status.state,
        capabilities=sorted(entry.abilities),
    )


def _virtual_line(virtual: Listed, lines: Sequence[ModelLine]) -> ModelLine:
    states = {line.state for line in lines if line.name in virtual.models}
    return ModelLine(
        name=virtual.name,
        size_bytes=0,
        model_type="virtual",
        parameter_count="",
        source="registered",
        architecture=None,
        quantization=None,
        context_length=None,
        adapters=[],
        aliases=[],
        state=next((state for state in ("loaded", "loading", "unloaded") if state in states), "failed"),
        capabilities=list(virtual.abilities),
        chooses=virtual.chooses,
        models=list(virtual.models),
    )


def _named(body: LoadRequest) -> str:
    name = body.model or body.name
    if not name:
        raise InvalidRequestError("model is required", "model")
    return name
