"""The prefixes that one model has on disk, beside those of others in one folder with one budget."""

from __future__ import annotations

import contextlib
import hashlib
import logging
import os
import re
import shutil
import stat
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from shimmy.kv_store.budget import CacheFile, accepts, budget_of, to_remove
from shimmy.kv_store.prefix_file import (
    DamagedPrefixError,
    PrefixHeader,
    Space,
    TokenArray,
    file_start,
    pack_tokens,
    read_header,
)
from shimmy.kv_store.prefix_index import PrefixIndex, StoredPrefix
from shimmy.kv_store.trial import SUFFIX as MARK
from shimmy.kv_store.trial import died_trying

if sys.platform != "win32":
    import fcntl

SUFFIX = ".kv"

_FOLDER_NAME = re.compile(r"[0-9a-f]{16}")
_NEW = ".new-"
_LOCK = ".lock"
_TOUCH_SECONDS = 3600.0
_REST_SECONDS = 600.0

logger = logging.getLogger("shimmy.kv_store")


class PrefixStore:
    """Files below `folder`, one folder for each fingerprint. Any thread may use it, and any number of processes may
    share a folder: files appear whole or not at all, and one that is gone was never there.

    Prompts can be read out of these files, so they are for their owner alone, and files that others own or may read
    are not used. What is damaged, or is of something else, is removed. No method raises OSError: a disk that is full
    or cannot be written is told once, and tried again later.
    """

    def __init__(self, folder: Path, fingerprint: str, budget: int | None = None) -> None:
        """`budget`: bytes of all files below `folder`; None: see `budget_of`."""
        self._root = folder
        self._folder = folder / hashlib.blake2b(fingerprint.encode(), digest_size=8).hexdigest()
        self._fingerprint = fingerprint
        self._budget = budget
        self._lock = threading.Lock()  # the index
        self._index = PrefixIndex()
        self._seen_at = -1  # the folder's time of change when it was read
        self._touched: dict[Path, float] = {}
        self._told: set[str] = set()
        self._rests_until = 0.0

    def find(self, space: Space, tokens: TokenArray) -> tuple[StoredPrefix, int] | None:
        """The stored prefix that saves most, and how many tokens of it begin `tokens`."""
        with self._lock:
            self._refresh()
            found = self._index.find(space, tokens)
        if found is not None:
            self._touch(found[0].path)
        return found

    def covered(self, space: Space, tokens: TokenArray) -> int:
        """How many of `tokens` are stored (see `PrefixIndex.covered`)."""
        with self._lock:
            self._refresh()
            return self._index.covered(space, tokens)

    def read(self, stored: StoredPrefix) -> bytes | None:
        """Its state, which is still to be checked; None when the file is gone."""
        try:
            with self._open(stored.path) as (file, _):
                file.seek(stored.offset)
                return file.read(stored.state_bytes)
        except (OSError, DamagedPrefixError):
            self.remove(stored)
            return None

    def write(self, space: Space, tokens: TokenArray, seconds: float, state: bytes) -> bool:
        """Store a prefix, in place of what it covers. False when there is no room, or not now."""
        header = PrefixHeader(fingerprint=self._fingerprint, space=space, tokens=pack_tokens(tokens), seconds=seconds)
        start = file_start(header, len(state))
        path = self._folder / f"{header.name()}{SUFFIX}"
        if time.monotonic() < self._rests_until:
            return False
        try:
            for folder in (self._root, self._folder):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._writing() as may:
                if not may or not self._make_room(len(start) + len(state)):
                    return False
                _write_file(path, start, state)
        except OSError as error:
            self._rests_until = time.monotonic() + _REST_SECONDS
            self._tell(f"prompts cannot be kept in {self._root}: {error.strerror}")
            return False
        stored = StoredPrefix(path, space, tokens, seconds, len(start), len(state))
        with self._lock:
            self._index.add(stored)
            superseded = self._index.superseded(stored)
        for one in superseded:
            self.remove(one)
        return True

    def remove(self, stored: StoredPrefix) -> None:
        """Forget it; the file goes if it can."""
        with self._lock:
            self._index.discard(stored.path)
        _remove(stored.path)

    def tidy(self) -> None:
        """Remove what is too old, what is over the budget and what writers left behind; read what is there."""
        with contextlib.suppress(OSError):
            if self._root.is_dir():
                with self._writing() as may:
                    if may:
                        self._make_room(0)
        with self._lock:
            self._refresh()

    def _refresh(self) -> None:
        """Read the headers of files that are new, whoever wrote them. Holds the lock."""
        try:
            changed = self._folder.stat().st_mtime_ns
            if changed == self._seen_at:
                return
            paths = {path for path in self._folder.iterdir() if path.suffix == SUFFIX}
        except OSError:
            changed, paths = -1, set()
        self._seen_at = changed
        for path in self._index.paths() - paths:
            self._index.discard(path)
        for path in paths - self._index.paths():
            try:
                self._index.add(self._read_header(path))
            except DamagedPrefixError as error:
                logger.info("a stored prefix is removed: %s", error.message)
                _remove(path)
            except OSError:  # gone already
                continue

    def _read_header(self, path: Path) -> StoredPrefix:
        if died_trying(path):
            raise DamagedPrefixError("a process ended when it used it")
        with self._open(path) as (file, n_bytes):
            header, offset = read_header(file, n_bytes)
        if header.fingerprint != self._fingerprint or path.stem != header.name():
            raise DamagedPrefixError("it is of something else than its name says")
        return StoredPrefix(path, header.space, header.token_array(), header.seconds, offset, n_bytes - offset)

    @contextlib.contextmanager
    def _open(self, path: Path) -> Iterator[tuple[BinaryIO, int]]:
        """A file and its size. DamagedPrefixError for one that somebody else could have written."""
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
        try:
            handle = os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
        except OSError as error:
            if path.is_symlink():
                raise DamagedPrefixError("it is a link") from error
            raise
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise DamagedPrefixError("it is no file")
            if sys.platform != "win32" and (status.st_uid != os.geteuid() or status.st_mode & 0o077):
                raise DamagedPrefixError("it belongs to somebody else, or others may use it")
            with open(handle, "rb", closefd=False) as file:
                yield file, status.st_size
        finally:
            os.close(handle)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[bool]:
        """One process at a time counts and writes; False while another one does."""
        handle = os.open(self._root / _LOCK, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform != "win32":
                try:
                    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    yield False
                    return
                except OSError:  # not every file system can: the budget may be exceeded for a while
                    pass
            yield True
        finally:
            os.close(handle)

    def _make_room(self, n_bytes: int) -> bool:
        """Whether there is room for a file. Holds the writers' lock, so what is half written is nobody's."""
        files = []
        for folder in self._root.iterdir():
            ours = _FOLDER_NAME.fullmatch(folder.name) and folder.is_dir() and not folder.is_symlink()
            for path in folder.iterdir() if ours else ():
                with contextlib.suppress(OSError):
                    if path.name.startswith(_NEW) or (path.suffix == MARK and not path.with_suffix(SUFFIX).exists()):
                        path.unlink()
                    elif path.suffix == SUFFIX:
                        status = path.lstat()
                        files.append(CacheFile(path, status.st_size, status.st_mtime))
        own = sum(file.n_bytes for file in files)
        budget = budget_of(self._budget, shutil.disk_usage(self._root).free, own)
        if not accepts(n_bytes, budget):
            return False
        for file in to_remove(files, n_bytes, budget, time.time()):
            _remove(file.path)
            with contextlib.suppress(OSError):
                if file.path.parent != self._folder:
                    file.path.parent.rmdir()  # if it is empty now
        return True

    def _touch(self, path: Path) -> None:
        """The files used last stay; once an hour is exact enough."""
        now = time.monotonic()
        if now - self._touched.get(path, -_TOUCH_SECONDS) >= _TOUCH_SECONDS:
            self._touched[path] = now
            with contextlib.suppress(OSError):
                os.utime(path)

    def _tell(self, message: str) -> None:
        if message not in self._told:
            self._told.add(message)
            logger.warning("%s", message)


def _write_file(path: Path, *parts: bytes) -> None:
    """Whole or not at all, but not safe from a loss of power: then the checksums tell."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=_NEW)
    try:
        with os.fdopen(handle, "wb") as file:
            for part in parts:
                file.write(part)
        os.replace(temporary, path)  # noqa: PTH105 - of the string that mkstemp gives
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)  # noqa: PTH108
        raise


def _remove(path: Path) -> None:
    for one in (path, path.with_suffix(MARK)):
        with contextlib.suppress(OSError):
            one.unlink(missing_ok=True)
