"""A program that runs beside us: its own process group, its output in a file, its memory watched, always ended."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

import httpx
import psutil


class StartError(Exception):
    """The program ended or did not become ready; the message ends with what it printed last."""


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Memory:
    """Resident memory of a process and its children, in MiB, sampled by a thread until `stop`."""

    def __init__(self, pid: int, every: float = 0.2) -> None:
        self._pid = pid
        self._peak = 0.0
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._watch, args=(every,), daemon=True)
        self._thread.start()

    def now(self) -> float:
        """Pages that processes share count in each of them."""
        total = 0
        try:
            top = psutil.Process(self._pid)
            for process in (top, *top.children(recursive=True)):
                try:
                    total += process.memory_info().rss
                except psutil.NoSuchProcess:
                    continue
        except psutil.NoSuchProcess:
            return 0.0
        self._peak = max(self._peak, total / 2**20)
        return total / 2**20

    def peak(self) -> float:
        self.now()
        return self._peak

    def stop(self) -> None:
        self._stopped.set()
        self._thread.join()

    def _watch(self, every: float) -> None:
        while not self._stopped.wait(every):
            self.now()


class Process:
    """Runs a command while the block lasts; its output goes to `log`, which is removed when the block ends well."""

    def __init__(
        self, command: Sequence[str], log: Path, environ: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> None:
        self._command = list(command)
        self._log = log
        self._environ = {**os.environ, **(environ or {})}
        self._cwd = cwd
        self.spawned = 0.0

    def __enter__(self) -> Process:
        self._log.parent.mkdir(parents=True, exist_ok=True)
        with self._log.open("wb") as output:
            self.spawned = time.perf_counter()
            self._popen = subprocess.Popen(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=self._environ,
                cwd=self._cwd,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        self.pid = self._popen.pid
        self.memory = Memory(self.pid)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.memory.stop()
        end_group(self._popen)
        if kind is None:
            self._log.unlink(missing_ok=True)

    def wait_ready(self, url: str, timeout: float = 300) -> float:
        """time.perf_counter when `url` answered 200. Raises StartError."""
        deadline = time.perf_counter() + timeout
        with httpx.Client(timeout=2) as client:
            while time.perf_counter() < deadline:
                if (status := self._popen.poll()) is not None:
                    raise StartError(f"{self._command[0]} ended with {status}: {self._last_words()}")
                try:
                    if client.get(url).status_code == 200:
                        return time.perf_counter()
                except httpx.HTTPError:
                    pass
                time.sleep(0.005)
        raise StartError(f"{self._command[0]} was not ready after {timeout:.0f} s: {self._last_words()}")

    def _last_words(self, lines: int = 15) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:]) or "it printed nothing"


def end_group(process: subprocess.Popen[bytes] | subprocess.Popen[str], grace: float = 10) -> None:
    """End a process that leads its group, and all of the group: SIGTERM, and SIGKILL for what is left after `grace`."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except (ProcessLookupError, PermissionError):
            break  # PermissionError: macOS says so of a group of zombies
        try:
            process.wait(grace)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def end_with_parent() -> None:
    """Ask Linux to kill this process when its parent dies, so that not even SIGKILL leaves servers behind."""
    if sys.platform != "linux":
        return
    ctypes.CDLL(None).prctl(1, int(signal.SIGKILL))  # PR_SET_PDEATHSIG
