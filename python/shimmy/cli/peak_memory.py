"""How much memory this process has taken at most."""

from __future__ import annotations

import sys


def peak_memory() -> int | None:
    """The largest resident size so far in bytes; None on systems that do not tell."""
    if sys.platform == "win32":
        return None
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024
