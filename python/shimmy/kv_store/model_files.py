"""What says that the files of a model are those that a state was computed with."""

from __future__ import annotations

import re
from pathlib import Path

_SPLIT = re.compile(r"(.*)-(\d{5})-of-(\d{5})(\.gguf)", re.IGNORECASE)


def files_version(path: str) -> str:
    """Size and time of change (nanoseconds) of a model's file, of a split one of all its parts. To be taken before the
    model is loaded: a file that changes meanwhile is another one then. A part that is not there counts as empty.
    """
    return ",".join(_version(part) for part in _parts(path))


def _parts(path: str) -> list[Path]:
    split = _SPLIT.fullmatch(path)
    if split is None:
        return [Path(path)]
    stem, _, count, suffix = split.groups()
    return [Path(f"{stem}-{number:05}-of-{count}{suffix}") for number in range(1, int(count) + 1)]


def _version(path: Path) -> str:
    try:
        status = path.stat()
    except OSError:
        return "0:0"
    return f"{status.st_size}:{status.st_mtime_ns}"
