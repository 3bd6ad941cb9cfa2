"""A registry of names without files; the path says how the scripted engine loads."""

from __future__ import annotations

from dataclasses import dataclass

from shimmy.errors import ModelNotFoundError
from shimmy.model_info import LoadSpec


@dataclass(frozen=True)
class FakeEntry:
    name: str
    path: str
    source: str = "discovered"
    size_bytes: int = 1000
    created: int = 1_700_000_000
    kind: str = "chat"

    def load_spec(self) -> LoadSpec:
        return LoadSpec(name=self.name, path=self.path)


class FakeRegistry:
    def __init__(self, *entries: FakeEntry) -> None:
        self._entries = {entry.name: entry for entry in entries}

    def names(self) -> list[str]:
        return list(self._entries)

    def entries(self) -> list[FakeEntry]:
        return list(self._entries.values())

    def get(self, name: str) -> FakeEntry:
        if name not in self._entries:
            raise ModelNotFoundError(f"model {name!r} not found; available: {', '.join(self._entries)}.")
        return self._entries[name]
