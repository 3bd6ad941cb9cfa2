"""`shimmy serve`."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contenders.http_target import HttpTarget, open_server
from contenders.target import Contender, Setup


class ShimmyServer(Contender):
    def __init__(self, name: str = "shimmy", flags: tuple[str, ...] = ()) -> None:
        self.name = name
        self._flags = flags

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[HttpTarget]:
        def command(port: int) -> list[str]:
            serve = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}"]
            serve += ["--model-path", str(setup.model), "--ctx", str(setup.n_ctx), "--kv-cache-disk", "0"]
            return [*serve, *self._flags]

        environ = {"SHIMMY_LORA_GGUF": os.pathsep.join(map(str, setup.adapters))} if setup.adapters else {}
        # An empty folder, so that no ./models is searched.
        with tempfile.TemporaryDirectory() as folder:
            opening = open_server(
                self.name,
                setup,
                command,
                environ=environ,
                cwd=Path(folder),
                lora=lambda name: {name: 1.0},
                fields={} if setup.drafts else {"speculation": False},
            )
            async with opening as target:
                yield target
