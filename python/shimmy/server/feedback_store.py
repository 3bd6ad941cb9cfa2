"""What people said about answers, kept for whoever trains on it: one JSON object a line, only ever appended to."""

from __future__ import annotations

import errno
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from shimmy.server.errors import HttpError

if sys.platform != "win32":
    import fcntl

FILE_NAME = "feedback.jsonl"
MAX_BYTES = 64 * 1024 * 1024
"""Of the file; then it has to be moved away."""
MAX_ENTRY_BYTES = 1024 * 1024

_ENCODER = msgspec.json.Encoder()


class Feedback(msgspec.Struct, kw_only=True, omit_defaults=True):
    """One line of the file. `time` is RFC 3339."""

    query: str
    response: str
    weight: float
    feedback: str | None = None
    time: str = ""
    key: str = ""
    """The name of the API key that it came with."""


class Totals(msgspec.Struct):
    """What one API key has said."""

    entries: int = 0
    weight: float = 0.0
    last: str | None = None
    """When the newest came."""

    def count(self, entry: Feedback) -> None:
        self.entries += 1
        self.weight += entry.weight
        self.last = entry.time or self.last


class FeedbackStore:
    """A file in `folder`, which is made with the first entry. Several processes may share it: each entry is one write
    to its end under a lock, on the disk before `add` returns. Half a line that a crash left is cut off by the next.

    Blocking, and safe on any thread.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / FILE_NAME
        self._lock = threading.Lock()
        self._totals: dict[str, Totals] = {}
        self._read = 0
        self._file_id: tuple[int, int] | None = None

    def add(self, entry: Feedback) -> None:
        """HttpError 400 for one that is too large, 409 when the file is full, 503 when it cannot be written."""
        line = _ENCODER.encode(entry) + b"\n"
        if len(line) > MAX_ENTRY_BYTES:
            message = f"the feedback has {len(line)} bytes, the limit is {MAX_ENTRY_BYTES}"
            raise HttpError(400, message, "feedback_too_large")
        with self._lock:
            try:
                self._append(line)
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise HttpError(503, f"the feedback could not be written: {reason}", "feedback_not_written") from error

    def totals(self, key: str) -> Totals:
        """The numbers of one API key, as the file has them now. HttpError 503 when it cannot be read."""
        with self._lock:
            try:
                with self._open(os.O_RDONLY) as file:
                    self._catch_up(file)
            except FileNotFoundError:
                self._totals = {}
            except OSError as error:
                reason = error.strerror or type(error).__name__
                raise HttpError(503, f"the feedback could not be read: {reason}", "feedback_not_read") from error
            return self._totals.get(key, Totals())

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        created = not self.path.exists()
        with self._open(os.O_RDWR | os.O_CREAT | os.O_APPEND) as file:
            self._catch_up(file)
            end = self._read  # behind the last whole line
            if os.fstat(file).st_size > end:
                os.ftruncate(file, end)
            if end + len(line) > MAX_BYTES:
                raise HttpError(
                    409,
                    f"{FILE_NAME} in the data folder holds {end} bytes, its limit is {MAX_BYTES}: move it away",
                    "feedback_full",
                )
            try:
                if os.write(file, line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(file)
            except OSError:
                os.ftruncate(file, end)
                raise
            self._catch_up(file)
        if created:
            _sync_folder(self.path.parent)

    @contextmanager
    def _open(self, flags: int) -> Iterator[int]:
        """The file, locked against other processes."""
        file = os.open(self.path, flags | getattr(os, "O_CLOEXEC", 0), 0o600)
        try:
            if sys.platform != "win32":
                fcntl.flock(file, fcntl.LOCK_SH if flags == os.O_RDONLY else fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    def _catch_up(self, file: int) -> None:
        """Count the whole lines that were not counted yet; from the beginning when it is another file."""
        status = os.fstat(file)
        file_id = (status.st_dev, status.st_ino)
        if file_id != self._file_id or status.st_size < self._read:
            self._totals, self._read, self._file_id = {}, 0, file_id
        rest = b""
        offset = os.lseek(file, self._read, os.SEEK_SET)
        while chunk := os.read(file, 1 << 20):
            offset += len(chunk)
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                self._count(line)
        self._read = offset - len(rest)

    def _count(self, line: bytes) -> None:
        try:
            entry = msgspec.json.decode(line, type=Feedback)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return  # not ours: somebody edited the file
        self._totals.setdefault(entry.key, Totals()).count(entry)


def _sync_folder(folder: Path) -> None:
    """So that the file itself survives a power loss."""
    if sys.platform == "win32":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
