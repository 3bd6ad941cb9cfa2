"""GET /openapi.json."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route

from shimmy.server.auth import Keyring
from shimmy.server.openapi import document
from shimmy.server.operation import JSON, Family, Operation


class DocumentRoutes:
    """The document of `routes` and of its own; made when it is first asked for."""

    def __init__(self, routes: Sequence[BaseRoute], version: str, keys: Keyring) -> None:
        self._others = routes
        self._version = version
        self._keys = keys
        self._documents: dict[bool, bytes] = {}
        """By whether keys are asked for."""

    def routes(self) -> list[BaseRoute]:
        return [Route("/openapi.json", self._document, methods=["GET"])]

    @Operation(Family.SHIMMY, "Describe all routes, as OpenAPI does", answers={JSON: dict[str, Any]})
    async def _document(self, request: Request) -> Response:
        return Response(await asyncio.to_thread(self._made), media_type=JSON)

    def _made(self) -> bytes:
        keyed = bool(self._keys)
        if keyed not in self._documents:
            made = document([*self._others, *self.routes()], self._version, keyed=keyed)
            self._documents[keyed] = msgspec.json.encode(made)
        return self._documents[keyed]
