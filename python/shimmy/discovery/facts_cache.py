"""What is known of files that have not changed, kept on disk between runs."""

from __future__ import annotations

import contextlib
import logging
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path

import msgspec

from shimmy.discovery.file_facts import FACTS_VERSION, FileFacts, facts_of
from shimmy.discovery.gguf_header import GgufError, read_header
from shimmy.discovery.walk import FoundFile

MAX_CACHE_BYTES = 256 * 1024 * 1024
MAX_UNSEEN = 20_000
"""Files of other searches that are remembered too."""

logger = logging.getLogger("shimmy.discovery")


class _Known(msgspec.Struct, frozen=True, array_like=True, gc=False):
    size_bytes: int
    mtime_ns: int
    facts: FileFacts | str
    """Or why the file is no usable GGUF."""


class _Contents(msgspec.Struct, array_like=True):
    version: int
    files: dict[str, _Known]


class FactsCache:
    """Facts by path, size and time of change. With a `path` they outlive the process; a cache file that is damaged or
    of another version is ignored and replaced, and one that cannot be written is done without.

    One thread at a time.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._files: dict[str, _Known] = {} if path is None else _load(path)
        self._changed = False

    def facts(self, file: FoundFile) -> FileFacts:
        """Read from the file only when it is new or has changed. Raises GgufError, without the path in its message,
        or OSError.
        """
        known = self._files.get(file.path)
        if known is None or known.mtime_ns != file.mtime_ns or known.size_bytes != file.size_bytes:
            known = _Known(file.size_bytes, file.mtime_ns, _read(file.path))
            self._files[file.path] = known
            self._changed = True
        if isinstance(known.facts, str):
            raise GgufError(known.facts)
        return known.facts

    def keep(self, paths: Iterable[str]) -> None:
        """Bound what is remembered to `paths` and a number of others; write it to disk when it changed."""
        wanted = set(paths)
        unseen = [path for path in self._files if path not in wanted] if len(self._files) > len(wanted) else []
        for path in unseen[: max(0, len(unseen) - MAX_UNSEEN)]:
            del self._files[path]
        if self._changed and self._path is not None:
            self._changed = False
            _save(self._path, _Contents(FACTS_VERSION, self._files))


def _read(path: str) -> FileFacts | str:
    try:
        return facts_of(read_header(Path(path)))
    except GgufError as error:
        return error.message.removeprefix(f"{path}: ")


def _load(path: Path) -> dict[str, _Known]:
    try:
        if path.stat().st_size > MAX_CACHE_BYTES:
            return {}
        contents = msgspec.msgpack.decode(path.read_bytes(), type=_Contents)
        return contents.files if contents.version == FACTS_VERSION else {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, msgspec.MsgspecError, ValueError) as error:
        logger.info("the cache of model headers, %s, is not used: %s", path, error)
        return {}


def _save(path: Path, contents: _Contents) -> None:
    """Whole or not at all: another process may read or write it meanwhile."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(handle, "wb") as file:
            file.write(msgspec.msgpack.encode(contents))
        os.replace(temporary, path)  # noqa: PTH105 - of the string that mkstemp gives
    except OSError as error:
        logger.info("the cache of model headers, %s, cannot be written: %s", path, error.strerror)
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)  # noqa: PTH108
