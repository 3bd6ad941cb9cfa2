"""The record of one model found on disk."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec

from shimmy.discovery.classify import Kind
from shimmy.discovery.file_facts import FileFacts
from shimmy.discovery.ollama_layers import OllamaLayers


class LocalModel(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A GGUF model (all files of a split one together), as its header describes it."""

    name: str
    files: tuple[str, ...]
    """Absolute paths in the order of the split; one file for most models."""
    size_bytes: int
    mtime: float
    """Seconds since the epoch, of the newest file."""
    kind: Kind
    architecture: str | None = None
    title: str | None = None
    """The file's own `general.name`."""
    n_params: int = 0
    size_label: str = ""
    """The file's own label such as "8B" or "8x7B", else the parameters counted: "10.9M"."""
    quantization: str | None = None
    n_ctx_train: int | None = None
    tokenizer: str | None = None
    has_chat_template: bool = False
    abilities: tuple[str, ...] = ()
    """tools, thinking and insert, as its file tells."""
    base_models: tuple[str, ...] = ()
    """For an adapter: the names of what it was trained on."""
    adapters: dict[str, Path] = {}
    """LoRA adapters that belong to it: name -> file."""
    aliases: tuple[str, ...] = ()
    """Other names for it."""
    ollama: OllamaLayers | None = None
    """What one of Ollama's manifests adds to the file."""

    @property
    def path(self) -> Path:
        """The file to load."""
        return Path(self.files[0])


def describe(
    name: str, files: tuple[str, ...], facts: Sequence[FileFacts], size_bytes: int, mtime: float
) -> LocalModel:
    """The record of a model whose files have these facts; the first one carries the metadata."""
    first = facts[0]
    n_params = first.n_params if len(facts) == 1 else sum(part.n_params for part in facts)
    return LocalModel(
        name=name,
        files=files,
        size_bytes=size_bytes,
        mtime=mtime,
        kind=first.kind,
        architecture=first.architecture,
        title=first.title,
        n_params=n_params,
        size_label=first.size_label or count_label(n_params),
        quantization=first.quantization,
        n_ctx_train=first.n_ctx_train,
        tokenizer=first.tokenizer,
        has_chat_template=first.has_chat_template,
        abilities=first.abilities,
        base_models=first.base_models,
    )


def count_label(n: int) -> str:
    """A count of parameters in three digits: 10884352 -> "10.9M"."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            value = n / size
            return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.1f}{unit}"
    return str(n)
