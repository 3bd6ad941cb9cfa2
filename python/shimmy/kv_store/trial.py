"""A mark that a file is being tried: what ends the process then is not tried again."""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

if sys.platform != "win32":
    import fcntl

SUFFIX = ".trying"


class Trial:
    """Begun by `of`, ended by `end`; a process that dies between leaves its mark behind."""

    def __init__(self, mark: Path, handle: int) -> None:
        self._mark = mark
        self._handle = handle

    @classmethod
    def of(cls, path: Path) -> Trial | None:
        """None when somebody tries the file just now, or no mark can be made beside it: then it is not to be tried."""
        mark = path.with_suffix(SUFFIX)
        try:
            handle = os.open(mark, os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_CLOEXEC", 0), 0o600)
        except OSError:
            return None
        if not _lock(handle):
            os.close(handle)
            return None
        return cls(mark, handle)

    def end(self) -> None:
        """It went well, or it did not matter. Idempotent."""
        if self._handle >= 0:
            with contextlib.suppress(OSError):
                self._mark.unlink(missing_ok=True)
            os.close(self._handle)
            self._handle = -1


def died_trying(path: Path) -> bool:
    """Whether a process that tried this file has ended without saying how it went."""
    try:
        handle = os.open(path.with_suffix(SUFFIX), os.O_RDWR | getattr(os, "O_CLOEXEC", 0))
    except OSError:
        return False
    try:
        return _lock(handle)
    finally:
        os.close(handle)


def _lock(handle: int) -> bool:
    """False: another process holds it."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:  # not every file system can
        return True
    return True
