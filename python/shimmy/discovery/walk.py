"""Finding GGUF files and Ollama's stores below folders."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

_SKIPPED_FOLDERS = frozenset({"target", "cmake", "node_modules", "__pycache__", "site-packages"})
_BUILD_MARKERS = frozenset({"CMakeCache.txt", "pyvenv.cfg"})
_STORE_FOLDERS = frozenset({"manifests", "blobs"})


class Root(msgspec.Struct, frozen=True):
    """A folder to search. A `required` one was asked for: that it is missing is worth a report."""

    path: Path
    required: bool = True


class FoundFile(msgspec.Struct, frozen=True, gc=False):
    """A regular file whose name ends in .gguf, or a LoRA adapter in another format."""

    path: str
    size_bytes: int
    mtime_ns: int


class FoundStore(msgspec.Struct, frozen=True):
    """A folder in which Ollama keeps models: manifests that name blobs."""

    path: Path


class Problem(msgspec.Struct, frozen=True):
    """Something that was skipped, and why."""

    path: Path
    message: str


def walk(roots: Iterable[Root]) -> Iterator[FoundFile | FoundStore | Problem]:
    """The model files below `roots`, each once however many links lead to it, in the order of roots and names.

    Hidden folders and build trees are skipped, unless they are roots. What cannot be read, and links that lead nowhere
    or back to a folder that they are in, are reported as Problems.
    """
    seen: set[tuple[int, int]] = set()
    for root in roots:
        path = os.path.abspath(root.path)  # noqa: PTH100 - links in it are kept
        try:
            status = os.stat(path)  # noqa: PTH116 - of a string, as everything here: many thousand Paths are slow
        except (OSError, ValueError) as error:
            if root.required or not isinstance(error, FileNotFoundError):
                yield Problem(root.path, f"cannot search it: {reason(error)}")
            continue
        if not stat.S_ISDIR(status.st_mode):
            yield Problem(Path(path), "cannot search it: not a folder")
            continue
        if _first_time(status, seen):
            yield from _walk_folder(path, seen)


def reason(error: OSError | ValueError) -> str:
    """What the system says, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _walk_folder(root: str, seen: set[tuple[int, int]]) -> Iterator[FoundFile | FoundStore | Problem]:
    pending = [root]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(folder) as listing:
                entries = {entry.name: entry for entry in listing}
        except OSError as error:
            yield Problem(Path(folder), f"cannot list it: {reason(error)}")
            continue
        if folder != root and not _BUILD_MARKERS.isdisjoint(entries):
            continue
        is_store = entries.keys() >= _STORE_FOLDERS
        if is_store:
            yield FoundStore(Path(folder))
        below = []
        for name in sorted(entries):
            if is_store and name in _STORE_FOLDERS:
                continue
            found = _look_at(entries[name], seen)
            if isinstance(found, str):
                below.append(found)
            elif found is not None:
                yield found
        pending += reversed(below)


def _look_at(entry: os.DirEntry[str], seen: set[tuple[int, int]]) -> FoundFile | Problem | str | None:
    """A file, a folder to enter (its path), a problem, or nothing of interest."""
    name = entry.name
    lower = name.lower()
    wanted = lower.endswith(".gguf") or lower == "adapter_model.safetensors"
    try:
        if not wanted and not entry.is_dir():
            if entry.is_symlink() and not name.startswith("."):
                os.stat(entry.path)  # noqa: PTH116 - whether it leads anywhere
            return None
        status = entry.stat()
        if status.st_ino == 0:  # Windows tells it only when asked for the file itself
            status = os.stat(entry.path)  # noqa: PTH116
    except OSError as error:
        return Problem(Path(entry.path), f"cannot read it: {reason(error)}")
    if stat.S_ISDIR(status.st_mode):
        if name.startswith(".") or lower in _SKIPPED_FOLDERS:
            return None
        if entry.is_symlink() and _is_within(entry.path):
            return Problem(Path(entry.path), "a link to a folder that it is in; it is not followed")
        return entry.path if _first_time(status, seen) else None
    if not wanted or not stat.S_ISREG(status.st_mode) or not _first_time(status, seen):
        return None
    if not entry.path.isascii():
        try:
            entry.path.encode()
        except UnicodeEncodeError:
            return Problem(Path(entry.path), "its name is not valid UTF-8; rename it")
    return FoundFile(entry.path, status.st_size, status.st_mtime_ns)


def _is_within(link: str) -> bool:
    """Whether a link lies in the folder that it leads to, or somewhere below it."""
    target, folder = os.path.realpath(link), os.path.realpath(os.path.dirname(link))  # noqa: PTH120
    return f"{folder}{os.sep}".startswith(f"{target.rstrip(os.sep)}{os.sep}")


def _first_time(status: os.stat_result, seen: set[tuple[int, int]]) -> bool:
    identity = (status.st_dev, status.st_ino)
    if identity in seen:
        return False
    seen.add(identity)
    return True
