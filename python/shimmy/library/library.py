"""The folder in which shimmy keeps the models that it downloaded or created."""

from __future__ import annotations

import contextlib
import os
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote

import msgspec

from shimmy.errors import ModelNotFoundError
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

    A record is written whole or not at all, so that two processes may use one folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self._names = self.folder / "names"

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
        import tomli_w

        self._names.mkdir(parents=True, exist_ok=True)
        values = msgspec.to_builtins(record)
        handle, temporary = tempfile.mkstemp(dir=self._names, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as file:
                tomli_w.dump(values, file, multiline_strings=False)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(self._path(record.name))
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise

    def delete(self, name: str) -> None:
        """Remove a record, and those of its files that no other one has. ModelNotFoundError, OSError."""
        records, _ = self.read()
        record = next((one for one in records if one.name == name), None)
        if record is None:
            raise ModelNotFoundError(f"the library has no model {name!r}")
        self._path(name).unlink(missing_ok=True)
        kept = {file for one in records if one is not record for file in one.files}
        for file in record.files:
            if file not in kept:
                self._remove(self.file(file))

    def replace(self, record: Record) -> None:
        """`save`, and remove the files that only the record of that name had before."""
        before = next((one for one in self.read()[0] if one.name == record.name), None)
        self.save(record)
        for file in before.files if before else ():
            if not any(file in one.files for one in self.read()[0]):
                self._remove(self.file(file))

    def file(self, name: str) -> Path:
        """The path of one of a record's files; ModelNotFoundError for one outside of the folder."""
        path = Path(os.path.normpath(self.folder / name))
        if not path.is_relative_to(self.folder) or "\0" in name:
            raise ModelNotFoundError(f"the library has no file {name!r}")
        return path

    def _path(self, name: str) -> Path:
        return self._names / f"{quote(name, safe='')}.toml"

    def _remove(self, path: Path) -> None:
        """The file, and the folders that it leaves empty."""
        path.unlink(missing_ok=True)
        for folder in path.parents:
            if folder == self.folder:
                return
            with contextlib.suppress(OSError):
                folder.rmdir()
