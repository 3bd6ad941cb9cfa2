"""What is remembered of one GGUF file: the part of its header that describes a model."""

from __future__ import annotations

import msgspec

from shimmy.discovery.abilities import of_metadata
from shimmy.discovery.classify import Kind, classify
from shimmy.discovery.gguf_header import GgufHeader
from shimmy.discovery.quantization import quantization

FACTS_VERSION = 3
"""To be raised when the fields here, or the rules by which they are told from a header, change."""

_MOST = 2**63 - 1


class FileFacts(msgspec.Struct, frozen=True, kw_only=True, array_like=True, gc=False):
    """One file's own; see `LocalModel` for the meanings."""

    kind: Kind
    architecture: str | None
    title: str | None
    n_params: int
    size_label: str | None
    quantization: str | None
    n_ctx_train: int | None
    tokenizer: str | None
    has_chat_template: bool
    base_models: tuple[str, ...]
    split_count: int
    abilities: tuple[str, ...]


def facts_of(header: GgufHeader) -> FileFacts:
    """What a header says."""
    architecture = header.text("general.architecture")
    return FileFacts(
        kind=classify(header),
        architecture=architecture,
        title=header.text("general.name"),
        n_params=min(header.n_params, _MOST),
        size_label=header.text("general.size_label"),
        quantization=quantization(header),
        n_ctx_train=header.integer(f"{architecture}.context_length"),
        tokenizer=header.text("tokenizer.ggml.model"),
        has_chat_template="tokenizer.chat_template" in header.metadata,
        base_models=_base_models(header),
        split_count=header.integer("split.count") or 1,
        abilities=of_metadata(header.metadata),
    )


def _base_models(header: GgufHeader) -> tuple[str, ...]:
    names = []
    for i in range(min(header.integer("general.base_model.count") or 0, 16)):
        name = header.text(f"general.base_model.{i}.name")
        repository = header.text(f"general.base_model.{i}.repo_url")
        names += [name] if name else []
        names += [repository.rstrip("/").rpartition("/")[2]] if repository else []
    return tuple(names)
