"""Writes stores as Ollama does."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from tiny_gguf import model_bytes

MEDIA_TYPE = "application/vnd.ollama.image."
HOST = "registry.example"


def add_blob(store: Path, data: bytes) -> dict[str, Any]:
    """Digest and size of a new blob."""
    digest = hashlib.sha256(data).hexdigest()
    (store / "blobs").mkdir(parents=True, exist_ok=True)
    (store / "blobs" / f"sha256-{digest}").write_bytes(data)
    return {"digest": f"sha256:{digest}", "size": len(data)}


def add_manifest(store: Path, name: str, layers: list[dict[str, Any]]) -> Path:
    """`name` is HOST/NAMESPACE/MODEL:TAG, or shorter as Ollama allows."""
    stem, _, tag = name.partition(":")
    parts = stem.split("/")
    parts = [*[HOST, "library"][: 3 - len(parts)], *parts]
    path = store.joinpath("manifests", *parts, tag or "latest")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"schemaVersion": 2, "config": {"digest": "sha256:0"}, "layers": layers}))
    return path


def add_model(store: Path, name: str, model: bytes | None = None, **layers: bytes) -> Path:
    """A model with one layer of each kind that is given; returns the manifest."""
    blobs = {"model": model_bytes() if model is None else model, **layers}
    return add_manifest(
        store, name, [{"mediaType": MEDIA_TYPE + kind, **add_blob(store, data)} for kind, data in blobs.items()]
    )
