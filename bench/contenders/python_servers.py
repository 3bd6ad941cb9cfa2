"""Servers of Python packages that others install: llama-cpp-python's and xllamacpp's."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.util import find_spec
from pathlib import Path

from contenders.http_target import HttpTarget, open_server
from contenders.target import Contender, Setup

# xllamacpp's server runs inside the process that makes it, until that ends.
_XLLAMACPP = """
import sys, threading
import xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.port = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
server = xllamacpp.Server(params)
threading.Event().wait()
"""


class LlamaCppPython(Contender):
    """`python -m llama_cpp.server` at its defaults, but for the context, or with more options.

    By default a new request ends the one that runs; `--interrupt_requests false` lets them wait for each other.
    """

    def __init__(self, name: str = "llama-cpp-python", options: tuple[str, ...] = ()) -> None:
        self.name = name
        self._options = options

    def missing(self, peer_dir: Path | None) -> str | None:
        for module in ("llama_cpp", "sse_starlette", "starlette_context"):
            if find_spec(module) is None:
                return f"{module} is not installed (pip install 'llama-cpp-python[server]')"
        return None

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[HttpTarget]:
        def command(port: int) -> list[str]:
            serve = [sys.executable, "-m", "llama_cpp.server", "--host", "127.0.0.1", "--port", str(port)]
            return [*serve, "--model", str(setup.model), "--n_ctx", str(setup.n_ctx), *self._options]

        async with open_server(self.name, setup, command, health="/v1/models") as target:
            yield target


class Xllamacpp(Contender):
    """xllamacpp's HTTP server at its defaults, but for the context."""

    name = "xllamacpp"

    def missing(self, peer_dir: Path | None) -> str | None:
        return None if find_spec("xllamacpp") else "xllamacpp is not installed (pip install xllamacpp)"

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[HttpTarget]:
        def command(port: int) -> list[str]:
            return [sys.executable, "-c", _XLLAMACPP, str(setup.model), str(setup.n_ctx), str(port)]

        async with open_server(self.name, setup, command) as target:
            yield target
