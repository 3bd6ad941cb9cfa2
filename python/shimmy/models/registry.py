"""What models there are, by name."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import msgspec

from shimmy.demo_model import demo_adapter_paths, demo_model_path
from shimmy.discovery.classify import GENERATIVE, Kind
from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.names import stem_name
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import Problem, Root
from shimmy.errors import ModelLoadError, ModelNotFoundError
from shimmy.library.library import Library
from shimmy.library.record import Record
from shimmy.model_info import LoadSpec
from shimmy.models.shelf import LOADABLE, Shelf, check_loadable
from shimmy.settings import Settings, SettingsError, library_path
from shimmy.templates.choose import choose_template

DEMO_NAME = "shimmy-mini"


class ModelEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One model that can be loaded."""

    name: str
    source: Literal["registered", "discovered"]
    """registered: given by an option, or the embedded demo model; discovered: found in a folder."""
    model: LocalModel
    adapters: dict[str, Path]
    """LoRA adapters to load with it: name -> file."""
    settings: Settings
    record: Record | None = None
    """How shimmy came by it, and what it is asked with; None for what was found or given."""
    shared: str | None = None
    """The model whose engine answers for it, where that one would be loaded in the same way."""

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

    def load_spec(self) -> LoadSpec:
        """How to load it, with the settings applied. Raises InvalidRequestError for a bad chat_template setting."""
        settings = self.settings
        record = self.record or Record(name=self.name, created=0)
        template = record.template or choose_template(
            self.model.architecture,
            f"{self.name} {self.model.title or ''}",
            settings.chat_template,
            has_own=self.model.has_chat_template,
        )
        model: dict[str, Any] = {}
        n_ctx = record.parameters.get("num_ctx", settings.ctx)
        context: dict[str, Any] = {} if n_ctx is None else {"n_ctx": n_ctx}
        if settings.gpu_backend == "cpu":
            model["n_gpu_layers"] = 0
            context["op_offload"] = False
        if settings.devices:
            model["devices"] = list(settings.devices)
        return LoadSpec(
            name=self.engine,
            path=str(self.path),
            adapters={name: str(path) for name, path in self.adapters.items()},
            chat_template=template,
            model=model,
            context=context,
            engine={} if settings.max_waiting is None else {"max_waiting": settings.max_waiting},
        )


class Registry:
    """The models that a process knows: the one given, those found in folders, and the embedded one last.

    Readers see one complete search: `rescan` may run on another thread and swaps its result in at the end.
    """

    def __init__(self, settings: Settings, *, roots: list[Root] | None = None, library: Library | None = None) -> None:
        """Search at once. `roots` and `library` replace the folders that the settings name.

        Raises SettingsError when `settings.model_path` or a file of `settings.lora` does not exist, ModelLoadError
        when it cannot be used.
        """
        self._settings = settings
        self._roots = search_roots(settings) if roots is None else roots
        self.library = library or Library(library_path(settings))
        self._scanner = Scanner()
        self._scanning = threading.Lock()
        self._entries: Mapping[str, ModelEntry] = {}
        self._scan = Scan([], [])
        self.rescan()

    def names(self) -> list[str]:
        """The models that generate text: the one given first, then those found by name, shimmy-mini last."""
        return [entry.name for entry in self._entries.values() if entry.kind in GENERATIVE]

    def entries(self) -> list[ModelEntry]:
        """All models that can be loaded, embedding and rerank models too, in the order of `names`."""
        return list(self._entries.values())

    @property
    def problems(self) -> list[Problem]:
        """What the last search skipped, and why."""
        return list(self._scan.problems)

    @property
    def found(self) -> list[LocalModel]:
        """Everything that the last search found: also adapters, projectors and unknown files."""
        return list(self._scan.models)

    def get(self, name: str) -> ModelEntry:
        """The model called `name`. Raises ModelNotFoundError naming those that exist and the closest one."""
        # Ollama's clients add the tag that it takes for granted, or leave it out.
        untagged = name.removesuffix(":latest")
        for known in (name, untagged, f"{untagged}:latest"):
            entry = self._entries.get(known) or self._demo_when_asked(known)
            if entry is not None:
                return entry
        raise ModelNotFoundError(self._unknown(name))

    def rescan(self) -> None:
        """Search the folders again. Entries that were handed out stay as they are."""
        with self._scanning:
            given = self._given()
            reserved = {DEMO_NAME} | ({given.name} if given else set())
            scan = self._scanner.scan(self._roots, reserved)
            entries: dict[str, ModelEntry] = {}
            models = sorted(scan.models, key=lambda model: model.name)
            if given:
                twin = next((model for model in models if _same_file(model.path, given.path)), None)
                models = [model for model in models if model is not twin]
                adapters = {**(twin.adapters if twin else {}), **self._given_adapters(given)}
                entries[given.name] = self._entry(given, "registered", adapters)
            for model in models:
                if model.kind in LOADABLE:
                    entries[model.name] = self._entry(model, "discovered", model.adapters)
            shelf = Shelf(self.library)
            entries = shelf.arrange(entries, self._recorded, self._demo_when_asked)
            scan.problems.extend(shelf.problems)
            if self._settings.demo_model or not any(entry.kind in GENERATIVE for entry in entries.values()):
                demo = self._demo()
                entries[demo.name] = demo
            self._entries, self._scan = entries, scan

    def _entry(
        self, model: LocalModel, source: Literal["registered", "discovered"], adapters: dict[str, Path]
    ) -> ModelEntry:
        return ModelEntry(name=model.name, source=source, model=model, adapters=adapters, settings=self._settings)

    def _given(self) -> LocalModel | None:
        path = self._settings.model_path
        if path is None:
            return None
        model = self._read(path, "model")
        if model.kind not in LOADABLE:
            what = "a LoRA adapter" if model.kind == "adapter" else f"a file of kind {model.kind}"
            raise ModelLoadError(f"{path} is {what}, not a model that can be loaded")
        return model

    def _given_adapters(self, model: LocalModel) -> dict[str, Path]:
        adapters: dict[str, Path] = {}
        for path in self._settings.lora:
            if path.suffix.lower() == ".safetensors":
                raise ModelLoadError(
                    f"{path} is in safetensors format; convert the adapter with llama.cpp's convert_lora_to_gguf.py"
                )
            adapter = self._read(path, "LoRA adapter")
            if adapter.kind != "adapter":
                raise ModelLoadError(f"{path} is not a LoRA adapter but a file of kind {adapter.kind}")
            if adapter.architecture != model.architecture:
                raise ModelLoadError(
                    f"{path} is a LoRA adapter for {adapter.architecture} models; {model.path} is {model.architecture}"
                )
            adapters[stem_name(path)] = path.absolute()
        return adapters

    def _read(self, path: Path, what: str) -> LocalModel:
        try:
            return self._scanner.read(path.absolute())
        except FileNotFoundError:
            raise SettingsError(f"the {what} {path} does not exist") from None
        except OSError as error:
            raise ModelLoadError(f"cannot read the {what} {path}: {error.strerror}") from error

    def _recorded(self, record: Record) -> ModelEntry:
        model = check_loadable(self._scanner.read(self.library.file(record.files[0])))
        return self._entry(model, "discovered", model.adapters)

    def _demo(self) -> ModelEntry:
        model = msgspec.structs.replace(self._scanner.read(demo_model_path()), name=DEMO_NAME)
        return self._entry(model, "registered", demo_adapter_paths())

    def _demo_when_asked(self, name: str) -> ModelEntry | None:
        return self._demo() if name == DEMO_NAME else None

    def _unknown(self, name: str) -> str:
        known = [*self._entries, *([] if DEMO_NAME in self._entries else [DEMO_NAME])]
        message = f"model {name!r} not found; available: {', '.join(known)}."
        close = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.5)
        if close:
            message += f" Did you mean {close[0]!r}?"
        other = next((model for model in self.found if model.name == name), None)
        if other is not None:
            message += f" {other.path} is of kind {other.kind} and cannot be loaded on its own."
        return message


def search_roots(settings: Settings) -> list[Root]:
    """The folders to search, in order: ./models, the folder of `model_path`, `model_dirs`, the library."""
    roots = [Root(Path("models"), required=False)]
    if settings.model_path is not None:
        roots.append(Root(settings.model_path.absolute().parent))
    roots += [Root(path) for path in settings.model_dirs]
    roots.append(Root(library_path(settings), required=False))
    return roots


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - Path.samefile is the same call
    except OSError:
        return False
