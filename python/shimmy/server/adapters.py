"""Routes about the LoRA adapters of a model: shimmy's own and llama-server's."""

from __future__ import annotations

import msgspec
from starlette.requests import Request
from starlette.routing import BaseRoute, Route

from shimmy.errors import InvalidRequestError
from shimmy.models.adapter_admin import AdapterAdmin, AdapterStatus
from shimmy.models.manager import ModelManager
from shimmy.server.endpoint import Call, Endpoint, Reply, reading
from shimmy.server.errors import native_error, openai_error
from shimmy.server.model_choice import model_meant
from shimmy.server.operation import JSON, Family, Operation
from shimmy.server.schemas.adapters import (
    AdapterLine,
    AdapterLines,
    AdapterLoad,
    AdapterScales,
    NumberedAdapter,
    NumberedScales,
    ScalesSet,
)
from shimmy.server.schemas.decoding import decode_query
from shimmy.server.schemas.llama_server import ModelChoice


class AdapterRoutes:
    """The handlers, and the list of routes that lead to them; it stands before that of `ModelRoutes`."""

    def __init__(self, manager: ModelManager, max_body_bytes: int) -> None:
        self._manager = manager
        self._admin = AdapterAdmin(manager)
        self._max_body_bytes = max_body_bytes

    def routes(self) -> list[BaseRoute]:
        every = "/api/models/{name:path}/adapters"
        load = Endpoint(self._load, native_error, self._max_body_bytes)
        scale = Endpoint(self._scale, native_error, self._max_body_bytes)
        set_numbered = Endpoint(self._set_numbered, openai_error, self._max_body_bytes)
        return [
            Route(every, reading(self._list, native_error), methods=["GET"]),
            Route(every, load, methods=["POST"]),
            Route(every, scale, methods=["PATCH"]),
            Route(every + "/{adapter:path}", reading(self._unload, native_error), methods=["DELETE"]),
            Route("/lora-adapters", reading(self._numbered, openai_error), methods=["GET"]),
            Route("/lora-adapters", set_numbered, methods=["POST"]),
        ]

    @Operation(Family.SHIMMY, "List the adapters of a model", answers={JSON: AdapterLines}, errors=(400, 404))
    async def _list(self, request: Request) -> AdapterLines:
        return await self._lines(request.path_params["name"])

    @Operation(
        Family.SHIMMY,
        "Load an adapter",
        body=AdapterLoad,
        example={"name": "pirate", "scale": 0.5},
        answers={JSON: AdapterLines},
        errors=(404, 429, 502, 503),
    )
    async def _load(self, call: Call) -> Reply:
        """One of the same name is replaced; requests that run keep what they began with. Loads the model too."""
        body = await call.body.decode(AdapterLoad)
        await self._admin.load(call.params["name"], body.name, body.path, body.scale)
        return _json(await self._lines(call.params["name"]))

    @Operation(
        Family.SHIMMY,
        "Set default scales of adapters",
        body=AdapterScales,
        example={"scales": {"pirate": 0.5}},
        answers={JSON: AdapterLines},
        errors=(404,),
    )
    async def _scale(self, call: Call) -> Reply:
        """For requests from now on that name no adapter."""
        body = await call.body.decode(AdapterScales)
        self._admin.set_scales(call.params["name"], body.scales)
        return _json(await self._lines(call.params["name"]))

    @Operation(Family.SHIMMY, "Unload an adapter", answers={JSON: AdapterLines}, errors=(400, 404))
    async def _unload(self, request: Request) -> AdapterLines:
        """Requests that use it finish with it; later ones that name it are refused, until it is loaded again."""
        name = request.path_params["name"]
        await self._admin.unload(name, request.path_params["adapter"])
        return await self._lines(name)

    @Operation(
        Family.LLAMA_SERVER,
        "List the adapters of a model",
        query=ModelChoice,
        answers={JSON: list[NumberedAdapter]},
        errors=(400, 404),
    )
    async def _numbered(self, request: Request) -> list[NumberedAdapter]:
        statuses = await self._admin.statuses(self._model(decode_query(request.query_params, ModelChoice)))
        return [
            NumberedAdapter(id=number, path=status.path.name, scale=status.scale)
            for number, status in enumerate(statuses)
        ]

    @Operation(
        Family.LLAMA_SERVER,
        "Set the default scales of all adapters",
        body=NumberedScales,
        example=[{"id": 0, "scale": 0.5}],
        query=ModelChoice,
        answers={JSON: ScalesSet},
        errors=(404,),
    )
    async def _set_numbered(self, call: Call) -> Reply:
        """Adapters that are not named are not applied any more."""
        body = await call.body.decode(NumberedScales)
        model = self._model(decode_query(call.query, ModelChoice))
        names = [status.name for status in await self._admin.statuses(model)]
        scales = dict.fromkeys(names, 0.0)
        for one in body:
            if one.id >= len(names):
                raise InvalidRequestError(f"id is {one.id}: there is no adapter of that number, of {len(names)}", "id")
            scales[names[one.id]] = one.scale
        self._admin.set_scales(model, scales)
        return _json(ScalesSet())

    def _model(self, choice: ModelChoice) -> str:
        return model_meant(self._manager, choice.model)

    async def _lines(self, model: str) -> AdapterLines:
        statuses = await self._admin.statuses(model)
        return AdapterLines(model=model, adapters=[_line(number, one) for number, one in enumerate(statuses)])


def _line(number: int, status: AdapterStatus) -> AdapterLine:
    return AdapterLine(
        id=number,
        name=status.name,
        file=status.path.name,
        scale=status.scale,
        state=status.state,
        size_bytes=status.size_bytes,
        error=status.error,
    )


def _json(value: msgspec.Struct) -> Reply:
    return Reply(msgspec.json.encode(value))
