"""Finding GGUF files below folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

_SKIPPED_FOLDERS = frozenset({"target", "cmake", "node_modules", "__pycache__", "site-packages"})
_BUILD_MARKERS = frozenset({"CMakeCache.txt", "pyvenv.cfg"})


class Root(msgspec.Struct, frozen=True):
    """A folder to search. A `required` one was asked for: that it is missing is worth a report."""

    path: Path
    required: bool = True


class FoundFile(msgspec.Struct, frozen=True):
    """A regular file whose name ends in .gguf, or a LoRA adapter in another format."""

    path: Path
    size_bytes: int
    mtime_ns: int


class Problem(msgspec.Struct, frozen=True):
    """Something that was skipped, and why."""

    path: Path
    message: str


def walk(roots: Iterable[Root]) -> Iterator[FoundFile | Problem]:
    """The model files below `roots`, each once however many links lead to it, in the order of roots and names.

    Hidden folders and build trees are skipped, unless they are roots. What cannot be read is reported as a Problem.
    """
    seen: set[tuple[int, int]] = set()
    for root in roots:
        path = Path(os.path.abspath(root.path))  # noqa: PTH100 - links in it are kept
        try:
            status = path.stat()
        except OSError as error:
            if root.required or not isinstance(error, FileNotFoundError):
                yield Problem(path, f"cannot search it: {error.strerror}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield Problem(path, "cannot search it: not a folder")
            continue
        if _first_time(status, seen):
            yield from _walk_folder(path, seen)


def _walk_folder(root: Path, seen: set[tuple[int, int]]) -> Iterator[FoundFile | Problem]:
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                names = sorted(entry.name for entry in listing)
        except OSError as error:
            yield Problem(folder, f"cannot list it: {error.strerror}")
            continue
        if folder != root and not _BUILD_MARKERS.isdisjoint(names):
            continue
        below = []
        for name in names:
            found = _look_at(folder / name, seen)
            if isinstance(found, Path):
                below.append(found)
            elif found is not None:
                yield found
        pending += reversed(below)


def _look_at(path: Path, seen: set[tuple[int, int]]) -> FoundFile | Problem | Path | None:
    """A file, a folder to enter (Path), a problem, or nothing of interest."""
    wanted = _is_model_name(path.name)
    try:
        if not wanted and not path.is_dir():
            return None
        status = path.stat()
    except OSError as error:
        return Problem(path, f"cannot read it: {error.strerror}") if wanted else None
    if stat.S_ISDIR(status.st_mode):
        hidden = path.name.startswith(".") or path.name.lower() in _SKIPPED_FOLDERS
        return path if not hidden and _first_time(status, seen) else None
    if not wanted or not stat.S_ISREG(status.st_mode) or not _first_time(status, seen):
        return None
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return Problem(path, "its name is not valid UTF-8; rename it")
    return FoundFile(path, status.st_size, status.st_mtime_ns)


def _is_model_name(name: str) -> bool:
    return name.lower().endswith(".gguf") or name.lower() == "adapter_model.safetensors"


def _first_time(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True
