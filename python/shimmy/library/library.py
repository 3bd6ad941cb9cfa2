"""The folder in which shimmy keeps the models that it downloaded or created."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import quote

import msgspec

from shimmy.errors import ModelNotFoundError
from shimmy.library.new_file import write_file
from shimmy.library.record import Record

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class BrokenRecord(msgspec.Struct, frozen=True):
    """A record that cannot be read, and why."""

    path: Path
    message: str


class Library:
    """Records of models, one TOML file each in `names`; their files lie beside it. Nothing exists before it is needed.

    A record is written whole or not at all, and whoever removes files or needs them to stay holds a lock, so that
    threads and, but for Windows, processes may share one folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._names = self.folder / "names"
        self._changing = threading.Lock()

    def read(self) -> tuple[list[Record], list[BrokenRecord]]:
        """All records, the oldest first, and those that are none."""
        records: list[Record] = []
        broken: list[BrokenRecord] = []
        for path in sorted(self._names.glob("*.toml")):
            try:
                records.append(msgspec.convert(tomllib.loads(path.read_text(encoding="utf-8")), Record))
            except (OSError, ValueError, RecursionError, msgspec.ValidationError) as error:
                broken.append(BrokenRecord(path, str(error)))
        return sorted(records, key=lambda record: (record.created, record.name)), broken

    def save(self, record: Record) -> None:
        """Write or replace the record of that name. OSError when the folder takes no file."""
        with self._lock():
            self._save(record)

    def _save(self, record: Record) -> None:
        import tomli_w

        text = tomli_w.dumps(msgspec.to_builtins(record), multiline_strings=False)
        write_file(self._path(record.name), text.encode())

    def delete(self, name: str) -> None:
        """Remove a record, and those of its files that no other one has. ModelNotFoundError, OSError."""
        if not self._names.is_dir():
            raise ModelNotFoundError(f"the library has no model {name!r}")
        with self._lock():
            record = next((one for one in self.read()[0] if one.name == name), None)
            if record is None:
                raise ModelNotFoundError(f"the library has no model {name!r}")
            self._path(name).unlink(missing_ok=True)
            self._remove_unused(record.files)

    def replace(self, record: Record) -> None:
        """`save`, and remove the files that only the record of that name had before. ModelNotFoundError when one of its
        own was removed meanwhile, OSError.
        """
        with self._lock():
            for file in record.files:
                if not self.file(file).is_file():
                    raise ModelNotFoundError(f"{file} was deleted from the library meanwhile: try again")
            before = next((one for one in self.read()[0] if one.name == record.name), None)
            self._save(record)
            if before is not None:
                self._remove_unused(before.files)

    def file(self, name: str) -> Path:
        """The path of one of a record's files; ModelNotFoundError for one outside of the folder."""
        path = Path(os.path.normpath(self.folder / name))
        if not path.is_relative_to(self.folder) or "\0" in name:
            raise ModelNotFoundError(f"the library has no file {name!r}")
        return path

    def _path(self, name: str) -> Path:
        return self._names / f"{quote(name, safe='')}.toml"

    @contextlib.contextmanager
    def _lock(self) -> Iterator[None]:
        self._names.mkdir(parents=True, exist_ok=True)
        with self._changing, contextlib.ExitStack() as stack:
            if sys.platform != "win32":
                import fcntl

                handle = os.open(self._names, os.O_RDONLY)
                stack.callback(os.close, handle)
                with contextlib.suppress(OSError):  # not every file system can
                    fcntl.flock(handle, fcntl.LOCK_EX)
            yield

    def _remove_unused(self, files: Iterable[str]) -> None:
        """Those that no record has."""
        kept = {file for one in self.read()[0] for file in one.files}
        for file in files:
            if file not in kept:
                self._remove(self.file(file))

    def _remove(self, path: Path) -> None:
        """The file, and the folders that it leaves empty."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.folder:
                return
            with contextlib.suppress(OSError):
                folder.rmdir()
