"""The child process behind a `RunnerClient`: how it starts, what it logs, how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from shimmy.runner.last_words import LastWords

logger = logging.getLogger("shimmy.runner")

COMMAND = (sys.executable, "-m", "shimmy.runner")
_MAX_LOG_LINE = 8192
_PIPE_LIMIT = 1 << 20


class RunnerProcess:
    """A started child with its pipes. `name` is the model's, for the log."""

    def __init__(self, name: str, process: asyncio.subprocess.Process) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self.stdin: asyncio.StreamWriter = process.stdin
        self.stdout: asyncio.StreamReader = process.stdout
        self._name = name
        self._process = process
        self._last_words = LastWords()
        self._logging = asyncio.ensure_future(self._log(process.stderr))

    @classmethod
    async def spawn(cls, name: str, command: Sequence[str] = COMMAND) -> RunnerProcess:
        """Start `command`. OSError when it cannot be started."""
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            limit=_PIPE_LIMIT,
        )
        return cls(name, process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def wait(self) -> str:
        """Wait for the end; returns how it ended, as in "was killed by signal SIGKILL", and what it said last."""
        code = await self._process.wait()
        await asyncio.wait([self._logging], timeout=1)
        self._logging.cancel()
        words = str(self._last_words) if code not in (0, -signal.SIGKILL) else ""
        return f"{_ending(code)} ({words})" if words else _ending(code)

    async def end(self, patience: float) -> str:
        """Wait `patience` seconds for the end, then kill; returns how it ended. No child is left."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError, RuntimeError):
            self.stdin.close()
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._process.wait(), patience)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self.wait()

    async def kill(self) -> str:
        """End it now; returns how it ended."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        return await self.end(patience=5.0)

    async def _log(self, stderr: asyncio.StreamReader) -> None:
        rest = b""
        while chunk := await stderr.read(_MAX_LOG_LINE):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._log_line(line)
            if len(rest) > _MAX_LOG_LINE:
                self._log_line(rest)
                rest = b""
        self._log_line(rest)

    def _log_line(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip()
        first, _, message = text.partition(" ")
        level = logging.getLevelName(first)
        if isinstance(level, int):
            self._last_words.hear(level, message)
            logger.log(level, "%s: %s", self._name, message)
        elif text:
            self._last_words.hear(None, text)
            logger.info("%s: %s", self._name, text)


def _environment() -> dict[str, str]:
    """Ours, so that the child finds the same shimmy but never imports from the current folder by accident."""
    environment = {**os.environ, "PYTHONSAFEPATH": "1"}
    root = str(Path(__file__).parents[2])
    if Path(root).name not in ("site-packages", "dist-packages"):
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, (environment.get("PYTHONPATH"), root)))
    return environment


def _ending(code: int) -> str:
    if code >= 0:
        return f"ended with exit code {code}"
    if -code == signal.SIGKILL:
        return "was killed by signal SIGKILL, as the system does when memory runs out"
    with contextlib.suppress(ValueError):
        return f"was killed by signal {signal.Signals(-code).name}"
    return f"was killed by signal {-code}"
