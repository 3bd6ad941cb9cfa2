"""llama-bench: the kernels alone, the roof of every single-stream number."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from contenders.target import Contender, Kernels, Setup


class LlamaBenchError(Exception):
    """llama-bench failed; the message ends with what it printed last."""


class LlamaBenchKernels(Kernels):
    """Every call is a process of its own, which warms up by itself."""

    name = "llama-bench"

    def __init__(self, program: Path, model: Path, threads: int) -> None:
        self._command = [str(program), "-m", str(model), "-t", str(threads), "-r", "1", "-o", "json"]

    async def tokens_per_second(self, *, n_prompt: int = 0, n_gen: int = 0, depth: int = 0) -> float:
        """Raises LlamaBenchError."""
        work = ["-p", str(n_prompt), "-n", str(n_gen), "-d", str(depth)]
        pipe = asyncio.subprocess.PIPE
        process = await asyncio.create_subprocess_exec(*self._command, *work, stdout=pipe, stderr=pipe)
        try:
            out, err = await process.communicate()
        except asyncio.CancelledError:
            process.kill()
            raise
        if process.returncode != 0:
            tail = err.decode(errors="replace").strip()[-500:]
            raise LlamaBenchError(f"llama-bench ended with {process.returncode}: {tail}")
        return float(json.loads(out)[0]["avg_ts"])


class LlamaBench(Contender):
    name = LlamaBenchKernels.name
    programs = ("llama-bench",)

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[LlamaBenchKernels]:
        if setup.peer_dir is None:
            raise ValueError("llama-bench needs Setup.peer_dir")
        yield LlamaBenchKernels(setup.peer_dir / "llama-bench", setup.model, setup.threads)
