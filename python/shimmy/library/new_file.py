"""Writing a file of the library: there whole or not at all, also after the machine lost its power."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
import time
from pathlib import Path
from types import TracebackType

ABANDONED_SECONDS = 24 * 3600
"""After which a file that nobody wrote to is what a process that ended left behind."""

_PREFIX = ".new-"


class NewFile:
    """A file beside `path`, which it becomes with `commit`; without that it is gone at the end of the block."""

    def __init__(self, path: Path) -> None:
        """OSError when the folder takes no file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_PREFIX)
        self._temporary = Path(temporary)
        self.file = os.fdopen(handle, "wb")

    def __enter__(self) -> NewFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):  # what could not be written is thrown away anyhow
            self.file.close()
        self._temporary.unlink(missing_ok=True)

    def commit(self) -> None:
        """Blocks until the disk has it. OSError."""
        self.file.flush()
        os.fsync(self.file.fileno())
        self.file.close()
        self._temporary.replace(self._path)
        sync_folder(self._path.parent)


def write_file(path: Path, data: bytes) -> None:
    """Write or replace a small file. OSError."""
    with NewFile(path) as new:
        new.file.write(data)
        new.commit()


def sync_folder(folder: Path) -> None:
    """Make a new name in it last."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):  # not every file system can
            os.fsync(handle)
    finally:
        os.close(handle)


def sweep(folder: Path) -> None:
    """Remove what processes that ended left behind in a folder and below it."""
    oldest = time.time() - ABANDONED_SECONDS
    for path in folder.rglob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):
            if path.stat().st_mtime < oldest:
                path.unlink()
