"""The web pages: / to chat with a model that is there, /docs about the API. Plain files, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from shimmy.server.operation import TEXT, Family, Operation

HTML, STYLE, SCRIPT = "text/html", "text/css", "text/javascript"

_TYPES = {
    "index.html": HTML,
    "style.css": STYLE,
    "chat.js": SCRIPT,
    "docs.html": HTML,
    "docs.css": STYLE,
    "docs.js": SCRIPT,
}
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class PageRoutes:
    """The pages for browsers; whoever else asks for / gets the line by which Ollama's clients know their server."""

    def __init__(self) -> None:
        folder = files(__package__)
        self._files = {name: folder.joinpath(name).read_bytes() for name in _TYPES}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self._root, methods=["GET"]),
            Route("/docs", self._docs, methods=["GET"]),
            *(Route(f"/page/{name}", self._style, methods=["GET"]) for name in _TYPES if _TYPES[name] == STYLE),
            *(Route(f"/page/{name}", self._script, methods=["GET"]) for name in _TYPES if _TYPES[name] == SCRIPT),
        ]

    @Operation(Family.SHIMMY, "The page to chat on, for browsers", answers={TEXT: str, HTML: str})
    async def _root(self, request: Request) -> Response:
        if HTML in request.headers.get("accept", ""):
            return self._file("index.html")
        return PlainTextResponse("Ollama is running")

    @Operation(Family.SHIMMY, "The page about the API", answers={HTML: str})
    async def _docs(self, request: Request) -> Response:
        return self._file("docs.html")

    @Operation(Family.SHIMMY, "The looks of a page", answers={STYLE: str})
    async def _style(self, request: Request) -> Response:
        return self._file(request.url.path.rpartition("/")[2])

    @Operation(Family.SHIMMY, "The script of a page", answers={SCRIPT: str})
    async def _script(self, request: Request) -> Response:
        return self._file(request.url.path.rpartition("/")[2])

    def _file(self, name: str) -> Response:
        return Response(self._files[name], headers={**_HEADERS, "content-type": f"{_TYPES[name]}; charset=utf-8"})
