"""How much memory there is for models, and how much a process takes, as Linux tells it; elsewhere what can be known."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import msgspec

from shimmy.machine_memory import machine_memory

_NO_LIMIT = 1 << 60  # what version 1 of cgroups says instead of nothing is larger


class HostMemory(msgspec.Struct, frozen=True):
    """In bytes; None where the system does not tell."""

    total: int | None = None
    """Of the machine, or of the container that this process is in."""
    available: int | None = None
    """What programs can still get: free, and pages of files, which make way. Mapped weights are such pages."""


class ProcessMemory(msgspec.Struct, frozen=True):
    """In bytes. A page that n processes share counts as 1/n of one in each, so that a sum over processes is true."""

    own: int
    """What it allocated: KV cells, compute buffers, weights that were read or repacked."""
    files: int
    """Pages of files that it maps and that are in memory: weights, programs."""


def host_memory(root: Path = Path("/")) -> HostMemory:
    """The tightest of the machine and the cgroups (version 1 and 2) that this process is in."""
    machine = machine_memory(root / "proc/meminfo")
    memory = HostMemory(machine.total, machine.available)
    for group, names in _cgroups(root):
        limit = _number(group / names[0])
        used = _number(group / names[1])
        if limit is None or limit >= _NO_LIMIT:
            continue
        memory = HostMemory(_least(memory.total, limit), memory.available)
        if used is not None:
            stat = _numbers(group / "memory.stat", r"^(\w+) (\d+)$")
            files = sum(stat.get(names[2] + kind, 0) for kind in ("inactive_file", "active_file"))
            memory = HostMemory(memory.total, _least(memory.available, max(0, limit - max(0, used - files))))
    return memory


def process_memory(pid: int, root: Path = Path("/")) -> ProcessMemory | None:
    """None where the system does not tell, or no such process lives. Takes some milliseconds for each GiB."""
    folder = root / "proc" / str(pid)
    shares = _numbers(folder / "smaps_rollup", r"^(Pss\w*):\s+(\d+) kB", 1024)
    if "Pss_Anon" in shares:
        return ProcessMemory(shares["Pss_Anon"] + shares.get("Pss_Shmem", 0), shares.get("Pss_File", 0))
    status = _numbers(folder / "status", r"^(Rss\w+):\s+(\d+) kB", 1024)
    if "RssAnon" in status:
        return ProcessMemory(status["RssAnon"] + status.get("RssShmem", 0), status.get("RssFile", 0))
    return None


def _cgroups(root: Path) -> Iterator[tuple[Path, tuple[str, str, str]]]:
    """Folders of the groups of this process and those above, each with the names of its limit and its use, and what
    stands before the words of its statistics.
    """
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        number, controllers, path = [*line.split(":", 2), "", ""][:3]
        if number == "0" and not controllers:
            mount, names = root / "sys/fs/cgroup", ("memory.max", "memory.current", "")
        elif "memory" in controllers.split(","):
            mount = root / "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_")
        else:
            continue
        inner = PurePosixPath(path.lstrip("/"))
        for folder in (inner, *inner.parents):  # the last is the mount itself
            yield mount / folder, names


def _numbers(path: Path, pattern: str, unit: int = 1) -> dict[str, int]:
    try:
        text = path.read_text()
    except OSError:
        return {}
    return {name: int(number) * unit for name, number in re.findall(pattern, text, re.MULTILINE)}


def _number(path: Path) -> int | None:
    """None for "max" and for what is not there."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _least(known: int | None, limit: int) -> int:
    return limit if known is None else min(known, limit)
