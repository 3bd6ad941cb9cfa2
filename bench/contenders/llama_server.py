"""llama-server, from the sources that we compile: at its defaults, tuned by its flags, and speculating."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contenders.http_target import HttpTarget, open_server
from contenders.target import Contender, Setup


class LlamaServer(Contender):
    programs = ("llama-server",)

    def __init__(self, name: str = "llama-server", flags: tuple[str, ...] = (), needs_flag: str | None = None) -> None:
        self.name = name
        self._flags = flags
        self._needs_flag = needs_flag

    def missing(self, peer_dir: Path | None) -> str | None:
        if (reason := super().missing(peer_dir)) or self._needs_flag is None or peer_dir is None:
            return reason
        done = subprocess.run([peer_dir / "llama-server", "--help"], capture_output=True, text=True, check=False)
        known = self._needs_flag in done.stdout + done.stderr
        return None if known else f"this llama-server has no {self._needs_flag}"

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[HttpTarget]:
        if setup.peer_dir is None:
            raise ValueError("llama-server needs Setup.peer_dir")
        program = str(setup.peer_dir / "llama-server")
        names = [path.stem for path in setup.adapters]

        def command(port: int) -> list[str]:
            line = [program, "-m", str(setup.model), "-c", str(setup.n_ctx), "--host", "127.0.0.1"]
            line += ["--port", str(port), "--no-ui", *self._flags]
            if setup.adapters:
                line += ["--lora", ",".join(map(str, setup.adapters)), "--lora-init-without-apply"]
            return [*line, "--embeddings", "--pooling", "mean"] if setup.embeddings else line

        def lora(name: str) -> list[dict[str, float]]:
            return [{"id": names.index(name), "scale": 1.0}]

        async with open_server(self.name, setup, command, lora=lora) as target:
            yield target
