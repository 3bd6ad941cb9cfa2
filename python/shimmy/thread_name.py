"""Names for threads that native code makes, as `top -H`, debuggers and /proc show them."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def thread_name(name: str) -> Iterator[None]:
    """Threads that this one makes in the block, and those that they make, are called `name` (at most 15 bytes).

    Linux lets threads inherit it; elsewhere nothing happens.
    """
    if sys.platform != "linux":
        yield
        return
    own = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    try:
        before = own.read_text().strip()
        own.write_text(name)
    except OSError:  # no /proc, or one that cannot be written to
        yield
        return
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            own.write_text(before)
