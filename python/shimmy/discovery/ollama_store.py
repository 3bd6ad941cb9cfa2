"""Models in one of Ollama's stores: `manifests/HOST/NAMESPACE/MODEL/TAG` and the `blobs` that those name.

A manifest is an OCI image manifest whose layers have media types of Ollama's own.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from shimmy.discovery.ollama_layers import OllamaLayers
from shimmy.discovery.walk import Problem, reason

MAX_MANIFEST_BYTES = 1024 * 1024
MAX_LAYERS = 1024
MAX_TEXT_BYTES = 1024 * 1024
"""Of a template, a system message, parameters or messages."""

_MEDIA_TYPE = "application/vnd.ollama.image."
_DIGEST = re.compile(r"sha256[:-]([0-9a-f]{64})", re.ASCII)
_PART = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", re.ASCII)
_DEPTH = 4
_DEFAULT_NAMESPACE, _DEFAULT_TAG = "library", "latest"


class StoredModel(msgspec.Struct, frozen=True, kw_only=True):
    """One manifest: a file of weights and what goes with it."""

    names: tuple[str, ...]
    """The shortest first: "llama3:8b", "library/llama3:8b", "HOST/library/llama3:8b"; without the tag as well when it
    is the one that Ollama takes for granted.
    """
    file: Path
    layers: OllamaLayers


class StoreError(Exception):
    """A manifest that cannot be used, and why."""


class _Layer(msgspec.Struct):
    media_type: str = msgspec.field(name="mediaType")
    digest: str
    size: int = 0


class _Manifest(msgspec.Struct):
    layers: list[_Layer] | None = None


class _Message(msgspec.Struct):
    role: str
    content: str = ""


def read_store(store: Path) -> Iterator[StoredModel | Problem]:
    """The models of a store in the order of their names. What is broken or downloaded in part becomes a Problem."""
    manifests = store / "manifests"
    for found in _manifest_files(manifests, ()):
        if isinstance(found, Problem):
            yield found
            continue
        path = manifests.joinpath(*found)
        try:
            yield _read(store, path, found)
        except StoreError as error:
            yield Problem(path, str(error))
        except OSError as error:
            yield Problem(path, f"cannot read it: {reason(error)}")


def model_names(parts: tuple[str, ...]) -> tuple[str, ...]:
    """The names of the model at manifests/HOST/NAMESPACE/MODEL/TAG, the shortest first."""
    host, namespace, model, tag = parts
    stems = [f"{namespace}/{model}", f"{host}/{namespace}/{model}"]
    if namespace == _DEFAULT_NAMESPACE:
        stems.insert(0, model)
    names = [f"{stem}:{tag}" for stem in stems]
    return (*names, *(stems if tag == _DEFAULT_TAG else ()))


def _manifest_files(folder: Path, parts: tuple[str, ...]) -> Iterator[tuple[str, ...] | Problem]:
    try:
        with os.scandir(folder) as entries:
            names = sorted(entry.name for entry in entries if _PART.fullmatch(entry.name))
    except NotADirectoryError:
        return
    except OSError as error:
        yield Problem(folder, f"cannot list it: {reason(error)}")
        return
    for name in names:
        if len(parts) == _DEPTH - 1:
            yield (*parts, name)
        else:
            yield from _manifest_files(folder / name, (*parts, name))


def _read(store: Path, path: Path, parts: tuple[str, ...]) -> StoredModel:
    manifest = _decoded(_bytes(path, MAX_MANIFEST_BYTES, "the manifest"), _Manifest, "the manifest")
    layers = manifest.layers or []
    if len(layers) > MAX_LAYERS:
        raise StoreError(f"the manifest lists {len(layers)} layers; at most {MAX_LAYERS} are accepted")
    blobs: dict[str, list[Path]] = {}
    for layer in layers:
        kind = layer.media_type.removeprefix(_MEDIA_TYPE)
        if kind in ("model", "adapter", "projector", "template", "system", "params", "messages", "license"):
            blobs.setdefault(kind, []).append(_blob(store, layer, kind))
    models = blobs.get("model", [])
    if not models:
        raise StoreError("no layer of it is a GGUF model: it runs elsewhere, or is of a format that shimmy cannot load")
    if len(models) > 1:
        raise StoreError(f"it has {len(models)} model layers; only models in one file can be loaded")
    params = [_decoded(data, dict[str, Any], "the params layer") for data in _contents(blobs, "params")]
    messages = [_decoded(data, list[_Message], "the messages layer") for data in _contents(blobs, "messages")]
    return StoredModel(
        names=model_names(parts),
        file=models[0],
        layers=OllamaLayers(
            manifest=path,
            template=_text(blobs, "template"),
            system=_text(blobs, "system"),
            params={key: value for layer in params for key, value in layer.items()},
            messages=tuple({"role": one.role, "content": one.content} for layer in messages for one in layer),
            adapters=tuple(blobs.get("adapter", ())),
            projectors=tuple(blobs.get("projector", ())),
            licenses=tuple(blobs.get("license", ())),
        ),
    )


def _blob(store: Path, layer: _Layer, kind: str) -> Path:
    match = _DIGEST.fullmatch(layer.digest)
    if match is None:
        raise StoreError(f"the digest of its {kind} layer is {layer.digest[:80]!r}, not sha256: and 64 hex digits")
    for name in (f"sha256-{match[1]}", f"sha256:{match[1]}"):
        path = store / "blobs" / name
        try:
            size = path.stat().st_size
        except FileNotFoundError:
            continue
        if layer.size and size != layer.size:
            raise StoreError(f"its {kind} layer has {size} of {layer.size} bytes: the download did not end")
        return path
    raise StoreError(f"its {kind} layer, blobs/sha256-{match[1]}, is not there: the download did not end")


def _text(blobs: dict[str, list[Path]], kind: str) -> str | None:
    """All layers of a kind as one text; None when there is nothing in them."""
    return "\n".join(data.decode(errors="replace") for data in _contents(blobs, kind)) or None


def _contents(blobs: dict[str, list[Path]], kind: str) -> list[bytes]:
    return [_bytes(path, MAX_TEXT_BYTES, f"the {kind} layer") for path in blobs.get(kind, ())]


def _bytes(path: Path, most: int, what: str) -> bytes:
    with path.open("rb") as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise StoreError(f"{what} is larger than {most} bytes")
    return data


def _decoded(data: bytes, kind: type[Any], what: str) -> Any:
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.MsgspecError, RecursionError, ValueError) as error:
        raise StoreError(f"{what} is malformed: {error}") from None
