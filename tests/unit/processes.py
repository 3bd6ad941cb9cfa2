"""Other processes, which may end while they are asked about."""

from __future__ import annotations

import psutil

__all__ = ["children", "state"]


def children(pid: int) -> list[int]:
    """Of a process, whichever thread started them and whether they run, oldest first; [] when there is no process.

    One that has ended counts until its parent has waited for it.
    """
    try:
        found = psutil.Process(pid).children()
    except psutil.NoSuchProcess:
        return []
    return [child.pid for child in sorted(found, key=lambda child: child.create_time())]


def state(pid: int) -> str | None:
    """What the process does, a `psutil.STATUS_…`; None when it has ended."""
    try:
        status = psutil.Process(pid).status()
    except psutil.NoSuchProcess:
        return None
    return None if status in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD) else status
