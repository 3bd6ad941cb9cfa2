"""Models as Ollama's API describes them."""

from __future__ import annotations

import hashlib
from datetime import datetime, timezone
from typing import Any

from shimmy.discovery.gguf_header import Omitted, read_header
from shimmy.models.entry import ModelEntry
from shimmy.models.manager import ModelStatus
from shimmy.server.schemas.ollama import OllamaDetails, OllamaModel, OllamaProcess, OllamaShow

_FOREVER = datetime(2318, 1, 1, tzinfo=timezone.utc).isoformat()  # as Ollama says it of models that stay

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
        capabilities=capabilities(entry, None),
    )


def process_of(entry: ModelEntry, status: ModelStatus) -> OllamaProcess:
    """One line of /api/ps, of a loaded model."""
    assert status.info is not None
    offloaded = status.info.n_gpu_layers / (status.info.n_layer + 1) if status.info.n_layer else 0
    return OllamaProcess(
        name=entry.name,
        model=entry.name,
        size=status.info.size_bytes,
        digest=digest(entry),
        details=_details(entry),
        expires_at=_FOREVER,
        size_vram=round(status.info.size_bytes * offloaded),
        context_length=status.info.n_ctx,
    )


def shown(entry: ModelEntry) -> OllamaShow:
    """/api/show: the file's metadata but for what is long, and the template."""
    metadata = read_header(entry.path).metadata
    template = metadata.get(_TEMPLATE)
    info: dict[str, Any] = {
        key: None if isinstance(value, (tuple, Omitted)) else value
        for key, value in metadata.items()
        if key != _TEMPLATE
    }
    text = template if isinstance(template, str) else None
    return OllamaShow(
        template=text or "",
        details=_details(entry),
        model_info={"general.parameter_count": entry.model.n_params, **info},
        capabilities=capabilities(entry, text),
        modified_at=_modified(entry),
    )


def capabilities(entry: ModelEntry, template: str | None) -> list[str]:
    """What it can do, in Ollama's words. Tools and thinking are known from the file's own template only."""
    if entry.kind in ("embedding", "rerank"):
        return ["embedding"]
    words = {"tools": "tools", "thinking": "enable_thinking"}
    return ["completion", *(name for name, word in words.items() if template and word in template)]


def digest(entry: ModelEntry) -> str:
    """Stands for this version of the file: another one after any change, without reading gigabytes."""
    return hashlib.sha256(f"{entry.path}\n{entry.size_bytes}\n{entry.model.mtime}".encode()).hexdigest()


def _modified(entry: ModelEntry) -> str:
    return datetime.fromtimestamp(entry.created, timezone.utc).isoformat()


def _details(entry: ModelEntry) -> OllamaDetails:
    family = entry.model.architecture or "unknown"
    return OllamaDetails(
        family=family,
        families=[family],
        parameter_size=entry.model.size_label,
        quantization_level=entry.model.quantization or "unknown",
    )
