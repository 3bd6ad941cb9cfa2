"""One model that can be loaded, with everything that settings and other programs say about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import msgspec

from shimmy.discovery.abilities import of_kind, of_template
from shimmy.discovery.classify import Kind
from shimmy.discovery.local_model import LocalModel
from shimmy.errors import ModelLoadError
from shimmy.library.record import Record
from shimmy.model_info import KvStoreSpec, LoadSpec
from shimmy.request_defaults import RequestDefaults
from shimmy.settings import Settings, kv_cache_path
from shimmy.templates.choose import choose_template

Source = Literal["registered", "discovered"]


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What the registry knows of a model under its name."""

    name: str
    source: Source
    """registered: given by an option, or the embedded demo model; discovered: found in a folder."""
    model: LocalModel
    adapters: dict[str, Path]
    """Its LoRA adapters: name -> file."""
    late: frozenset[str] = frozenset()
    """Those that came at run time. They are loaded when they are wanted, the others with the model."""
    settings: Settings
    """Of the process, with what is set for this model."""
    aliases: tuple[str, ...] = ()
    """Other names for it."""
    defaults: RequestDefaults = RequestDefaults()
    """What applies to requests that say nothing."""
    draft: Path | None = None
    """A model that proposes tokens for it."""
    capabilities: tuple[str, ...] | None = None
    """What its settings say it can do; None: what its file tells."""
    record: Record | None = None
    """How shimmy came by it, and what it is asked with; None for what was found or given."""
    shared: str | None = None
    """The model whose engine answers for it, where that one would be loaded in the same way."""
    pinned: bool = False
    """Whether only who asks for it unloads it."""
    fault: str | None = None
    """Why it cannot be loaded as its settings say."""

    @property
    def engine(self) -> str:
        """The name of the engine that answers."""
        return self.shared or self.name

    @property
    def path(self) -> Path:
        return self.model.path

    @property
    def size_bytes(self) -> int:
        return self.model.size_bytes

    @property
    def created(self) -> int:
        """When the file was last changed, in seconds since the epoch."""
        return int(self.model.mtime)

    @property
    def kind(self) -> Kind:
        return self.model.kind

    @property
    def abilities(self) -> frozenset[str]:
        """chat, completion, embedding, rerank, tools, thinking, insert: what `auto` may choose it for."""
        if self.capabilities is not None:
            return frozenset(self.capabilities)
        own = self.model.abilities
        if self.record is not None and self.record.template is not None:
            own = (*of_template(self.record.template), *(word for word in own if word == "insert"))
        return frozenset((*of_kind(self.kind), *own))

    def load_spec(self) -> LoadSpec:
        """How to load it, with the settings applied. Raises InvalidRequestError for a bad chat_template setting,
        ModelLoadError when what is set for this model does not fit.
        """
        if self.fault is not None:
            raise ModelLoadError(f"model {self.name!r}: {self.fault}")
        settings = self.settings
        template = (self.record and self.record.template) or choose_template(
            self.model.architecture,
            f"{self.name} {self.model.title or ''}",
            settings.chat_template,
            has_own=self.model.has_chat_template,
            foreign=self.model.ollama.template if self.model.ollama else None,
        )
        context: dict[str, Any] = {} if settings.ctx is None else {"n_ctx": settings.ctx}
        spec = LoadSpec(
            name=self.engine,
            path=str(self.path),
            adapters={name: str(path) for name, path in self.adapters.items() if name not in self.late},
            draft=None if self.draft is None else str(self.draft),
            chat_template=template,
            context=context,
            engine={} if settings.max_waiting is None else {"max_waiting": settings.max_waiting},
            kv_store=_kv_store(settings),
            tune=settings.tune,
        )
        return settings.onto(spec)


def _kv_store(settings: Settings) -> KvStoreSpec | None:
    if settings.kv_cache_disk == 0:
        return None
    return KvStoreSpec(str(kv_cache_path(settings).absolute()), settings.kv_cache_disk)
