"""How much processor time each thread of a process and its children took (Linux)."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Thread:
    """One thread by its numbers and its name (what `top -H` shows)."""

    pid: int
    tid: int
    name: str


Times = dict[Thread, float]
"""Seconds since each thread's start."""


def processes(pid: int) -> list[int]:
    """`pid` and all that descend from it."""
    found = [pid]
    for one in found:
        for task in _entries(Path(f"/proc/{one}/task")):
            found += [int(child) for child in _read(task / "children").split()]
    return found


def thread_times(pid: int) -> Times:
    """Of all threads of `pid` and its descendants, to the nanosecond where the kernel tells it (the `sched` file),
    else in those of its clock, 10 ms as a rule.
    """
    times: Times = {}
    for one in processes(pid):
        for task in _entries(Path(f"/proc/{one}/task")):
            name = _read(task / "comm").strip()
            if seconds := _seconds(task):
                times[Thread(one, int(task.name), name)] = seconds
    return times


def spent(before: Times, after: Times, counts: Callable[[Thread], bool] = lambda _: True) -> float:
    """Seconds of the threads that count; a thread's name is that of `after`."""
    known = {(thread.pid, thread.tid): seconds for thread, seconds in before.items()}
    return sum(
        seconds - known.get((thread.pid, thread.tid), 0.0) for thread, seconds in after.items() if counts(thread)
    )


def proportional_memory(pid: int) -> float:
    """MiB of `pid` and its descendants; a page that n processes share counts as 1/n in each (PSS)."""
    kib = 0
    for one in processes(pid):
        for line in _read(Path(f"/proc/{one}/smaps_rollup")).splitlines():
            if line.startswith("Pss:"):
                kib += int(line.split()[1])
    return kib / 1024


def _seconds(task: Path) -> float:
    for line in _read(task / "sched").splitlines():
        if line.startswith("se.sum_exec_runtime"):
            return float(line.split(":")[1]) / 1000
    fields = _read(task / "stat").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS if fields else 0.0


def _entries(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []  # it has ended


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
