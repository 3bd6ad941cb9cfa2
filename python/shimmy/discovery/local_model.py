"""The record of one model found on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec

from shimmy.discovery.classify import Kind, classify
from shimmy.discovery.gguf_header import GgufHeader
from shimmy.discovery.quantization import quantization


class LocalModel(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF model (all files of a split one together), as its header describes it."""

    name: str
    files: tuple[Path, ...]
    """In the order of the split; one file for most models."""
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
    base_models: tuple[str, ...] = ()
    """For an adapter: the names of what it was trained on."""
    adapters: dict[str, Path] = {}
    """LoRA adapters that belong to it: name -> file."""

    @property
    def path(self) -> Path:
        """The file to load."""
        return self.files[0]


def describe(
    name: str, files: tuple[Path, ...], headers: list[GgufHeader], size_bytes: int, mtime: float
) -> LocalModel:
    """The record of a model whose files have these headers; the first one carries the metadata."""
    header = headers[0]
    architecture = header.text("general.architecture")
    n_params = sum(part.n_params for part in headers)
    return LocalModel(
        name=name,
        files=files,
        size_bytes=size_bytes,
        mtime=mtime,
        kind=classify(header),
        architecture=architecture,
        title=header.text("general.name"),
        n_params=n_params,
        size_label=header.text("general.size_label") or count_label(n_params),
        quantization=quantization(header),
        n_ctx_train=header.integer(f"{architecture}.context_length"),
        tokenizer=header.text("tokenizer.ggml.model"),
        has_chat_template="tokenizer.chat_template" in header.metadata,
        base_models=_base_models(header),
    )


def count_label(n: int) -> str:
    """A count of parameters in three digits: 10884352 -> "10.9M"."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6), ("K", 10**3)):
        if n >= size:
            value = n / size
            return f"{value:.0f}{unit}" if value >= 99.95 else f"{value:.1f}{unit}"
    return str(n)


def _base_models(header: GgufHeader) -> tuple[str, ...]:
    names = []
    for i in range(min(header.integer("general.base_model.count") or 0, 16)):
        name = header.text(f"general.base_model.{i}.name")
        repository = header.text(f"general.base_model.{i}.repo_url")
        names += [name] if name else []
        names += [repository.rstrip("/").rpartition("/")[2]] if repository else []
    return tuple(names)
