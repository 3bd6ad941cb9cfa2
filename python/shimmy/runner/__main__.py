"""`python -m shimmy.runner`: one model in its own process, driven over stdin and stdout by `RunnerClient`."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from shimmy.engine_client import EngineClient
from shimmy.model_info import LoadSpec
from shimmy.output import RequestOutput
from shimmy.runner.reply_pipe import ReplyPipe
from shimmy.runner.service import Loader, Service

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = 500  # of 1000; raising it needs no rights


def claim_pipes() -> tuple[int, int]:
    """Take fds 0 and 1 away from everything else in the process; returns (commands, replies).

    Native code prints to fd 1 when it likes; from here on that goes to stderr and cannot corrupt a frame.
    """
    commands, replies = os.dup(0), os.dup(1)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)
    os.dup2(2, 1)
    return commands, replies


def die_with_parent() -> None:
    """Ask Linux to kill this process when its parent ends; elsewhere the end of stdin is what ends it."""
    if sys.platform == "linux":
        import ctypes

        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def die_before_parent() -> None:
    """When memory runs out, Linux is to kill this process and not the server, which starts it again."""
    with contextlib.suppress(OSError):
        score = Path("/proc/self/oom_score_adj")
        score.write_text(str(max(_OOM_SCORE, int(score.read_text()))))


async def serve(load: Loader, commands_fd: int, replies_fd: int) -> int:
    """Run a `Service` over two pipes; returns the exit code."""
    loop = asyncio.get_running_loop()
    commands = asyncio.StreamReader(limit=1 << 20)
    pipe = open(commands_fd, "rb", buffering=0)  # noqa: ASYNC230, SIM115
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(commands), pipe)
    return await Service(commands, ReplyPipe(replies_fd), load).run()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


def run(load: Loader) -> None:
    """The whole life of a runner process; does not return."""
    commands_fd, replies_fd = claim_pipes()
    die_with_parent()
    die_before_parent()
    # Ctrl-C and a terminal's end reach the whole process group, a service manager's SIGTERM all processes of the
    # service: when to stop is the server's decision, which lets answers end first.
    for stop in ("SIGINT", "SIGTERM", "SIGHUP"):
        if hasattr(signal, stop):
            signal.signal(getattr(signal, stop), signal.SIG_IGN)
    level = os.environ.get("SHIMMY_LOG_LEVEL", "").upper()
    known = isinstance(logging.getLevelName(level), int)
    logging.basicConfig(level=level if known else "INFO", stream=sys.stderr, format="%(levelname)s %(message)s")
    if level != "DEBUG":
        logging.getLogger("shimmy.llama").setLevel("WARNING")  # a hundred lines for each model otherwise
    loop = _new_loop()
    asyncio.set_event_loop(loop)
    code = loop.run_until_complete(serve(load, commands_fd, replies_fd))
    sys.stderr.flush()
    # Threads of native code must not keep a process alive whose model nobody uses.
    os._exit(code)


async def load_engine(
    spec: LoadSpec, progress: Callable[[float], None], take: Callable[[Sequence[RequestOutput]], None]
) -> EngineClient:
    """The real thing. Imported here, so that a broken extension is a load error with a message."""
    from shimmy.async_engine import AsyncEngine

    engine = await AsyncEngine.load(spec, progress)
    engine.forward(take)
    return engine


if __name__ == "__main__":
    run(load_engine)
