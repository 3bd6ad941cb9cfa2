"""The web pages: / to chat with a model that is there, /docs about the API. Plain files, nothing from elsewhere."""

from __future__ import annotations

from importlib.resources import files
from pathlib import PurePath

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import BaseRoute, Route

from shimmy.server.errors import HttpError
from shimmy.server.operation import TEXT, Family, Operation

HTML, STYLE, SCRIPT = "text/html", "text/css", "text/javascript"

_TYPES = {".html": HTML, ".css": STYLE, ".js": SCRIPT}
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
        self._files = {file.name: file.read_bytes() for file in files(__package__).iterdir() if _kind(file.name)}

    def routes(self) -> list[BaseRoute]:
        return [
            Route("/", self._root, methods=["GET"]),
            Route("/docs", self._docs, methods=["GET"]),
            Route("/page/{file}", self._file, methods=["GET"]),
        ]

    @Operation(Family.SHIMMY, "The page to chat on, for browsers", answers={TEXT: str, HTML: str})
    async def _root(self, request: Request) -> Response:
        if HTML in request.headers.get("accept", ""):
            return self._answer("index.html")
        return PlainTextResponse("Ollama is running")

    @Operation(Family.SHIMMY, "The page about the API", answers={HTML: str})
    async def _docs(self, request: Request) -> Response:
        return self._answer("docs.html")

    @Operation(
        Family.SHIMMY, "The scripts and the looks of the pages", answers={SCRIPT: str, STYLE: str}, errors=(404,)
    )
    async def _file(self, request: Request) -> Response:
        name = request.path_params["file"]
        if name not in self._files or _kind(name) == HTML:
            raise HttpError(404, f"the pages have no file {name!r}", "file_not_found")
        return self._answer(name)

    def _answer(self, name: str) -> Response:
        headers = {**_HEADERS, "content-type": f"{_kind(name)}; charset=utf-8"}
        return Response(self._files[name], headers=headers)


def _kind(name: str) -> str | None:
    """The media type of a page's file; None for what is none."""
    return _TYPES.get(PurePath(name).suffix)
