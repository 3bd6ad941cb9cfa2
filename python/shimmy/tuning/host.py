"""What the search has to know of the machine around it, read from where Linux tells it."""

from __future__ import annotations

import os
import time
from pathlib import Path


def usable_cpus() -> int:
    """Logical CPUs that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def others_seconds(stat: Path = Path("/proc/stat")) -> float:
    """Processor time that all but this process have used since the machine started, divided by its CPUs; what a
    hypervisor took counts too. 0 where the system does not tell.
    """
    try:
        user, nice, system, _, _, irq, softirq, steal, *_ = (
            int(n) for n in stat.read_text().split("\n")[0].split()[1:]
        )
        ticks = os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, AttributeError):
        return 0.0
    used = (user + nice + system + irq + softirq + steal) / ticks
    return (used - time.process_time()) / (os.cpu_count() or 1)
