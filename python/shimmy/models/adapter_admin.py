"""Adapters of models that are served: what there is, and changing it while requests run."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from shimmy.discovery.names import stem_name
from shimmy.discovery.scan import Scanner
from shimmy.errors import InvalidRequestError, ModelLoadError, ModelNotFoundError
from shimmy.models.adapter_files import allowed_file, check_adapter, found_file
from shimmy.models.adapter_names import refuse_adapter
from shimmy.models.entry import ModelEntry
from shimmy.models.manager import ModelManager

AdapterState: TypeAlias = Literal["loaded", "unloaded", "failed"]

MAX_ADAPTERS = 64
"""Of one model: the memory of what is loaded is not bounded otherwise."""
MAX_NAME = 128
"""Characters."""


class AdapterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One adapter of a model, as it is now."""

    name: str
    path: Path
    scale: float
    """What requests that name no adapter get; 0: nothing of it."""
    state: AdapterState
    """unloaded: it is loaded by the first request that names it; failed: its file as it is now cannot be loaded."""
    size_bytes: int | None
    """None when the file has gone."""
    error: str | None = None
    """Why it failed. What was loaded of the file before stays."""


class AdapterAdmin:
    """Changes last until the process ends. They interrupt no request: each goes on with the adapters it began with."""

    def __init__(self, manager: ModelManager) -> None:
        self._manager = manager
        self._registry = manager.registry

    async def statuses(self, model: str) -> list[AdapterStatus]:
        """In the order of their numbers. Raises ModelNotFoundError, and InvalidRequestError for a model's name with an
        adapter.
        """
        entry = self._entry(model)
        client = self._manager.loaded(entry.name)
        loaded = client.info.adapters if client else []
        faults = self._manager.adapter_faults(entry.name) if client else {}
        sizes = await asyncio.to_thread(lambda: {name: _size(path) for name, path in entry.adapters.items()})
        return [
            AdapterStatus(
                name=name,
                path=path,
                scale=entry.defaults.lora.get(name, 0.0),
                state="failed" if name in faults else "loaded" if name in loaded else "unloaded",
                size_bytes=sizes[name],
                error=_without_paths(faults[name], path, entry) if name in faults else None,
            )
            for name, path in entry.adapters.items()
        ]

    async def load(
        self, model: str, name: str | None = None, path: str | None = None, scale: float | None = None
    ) -> str:
        """Load an adapter of the model, or one that was found, or a file in the folders that are searched; also the
        model when it is not loaded. One of the same name is replaced. Returns its name.

        Raises InvalidRequestError for a file that is not allowed or no adapter of this model, ModelNotFoundError when
        there is no such adapter, and what loading a model raises.
        """
        entry = self._entry(model)
        if name is None and path is None:
            raise InvalidRequestError("name or path is required", "name")
        file = await asyncio.to_thread(self._file, entry, name, path)
        name = stem_name(file) if name is None else name
        _check_name(name)
        if name not in entry.adapters and len(entry.adapters) >= MAX_ADAPTERS:
            raise InvalidRequestError(f"model {entry.name!r} has {MAX_ADAPTERS} adapters: unload one first", "name")
        try:
            await asyncio.to_thread(check_adapter, file, entry.model, lambda path: Scanner().read(path))
        except FileNotFoundError as error:
            raise ModelNotFoundError(f"the file of adapter {name!r} has gone") from error
        except OSError as error:
            raise InvalidRequestError(
                f"the file of adapter {name!r} cannot be read: {error.strerror}", "path"
            ) from error
        except ModelLoadError as error:
            raise InvalidRequestError(_without_paths(error.message, file, entry), "path") from error
        async with self._manager.use(entry.name) as client:
            try:
                await client.load_adapter(name, str(file))
            except ModelLoadError as error:
                raise InvalidRequestError(_without_paths(error.message, file, entry), "path") from error
        self._registry.adapter_changes.add(entry.engine, name, file)
        if scale is not None:
            self._registry.adapter_changes.set_scales(entry.name, {name: scale})
        return name

    async def unload(self, model: str, name: str) -> None:
        """Requests that use it finish with it, later ones that name it are refused. Raises ModelNotFoundError."""
        entry = self._entry(model)
        _check_known(entry, name)
        self._registry.adapter_changes.remove(entry, name)
        client = self._manager.loaded(entry.name)
        if client is not None:
            await client.unload_adapter(name)

    def set_scales(self, model: str, scales: Mapping[str, float]) -> None:
        """For requests from now on that name no adapter. Raises ModelNotFoundError, and then nothing has changed."""
        entry = self._entry(model)
        for name in scales:
            _check_known(entry, name)
        self._registry.adapter_changes.set_scales(entry.name, scales)

    def _entry(self, model: str) -> ModelEntry:
        entry = self._registry.get(model)
        refuse_adapter(entry)
        return entry

    def _file(self, entry: ModelEntry, name: str | None, path: str | None) -> Path:
        if path is not None:
            folders = [*(root.path for root in self._registry.roots), entry.path.parent]
            return allowed_file(path, folders)
        assert name is not None
        if name in entry.adapters:
            return entry.adapters[name]
        removed = self._registry.adapter_changes.removed(entry.engine)
        return removed.get(name) or found_file(name, self._registry.found, entry.model.architecture)


def _check_name(name: str) -> None:
    if not 1 <= len(name) <= MAX_NAME or any(letter < " " or letter == "\x7f" for letter in name):
        raise InvalidRequestError(f"name must be 1 to {MAX_NAME} characters, without control characters", "name")
    if name.startswith("#"):
        raise InvalidRequestError("name must not begin with #, which stands for an adapter's number", "name")


def _check_known(entry: ModelEntry, name: str) -> None:
    if name not in entry.adapters:
        known = ", ".join(entry.adapters) or "none"
        raise ModelNotFoundError(f"model {entry.name!r} has no adapter {name[:200]!r}; it has {known}")


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None


def _without_paths(message: str, adapter: Path, entry: ModelEntry) -> str:
    """Clients are told names, no folders of this machine."""
    folders = {os.fspath(path.parent) + os.sep for path in (adapter, entry.path)}
    for folder in sorted(folders, key=len, reverse=True):
        message = message.replace(folder, "")
    return message
