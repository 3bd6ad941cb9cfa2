"""The library's models among those that were found: what was downloaded or created, under its own name."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

import msgspec

from shimmy.discovery.classify import LOADABLE
from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.walk import Problem
from shimmy.errors import ModelLoadError, ShimmyError
from shimmy.library.library import Library
from shimmy.library.record import Record
from shimmy.models.configure import recorded
from shimmy.models.entry import ModelEntry


class Shelf:
    """Reads the library once. `problems` says which records are of no use, and why."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._records, broken = library.read()
        self.problems = [Problem(record.path, f"not a record of a model: {record.message}") for record in broken]

    def arrange(
        self,
        found: dict[str, ModelEntry],
        read: Callable[[Record], ModelEntry],
        base: Callable[[str], ModelEntry | None],
        reserved: Collection[str] = (),
    ) -> dict[str, ModelEntry]:
        """`found` and the library's, by name, in the order of `found` and of their creation.

        A model of the library stands for the file that a search found in its folder, but never takes a name in
        `reserved`. `read` makes an entry of a record's file, `base` knows models that are in neither.
        """
        entries = dict(found)
        for record in self._records:
            try:
                if record.name in reserved:
                    raise ModelLoadError(f"another model is called {record.name}: it was given, or comes with shimmy")
                if record.base is None:
                    entry = read(record)
                else:
                    entry = self._made_of(record.base, found.get(record.base) or base(record.base))
            except (ShimmyError, OSError) as error:
                reason = error.message if isinstance(error, ShimmyError) else error.strerror
                self.problems.append(Problem(self._library.folder / "names" / record.name, str(reason)))
                continue
            if record.base is None:
                entries = {
                    name: one
                    for name, one in entries.items()
                    if one.record or one.source == "registered" or one.path != entry.path
                }
            hidden = entries.get(record.name)
            if hidden is not None and hidden.path != entry.path:
                self.problems.append(Problem(hidden.path, f"a model of the library is called {record.name} too"))
            entries[record.name] = recorded(entry, record)
        return entries

    def _made_of(self, name: str, entry: ModelEntry | None) -> ModelEntry:
        if entry is None:
            raise ModelLoadError(f"it is made from {name}, which is not there any more")
        return entry


def check_loadable(model: LocalModel) -> LocalModel:
    """ModelLoadError for a file that cannot be loaded on its own."""
    if model.kind not in LOADABLE:
        raise ModelLoadError(f"{os.fspath(model.path)} is of kind {model.kind} and cannot be loaded on its own")
    return model


def sharing(entries: dict[str, ModelEntry]) -> dict[str, ModelEntry]:
    """Entries that would be loaded in the same way get the engine of the first of them."""
    recorded = {entry.path for entry in entries.values() if entry.record is not None}
    engines: dict[bytes, str] = {}
    shared: dict[str, ModelEntry] = {}
    for name, entry in entries.items():
        if entry.path in recorded:
            try:
                spec = msgspec.structs.replace(entry.load_spec(), name="")
            except ShimmyError:
                continue  # loading it says what is wrong
            first = engines.setdefault(msgspec.json.encode(spec), name)
            if first != name:
                shared[name] = msgspec.structs.replace(entry, shared=first)
    return {**entries, **shared}
