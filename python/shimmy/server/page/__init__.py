"""The web page at /: chat with a model that is there. Plain files, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "style.css": "text/css; charset=utf-8",
    "chat.js": "text/javascript; charset=utf-8",
}
_HEADERS = {
    "cache-control": "no-cache",
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}


class PageRoutes:
    """The page for browsers; whoever else asks for / gets the line by which Ollama's clients know their server."""

    def __init__(self) -> None:
        folder = files(__package__)
        self._files = {name: folder.joinpath(name).read_bytes() for name in _TYPES}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self._root, methods=["GET"]),
            Route("/page/style.css", self._style, methods=["GET"]),
            Route("/page/chat.js", self._script, methods=["GET"]),
        ]

    async def _root(self, request: Request) -> Response:
        if "text/html" in request.headers.get("accept", ""):
            return self._file("index.html")
        return PlainTextResponse("Ollama is running")

    async def _style(self, request: Request) -> Response:
        return self._file("style.css")

    async def _script(self, request: Request) -> Response:
        return self._file("chat.js")

    def _file(self, name: str) -> Response:
        return Response(self._files[name], headers={**_HEADERS, "content-type": _TYPES[name]})
