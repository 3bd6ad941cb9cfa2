"""The physical memory of the machine, as its system tells it."""

from __future__ import annotations

import os
import re
from pathlib import Path

import msgspec

MEMINFO = Path("/proc/meminfo")


class MachineMemory(msgspec.Struct, frozen=True):
    """In bytes; None where the system does not tell."""

    total: int | None = None
    free: int | None = None
    available: int | None = None
    """What programs can still get without swapping: free, and taken by caches that make way."""


def machine_memory(meminfo: Path = MEMINFO) -> MachineMemory:
    """Whatever limits a container has: see `models.host_memory`."""
    try:
        text = meminfo.read_text()
    except OSError:
        text = ""
    found = {name: int(kib) << 10 for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", text, re.MULTILINE)}
    return MachineMemory(found.get("MemTotal") or _total(), found.get("MemFree"), found.get("MemAvailable"))


def _total() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, OSError, ValueError):
        return None
