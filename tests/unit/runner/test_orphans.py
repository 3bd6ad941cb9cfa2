"""A runner does not outlive its parent, however that ends: prctl and the end of its stdin see to it, each by itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from processes import state

CHILD = (sys.executable, str(Path(__file__).with_name("scripted_child.py")))
PARENT = """
import asyncio, sys
from shimmy.model_info import LoadSpec
from shimmy.runner import RunnerClient

async def main():
    client = await RunnerClient.start(LoadSpec(name="m", path="x"), command=sys.argv[1:])
    print(client.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


@contextmanager
def family(*command: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A parent, and the pid of its runner. None of them is left."""
    with subprocess.Popen([sys.executable, "-c", PARENT, *command], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        runner = int(parent.stdout.readline())
        try:
            yield parent, runner
        finally:
            parent.kill()
            if not ends(runner, 0):
                with suppress(ProcessLookupError):
                    os.kill(runner, signal.SIGKILL)


def ends(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while (alive := state(pid) is not None) and time.monotonic() < deadline:
        time.sleep(0.01)
    return not alive


def test_it_ends_when_its_parent_is_killed() -> None:
    with family(*CHILD) as (parent, runner):
        assert not ends(runner, 0.1)
        parent.kill()
        assert ends(runner, 10)


def test_prctl_ends_one_that_reads_nothing() -> None:
    with family(*CHILD) as (parent, runner):
        os.kill(runner, signal.SIGSTOP)
        while state(runner) != psutil.STATUS_STOPPED:
            time.sleep(0.001)
        parent.kill()
        assert ends(runner, 10)


def test_the_end_of_its_stdin_ends_one_without_prctl() -> None:
    with family(*CHILD, "without-prctl") as (parent, runner):
        assert not ends(runner, 0.1)
        parent.kill()
        assert ends(runner, 10)


def test_without_both_it_would_stay() -> None:
    """Otherwise the tests above would prove nothing."""
    with family(*CHILD, "without-prctl") as (parent, runner):
        os.kill(runner, signal.SIGSTOP)
        parent.kill()
        assert not ends(runner, 0.3)


def test_memory_that_runs_out_takes_the_runner_first() -> None:
    with family(*CHILD) as (parent, runner):
        scores = [int(Path(f"/proc/{pid}/oom_score_adj").read_text()) for pid in (parent.pid, runner)]
        assert scores[1] == max(500, scores[0])
