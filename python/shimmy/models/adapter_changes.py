"""What was changed about the adapters of models at run time; it lasts as long as the process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shimmy.models.entry import ModelEntry


class AdapterChanges:
    """Files belong to engines, which several models may share; default scales belong to models."""

    def __init__(self) -> None:
        self._added: dict[str, dict[str, Path]] = {}
        self._removed: dict[str, dict[str, Path]] = {}
        self._scales: dict[str, dict[str, float]] = {}

    def add(self, engine: str, name: str, path: Path) -> None:
        """The engine has an adapter from now on; a file of that name before is forgotten."""
        self._added.setdefault(engine, {})[name] = path
        self._removed.get(engine, {}).pop(name, None)

    def remove(self, entry: ModelEntry, name: str) -> None:
        """The entry's engine does not have one of its adapters any more."""
        self._added.get(entry.engine, {}).pop(name, None)
        self._removed.setdefault(entry.engine, {})[name] = entry.adapters[name]

    def removed(self, engine: str) -> Mapping[str, Path]:
        """What `remove` took away from it: name -> file."""
        return self._removed.get(engine, {})

    def set_scales(self, model: str, scales: Mapping[str, float]) -> None:
        """The model's default scales of these adapters; 0: not applied."""
        self._scales.setdefault(model, {}).update(scales)

    def applied(self, entry: ModelEntry) -> ModelEntry:
        """`entry` as it is with them."""
        added, removed = self._added.get(entry.engine, {}), self._removed.get(entry.engine, {})
        scales = self._scales.get(entry.name, {})
        if not added and not removed and not scales:
            return entry
        adapters = {name: path for name, path in {**entry.adapters, **added}.items() if name not in removed}
        lora = {**entry.defaults.lora, **scales}
        lora = {name: scale for name, scale in lora.items() if scale and name in adapters}
        return msgspec.structs.replace(
            entry,
            adapters=adapters,
            late=frozenset(added),
            defaults=msgspec.structs.replace(entry.defaults, lora=lora),
        )
