"""A registry of names without files; the path says how the scripted engine loads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.walk import Problem, Root
from shimmy.errors import ModelNotFoundError
from shimmy.library.library import Library
from shimmy.model_info import LoadSpec
from shimmy.models.adapter_changes import AdapterChanges
from shimmy.models.auto_name import Tell
from shimmy.models.need import Need
from shimmy.models.virtual_names import Listed
from shimmy.request_defaults import RequestDefaults
from shimmy.settings import Settings


@dataclass(frozen=True)
class FakeEntry:
    name: str
    path: str
    source: str = "discovered"
    size_bytes: int = 1000
    created: int = 1_700_000_000
    kind: str = "chat"

    adapters: dict[str, Path] = field(default_factory=dict)
    aliases: tuple[str, ...] = ()
    defaults: RequestDefaults = field(default_factory=RequestDefaults)
    settings: Settings = field(default_factory=Settings)
    pinned: bool = False

    record = None
    abilities = frozenset({"chat", "completion"})

    @property
    def engine(self) -> str:
        return self.name

    @property
    def model(self) -> LocalModel:
        return LocalModel(
            name=self.name,
            files=(self.path,),
            size_bytes=self.size_bytes,
            mtime=self.created,
            kind="chat",
            architecture="scripted",
            size_label="1K",
            quantization="F32",
            n_ctx_train=256,
        )

    def load_spec(self) -> LoadSpec:
        return LoadSpec(name=self.name, path=self.path)


class FakeRegistry:
    def __init__(self, *entries: FakeEntry) -> None:
        self._entries = {entry.name: entry for entry in entries}
        self.rescans = 0
        self.library = Library(Path("no-library"))
        self.adapter_changes = AdapterChanges()
        self.roots: list[Root] = []
        self.found: list[LocalModel] = []

    def names(self) -> list[str]:
        return list(self._entries)

    def entries(self) -> list[FakeEntry]:
        return list(self._entries.values())

    def settle(self, name: str, need: Callable[[], Need]) -> None:
        pass

    def observe(self, tell: Tell) -> None:
        pass

    def virtual_names(self) -> list[Listed]:
        return []

    def adapter_names(self, entry: FakeEntry) -> list[str]:
        return []

    def fall_back(self, name: str, failed: str) -> bool:
        return False

    def check_free(self, name: str) -> None:
        pass

    settings_path = None
    problems: tuple[Problem, ...] = ()

    def rescan(self, settings: Settings | None = None) -> None:
        self.rescans += 1

    def get(self, name: str) -> FakeEntry:
        name = name.removesuffix(":latest")
        if name not in self._entries:
            raise ModelNotFoundError(f"model {name!r} not found; available: {', '.join(self._entries)}.")
        return self._entries[name]
