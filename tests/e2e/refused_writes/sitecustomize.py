"""Below REFUSED_FOLDER nothing can be written, for REFUSED_ERROR, in a process that has this on its PYTHONPATH."""

from __future__ import annotations

import errno
import os
import sys
from pathlib import Path
from typing import Any

FOLDER = os.environ["REFUSED_FOLDER"]
ERROR = getattr(errno, os.environ["REFUSED_ERROR"])
CHANGES = {"os.mkdir", "os.rename", "os.utime", "os.chmod", "os.link", "os.symlink"}
if ERROR != errno.ENOSPC:
    CHANGES |= {"os.remove", "os.rmdir", "os.truncate"}
WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def refuse(event: str, arguments: tuple[Any, ...]) -> None:
    """An error of an audit hook ends what it was told of."""
    writes = event == "open" and arguments[2] is not None and arguments[2] & WRITES
    if (event in CHANGES or writes) and isinstance(arguments[0], str | os.PathLike):
        path = Path.cwd() / arguments[0]
        if path.is_relative_to(FOLDER) and not (event == "os.mkdir" and path.is_dir()):
            raise OSError(ERROR, os.strerror(ERROR), str(path))


sys.addaudithook(refuse)
