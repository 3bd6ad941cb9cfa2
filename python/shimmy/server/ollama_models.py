"""Models as Ollama's API describes them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from datetime import datetime, timezone
from typing import Any

import msgspec
from msgspec import UNSET

from shimmy.discovery.gguf_header import Omitted, read_header
from shimmy.library.record import Record
from shimmy.models.entry import ModelEntry
from shimmy.models.manager import ModelStatus
from shimmy.models.virtual_names import Listed
from shimmy.server.schemas.ollama import OllamaDetails, OllamaMessage, OllamaModel, OllamaProcess, OllamaShow

_FOREVER = datetime(2318, 1, 1, tzinfo=timezone.utc)  # as Ollama says it of models that stay

_TEMPLATE = "tokenizer.chat_template"


def described(entry: ModelEntry) -> OllamaModel:
    """One line of /api/tags."""
    return OllamaModel(
        name=entry.name,
        model=entry.name,
        modified_at=_modified(entry),
        size=entry.size_bytes,
        digest=digest(entry),
        details=_details(entry),
        capabilities=_capabilities(entry),
    )


def stand_in(virtual: Listed) -> OllamaModel:
    """One line of /api/tags, of a name without a file of its own."""
    return OllamaModel(
        name=virtual.name,
        model=virtual.name,
        modified_at=_time(virtual.created),
        size=0,
        digest=hashlib.sha256(f"{virtual.chooses}\n{virtual.name}".encode()).hexdigest(),
        details=OllamaDetails(
            parent_model="",
            family=virtual.chooses,
            families=[virtual.chooses],
            parameter_size="",
            quantization_level="unknown",
        ),
        capabilities=_in_ollamas_words(virtual.abilities),
    )


def process_of(entry: ModelEntry, status: ModelStatus) -> OllamaProcess:
    """One line of /api/ps, of a loaded model."""
    assert status.info is not None
    held = status.held.ram + status.held.vram
    return OllamaProcess(
        name=entry.name,
        model=entry.name,
        size=round(held) or status.info.size_bytes,
        digest=digest(entry),
        details=_details(entry),
        expires_at=_time(status.expires_at),
        size_vram=status.info.vram_bytes,
        context_length=status.info.n_ctx,
    )


def _time(seconds: float | None) -> str:
    """RFC 3339; far in the future for what never comes."""
    if seconds is None or seconds > _FOREVER.timestamp():
        return _FOREVER.isoformat()
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat()


def shown(entry: ModelEntry, *, verbose: bool = False) -> OllamaShow:
    """/api/show: the file's metadata and what the model is asked with. Lists are told when `verbose`, up to 64 items.

    Raises OSError and GgufError when the file cannot be read.
    """
    metadata = read_header(entry.path).metadata
    record = entry.record or Record(name=entry.name, created=0)
    own = metadata.get(_TEMPLATE)
    template = record.template or (own if isinstance(own, str) else "")
    info: dict[str, Any] = {
        key: None if isinstance(value, Omitted) or (isinstance(value, tuple) and not verbose) else value
        for key, value in metadata.items()
        if key != _TEMPLATE
    }
    license_text = "\n".join(record.license) or metadata.get("general.license")
    return OllamaShow(
        modelfile=_modelfile(entry, record),
        parameters="\n".join(f"{name:<30} {value}" for name, value in _parameters(record)),
        template=template,
        system=record.system or UNSET,
        license=license_text if isinstance(license_text, str) and license_text else UNSET,
        messages=msgspec.convert(record.messages, list[OllamaMessage]) or UNSET,
        details=_details(entry),
        model_info={"general.parameter_count": entry.model.n_params, **info},
        capabilities=_capabilities(entry),
        modified_at=_modified(entry),
    )


def _modelfile(entry: ModelEntry, record: Record) -> str:
    """Ollama's file format; FROM names a model, as no path of this machine is told."""
    lines = [f"FROM {record.base or entry.name}"]
    if record.template:
        lines.append(f'TEMPLATE """{record.template}"""')
    if record.system:
        lines.append(f'SYSTEM """{record.system}"""')
    lines += [f"PARAMETER {name} {value}" for name, value in _parameters(record)]
    lines += [f"MESSAGE {message['role']} {message['content']}" for message in record.messages]
    lines += [f'LICENSE """{text}"""' for text in record.license]
    return "\n".join(lines) + "\n"


def _parameters(record: Record) -> list[tuple[str, str]]:
    """Each value as JSON; lists as several of the same name."""
    return [
        (name, json.dumps(item, ensure_ascii=False))
        for name, value in record.parameters.items()
        for item in (value if isinstance(value, list) else [value])
    ]


def _capabilities(entry: ModelEntry) -> list[str]:
    """In Ollama's words, which has none for ranking."""
    if entry.kind in ("embedding", "rerank"):
        return ["embedding"]
    return _in_ollamas_words(entry.abilities)


def _in_ollamas_words(abilities: Collection[str]) -> list[str]:
    return [word for word in ("completion", "tools", "insert", "thinking") if word in abilities]


def digest(entry: ModelEntry) -> str:
    """Stands for this version of the file: another one after any change, without reading gigabytes."""
    return hashlib.sha256(f"{entry.path}\n{entry.size_bytes}\n{entry.model.mtime}".encode()).hexdigest()


def _modified(entry: ModelEntry) -> str:
    return _time(entry.created)


def _details(entry: ModelEntry) -> OllamaDetails:
    family = entry.model.architecture or "unknown"
    return OllamaDetails(
        parent_model=(entry.record and entry.record.base) or "",
        family=family,
        families=[family],
        parameter_size=entry.model.size_label,
        quantization_level=entry.model.quantization or "unknown",
        context_length=entry.model.n_ctx_train or UNSET,
    )
