"""Downloading one file: resumed, checked, and under its final name only when it is whole."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

import msgspec

from shimmy.library.egress import DownloadError, Egress, UnreachableError
from shimmy.library.new_file import sync_folder, write_file

if TYPE_CHECKING:
    import httpx

SPARE_BYTES = 64 * 1024 * 1024
"""What a download leaves free on the disk."""

_CHUNK = 1024 * 1024
_TRIES = 4
_PAUSE_SECONDS = 0.5
_LOCK_SECONDS = 0.2
"""Between two looks whether another download of the same file has ended."""


class CancelledDownloadError(DownloadError):
    """Whoever wanted it went away. What came so far is kept, and the next download goes on from there."""


class RemoteFile(msgspec.Struct, frozen=True, kw_only=True):
    """A file to download. `headers` are for the host of `url` alone."""

    url: str
    size: int
    """In bytes."""
    sha256: str | None = None
    """64 hex digits; None where the host does not say."""
    headers: dict[str, str] = {}


class Download:
    """One file on its way to `target`. `report` hears how many bytes are there; `stop` ends it at the next chunk.
    `known` is the SHA-256 of what the target holds, where that was written down.
    """

    def __init__(
        self,
        file: RemoteFile,
        target: Path,
        report: Callable[[int], None],
        stop: threading.Event,
        known: str | None = None,
    ) -> None:
        self._file = file
        self._target = target
        self._report = report
        self._stop = stop
        self._known = known
        self._hashed: tuple[int, int] | None = None
        self._partial = target.with_name(f"{target.name}.partial")
        self._wanted = target.with_name(f"{target.name}.sha256.partial")
        self._hash = hashlib.sha256()
        self._size = 0

    def run(self, egress: Egress, check: Callable[[Path], None] | None = None) -> None:
        """Blocks, also while another download of the same file runs. `check` looks at the whole file before it gets its
        name, and raises what is wrong with it.

        Raises DownloadError (space, checksum), its UnreachableError when several tries in a row failed,
        CancelledDownloadError, ModelNotFoundError and OSError. What is half there stays beside the target.
        """
        if self.is_there():
            self._report(self._file.size)
            return
        self._target.parent.mkdir(parents=True, exist_ok=True)
        with self._locked() as partial:
            if self.is_there():  # whoever held the lock before finished it
                self._partial.unlink()
                self._report(self._file.size)
                return
            self._take_up(partial)
            check_space(self._target.parent, self._file.size - self._size)
            self._fetch_all(egress, partial)
            try:
                self._verify()
                partial.flush()
                os.fsync(partial.fileno())
                if check is not None:
                    check(self._partial)
            except CancelledDownloadError:
                raise
            except Exception:
                self._partial.unlink(missing_ok=True)  # it would fail again however often it is resumed
                self._wanted.unlink(missing_ok=True)
                raise
            self._partial.replace(self._target)
            sync_folder(self._target.parent)
            self._wanted.unlink(missing_ok=True)

    def is_there(self) -> bool:
        """Whether the file has its final name, which it gets only when it is whole, and is not another version of it.
        Reads all of it when nobody wrote down what it is.
        """
        try:
            status = self._target.stat()
        except OSError:
            return False
        if status.st_size != self._file.size:
            return False
        if self._file.sha256 in (None, self._known):
            return True
        version = (status.st_ino, status.st_mtime_ns)
        if self._hashed != version:
            self._known, self._hashed = self._digest(), version
        return self._known == self._file.sha256

    def _digest(self) -> str:
        found = hashlib.sha256()
        with self._target.open("rb") as file:
            while chunk := file.read(_CHUNK):
                self._check_stop()
                found.update(chunk)
        return found.hexdigest()

    @contextlib.contextmanager
    def _locked(self) -> Iterator[BinaryIO]:
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
        while True:
            with os.fdopen(os.open(self._partial, flags, 0o644), "r+b") as partial:
                self._lock(partial)
                if self._has_its_name(partial):
                    yield partial
                    return

    def _lock(self, partial: BinaryIO) -> None:
        if sys.platform != "win32":
            import fcntl

            while True:
                self._check_stop()
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(partial, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    return
                self._stop.wait(_LOCK_SECONDS)

    def _has_its_name(self, partial: BinaryIO) -> bool:
        """False when whoever held the lock renamed or removed it."""
        try:
            named = self._partial.stat()
        except FileNotFoundError:
            return False
        opened = os.fstat(partial.fileno())
        return (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino)

    def _take_up(self, partial: BinaryIO) -> None:
        """Go on behind what is there already, if that can be checked."""
        size = os.fstat(partial.fileno()).st_size
        if self._file.sha256 is None or size > self._file.size or self._is_of_another(self._file.sha256):
            self._restart(partial)
        if self._file.sha256 is not None:
            write_file(self._wanted, self._file.sha256.encode())
        while chunk := partial.read(_CHUNK):
            self._check_stop()
            self._hash.update(chunk)
            self._size += len(chunk)
            self._report(self._size)

    def _is_of_another(self, sha256: str) -> bool:
        """Whether the part that is there belongs to another version of the file."""
        try:
            return self._wanted.read_bytes() != sha256.encode()
        except FileNotFoundError:
            return False

    def _restart(self, partial: BinaryIO) -> None:
        partial.seek(0)
        partial.truncate()
        self._hash = hashlib.sha256()
        self._size = 0

    def _fetch_all(self, egress: Egress, partial: BinaryIO) -> None:
        tries = 0
        while self._size < self._file.size:
            self._check_stop()
            before = self._size
            try:
                self._fetch(egress, partial)
            except UnreachableError:
                tries = 1 if self._size > before else tries + 1
                if tries == _TRIES:
                    raise
                self._stop.wait(_PAUSE_SECONDS * 2**tries)
            else:
                if self._size == before:
                    raise DownloadError(f"{self._target.name}: the host ends at {before} of {self._file.size} bytes")

    def _fetch(self, egress: Egress, partial: BinaryIO) -> None:
        headers = dict(self._file.headers)
        if self._size:
            headers["range"] = f"bytes={self._size}-"
        with egress.get(self._file.url, headers) as response:
            if response.status_code == 416 or not self._continues(response):
                self._restart(partial)
                if response.status_code != 200:
                    raise UnreachableError(f"{self._target.name}: the host does not go on where it ended")
            for chunk in response.iter_raw(_CHUNK):
                self._check_stop()
                if self._size + len(chunk) > self._file.size:
                    raise DownloadError(
                        f"{self._target.name}: the host sends more than the {self._file.size} bytes it said"
                    )
                partial.write(chunk)
                self._hash.update(chunk)
                self._size += len(chunk)
                self._report(self._size)

    def _continues(self, response: httpx.Response) -> bool:
        """Whether its first byte is the one that comes next."""
        if response.status_code == 206:
            return bool(response.headers.get("content-range", "").startswith(f"bytes {self._size}-"))
        return self._size == 0

    def _verify(self) -> None:
        if self._file.sha256 is not None and self._hash.hexdigest() != self._file.sha256:
            raise DownloadError(
                f"{self._target.name}: what was downloaded has another SHA-256 than the host says; try again"
            )

    def _check_stop(self) -> None:
        if self._stop.is_set():
            raise CancelledDownloadError(f"{self._target.name}: the download was cancelled")


def check_space(folder: Path, n_bytes: int) -> None:
    """DownloadError when the disk of `folder` has no room for so many more bytes."""
    free = shutil.disk_usage(folder).free
    if n_bytes > 0 and free < n_bytes + SPARE_BYTES:
        raise DownloadError(
            f"there is no room for {n_bytes / 1e9:.1f} GB: the disk has {free / 1e9:.1f} GB free; delete a model or "
            "set library to a folder on another disk"
        )
