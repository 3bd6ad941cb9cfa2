"""Pulling a model: what a name refers to, its files one after the other, and the record that makes it known."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import msgspec

from shimmy.discovery.gguf_header import GgufHeader, read_header
from shimmy.errors import ModelLoadError, ModelNotFoundError
from shimmy.library.download import Download, RemoteFile, check_space
from shimmy.library.egress import DownloadError, Egress
from shimmy.library.hugging_face import find_files
from shimmy.library.library import Library
from shimmy.library.new_file import sweep, write_file
from shimmy.library.ollama_registry import Layer, Manifest, fetch_manifest, registry_host, remote_layer
from shimmy.library.record import Record
from shimmy.library.reference import HubReference, RegistryReference, parse_reference

_MAX_LAYER_TEXT = 1024 * 1024
_REFUSED_LAYERS = {
    "adapter": "a LoRA adapter that belongs to it",
    "tensor": "no GGUF file but tensors of another format",
}

logger = logging.getLogger("shimmy.library")


class Progress(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One line of a pull, in Ollama's words. Of a file: its digest, and bytes of how many."""

    status: str
    digest: str | None = None
    total: int | None = None
    completed: int | None = None


Report: TypeAlias = Callable[[Progress], None]

_Scalar: TypeAlias = bool | int | float | str
_Parameters: TypeAlias = dict[str, _Scalar | list[_Scalar] | None]


class _Message(msgspec.Struct):
    role: str
    content: str = ""


class Puller:
    """Pulls into `library`. `registry_url` is where an Ollama registry answers, `hub_url` stands in for the hub's own
    address. Blocks: a thread for each pull, ended by its event.
    """

    def __init__(self, library: Library, registry_url: str, hub_url: str | None = None) -> None:
        self.library = library
        self._registry_url = registry_url
        self._registry_host = registry_host(registry_url)
        self._hub_url = hub_url

    def reference(self, name: str) -> HubReference | RegistryReference:
        """What it means. InvalidRequestError (param "model") for a name that nothing can be pulled by."""
        return parse_reference(name, self._registry_host)

    def pull(self, name: str, report: Report, stop: threading.Event) -> Record:
        """The record of what is now in the library, under `name` less "https://". What is there is not fetched again.

        Raises InvalidRequestError (a name or quantization that is none), ModelNotFoundError, and DownloadError with its
        UnreachableError and CancelledDownloadError.
        """
        name = name.removeprefix("https://")
        reference = self.reference(name)
        report(Progress(status="pulling manifest"))
        sweep(self.library.folder)
        with Egress() as egress:
            fetch = _Fetch(self.library, egress, report, stop)
            if isinstance(reference, HubReference):
                record = self._from_hub(name, reference, fetch)
            else:
                record = self._from_registry(name, reference, fetch)
        report(Progress(status="writing manifest"))
        try:
            with _writing(name):
                self.library.replace(record)
        except ModelNotFoundError as error:
            raise DownloadError(f"{name}: {error.message}") from error
        return record

    def _from_hub(self, name: str, reference: HubReference, fetch: _Fetch) -> Record:
        files = find_files(reference, self._hub_url)
        folder = f"hf.co/{reference.repository}"
        found = {f"{folder}/{file.name}": file.remote for file in files}
        with _writing(name):
            fetch.all(found, set(found), self._known())
        source = folder if reference.quantization is None else f"{folder}:{reference.quantization}"
        digests = {path: file.sha256 for path, file in found.items() if file.sha256}
        return Record(name=name, created=time.time(), files=tuple(found), digests=digests, source=source)

    def _known(self) -> dict[str, str]:
        """File -> its SHA-256, where all records agree about it."""
        known: dict[str, set[str]] = {}
        for record in self.library.read()[0]:
            for file, digest in record.digests.items():
                known.setdefault(file, set()).add(digest)
        return {file: digests.pop() for file, digests in known.items() if len(digests) == 1}

    def _from_registry(self, name: str, reference: RegistryReference, fetch: _Fetch) -> Record:
        manifest, raw = fetch_manifest(fetch.egress, self._registry_url, reference)
        for kind, what in _REFUSED_LAYERS.items():
            if manifest.of_kind(kind):
                raise DownloadError(f"{name} has {what}; shimmy cannot use it: pull a model without")
        models = manifest.of_kind("model")
        if not models:
            raise DownloadError(f"{name} has no model in it")
        layers = {layer.file: layer for layer in [*models, *manifest.layers, manifest.config]}
        found = {
            file: remote_layer(self._registry_url, reference, layer) for file, layer in layers.items() if layer.size
        }
        path = f"manifests/{reference.path}"
        with _writing(name):
            fetch.all(found, {models[0].file}, {file: remote.sha256 for file, remote in found.items() if remote.sha256})
            write_file(self.library.file(path), raw)
            header = read_header(self.library.file(models[0].file))
            defaults = self._defaults(name, manifest, header)
        return Record(
            name=name,
            created=time.time(),
            files=(*found, path),
            source=f"{reference.host}/{reference.namespace}/{reference.model}:{reference.tag}",
            **defaults,
        )

    def _defaults(self, name: str, manifest: Manifest, header: GgufHeader) -> dict[str, Any]:
        """What the layers say about how to ask the model."""

        def texts(kind: str) -> list[str]:
            return [self._text(layer) for layer in manifest.of_kind(kind)]

        values: dict[str, Any] = {"system": "\n".join(texts("system")), "license": tuple(texts("license"))}
        try:
            for text in texts("params"):
                parameters = msgspec.json.decode(text, type=_Parameters)
                values["parameters"] = {key: value for key, value in parameters.items() if value is not None}
            for text in texts("messages"):
                values["messages"] = msgspec.to_builtins(msgspec.json.decode(text, type=list[_Message]))
        except (msgspec.DecodeError, RecursionError) as error:
            raise DownloadError(f"{name}: a layer is not understood: {error}") from error
        if manifest.of_kind("template") and "tokenizer.chat_template" not in header.metadata:
            logger.warning("%s brings a template in Go's language only; that of its family is used", name)
        return values

    def _text(self, layer: Layer) -> str:
        if layer.size == 0:
            return ""
        if layer.size > _MAX_LAYER_TEXT:
            raise DownloadError(f"a {layer.kind} layer has {layer.size} bytes; at most {_MAX_LAYER_TEXT} are read")
        return self.library.file(layer.file).read_text(encoding="utf-8", errors="replace")


class _Fetch:
    """The downloads of one pull."""

    def __init__(self, library: Library, egress: Egress, report: Report, stop: threading.Event) -> None:
        self.egress = egress
        self._library = library
        self._report = report
        self._stop = stop

    def all(self, files: dict[str, RemoteFile], models: set[str], known: dict[str, str]) -> None:
        """Path in the library -> file. Those in `models` have to be GGUF files; of those that are there already,
        `known` says the SHA-256.
        """
        paths = {name: self._library.file(name) for name in files}
        self._library.folder.mkdir(parents=True, exist_ok=True)
        missing = (file.size - _size(paths[name]) for name, file in files.items())
        check_space(self._library.folder, sum(missing))
        for name, file in files.items():
            digest = f"sha256:{file.sha256}" if file.sha256 else name.rpartition("/")[2]
            label = file.sha256[:12] if file.sha256 else digest

            def report(n: int, file: RemoteFile = file, digest: str = digest, label: str = label) -> None:
                self._report(Progress(status=f"pulling {label}", digest=digest, total=file.size, completed=n))

            report(0)
            check = _check_model if name in models else None
            Download(file, paths[name], report, self._stop, known.get(name)).run(self.egress, check)
        self._report(Progress(status="verifying sha256 digest"))


def _check_model(path: Path) -> None:
    """DownloadError for a file that shimmy would not load."""
    try:
        read_header(path)
    except ModelLoadError as error:
        reason = error.message.removeprefix(f"{path}: ")
        raise DownloadError(f"what was downloaded is no usable model: {reason}") from error


@contextlib.contextmanager
def _writing(name: str) -> Iterator[None]:
    """DownloadError where the disk refuses."""
    try:
        yield
    except OSError as error:
        raise DownloadError(f"{name}: the library cannot be written: {error.strerror or error}") from error


def _size(path: Path) -> int:
    """Bytes that need not be fetched."""
    for candidate in (path, path.with_name(f"{path.name}.partial")):
        with contextlib.suppress(OSError):
            return candidate.stat().st_size
    return 0
