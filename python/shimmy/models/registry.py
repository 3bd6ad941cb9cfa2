"""What models there are, by name."""

from __future__ import annotations

import difflib
import os
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from shimmy.demo_model import demo_adapter_paths, demo_model_path
from shimmy.discovery.classify import GENERATIVE, LOADABLE
from shimmy.discovery.facts_cache import FactsCache
from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.names import stem_name
from shimmy.discovery.roots import known_roots
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import Problem, Root
from shimmy.errors import InvalidRequestError, ModelLoadError, ModelNotFoundError
from shimmy.library.library import Library
from shimmy.library.record import Record
from shimmy.models.adapter_changes import AdapterChanges
from shimmy.models.adapter_files import check_adapter
from shimmy.models.adapter_names import missing_adapter, with_adapter
from shimmy.models.auto_choice import AutoSettings
from shimmy.models.auto_name import AUTO, AutoName, Presence, Tell
from shimmy.models.configure import configured, new_entry
from shimmy.models.entry import ModelEntry
from shimmy.models.model_settings import SettingsFile, load_model_settings
from shimmy.models.need import Need
from shimmy.models.shelf import Shelf, check_loadable, sharing
from shimmy.models.virtual_names import Listed, VirtualName, fall_back, remember, remembered
from shimmy.settings import Settings, SettingsError, data_path, library_path, model_settings_path

DEMO_NAME = "shimmy-mini"

_NAMED = 100  # models in an error
_QUOTED = 200  # characters of what was asked for
_COMPARED = 1000  # names among which a close one is looked for: that is slow


class Registry:
    """The models that a process knows: the one given, those found in folders, and the embedded one last.

    Readers see one complete search: `rescan` may run on another thread and swaps its result in at the end.
    """

    def __init__(self, settings: Settings, *, roots: list[Root] | None = None, library: Library | None = None) -> None:
        """Search at once. `roots` stands in for every folder of this machine, those of cache and settings file too;
        `library` for that of the settings.

        Raises SettingsError when `settings.model_path`, a file of `settings.lora` or `settings.model_settings` does
        not exist, or a settings file is wrong; ModelLoadError when a given file cannot be used.
        """
        self._settings = settings
        self._only_roots = roots
        self._roots, self._settings_path = self._places(settings)
        self.library = library or Library(library_path(settings))
        self.adapter_changes = AdapterChanges()
        self._scanner = Scanner(FactsCache(cache_path() if roots is None else None))
        self._scanning = threading.Lock()
        self._tell: Tell = lambda entry: Presence("unloaded")
        self._index = _Index({}, {}, Scan([], []), AutoName([], AutoSettings()))
        self.rescan()

    @property
    def roots(self) -> list[Root]:
        """The folders that are searched, in order; not all of them need exist."""
        return list(self._roots)

    @property
    def settings_path(self) -> Path | None:
        """The file with settings of single models, which need not exist."""
        return self._settings_path

    def names(self) -> list[str]:
        """The models that generate text: the one given first, then those found by name, shimmy-mini last."""
        return [entry.name for entry in self._index.entries.values() if entry.kind in GENERATIVE]

    def entries(self) -> list[ModelEntry]:
        """All models that can be loaded, embedding and rerank models too, in the order of `names`."""
        return [self.adapter_changes.applied(entry) for entry in self._index.entries.values()]

    def adapter_names(self, entry: ModelEntry) -> list[str]:
        """The names of a model with each of its adapters; not those that mean another model."""
        names = (f"{entry.name}:{adapter}" for adapter in entry.adapters)
        return [name for name in names if self._named(name) is None and name not in self._index.virtual]

    @property
    def problems(self) -> list[Problem]:
        """What the last search skipped, and why."""
        return list(self._index.scan.problems)

    @property
    def found(self) -> list[LocalModel]:
        """Everything that the last search found: also adapters, projectors and unknown files."""
        return list(self._index.scan.models)

    def get(self, name: str) -> ModelEntry:
        """The model called `name`, by its own name or another; when there is none, the model that it means with one of
        its adapters (see `adapter_names`). Raises ModelNotFoundError naming those that exist and the closest one.
        """
        index = self._index
        for known in _variants(name):
            entry = index.find(known)
            if entry is None and index.is_virtual(known):
                entry = self._chosen(known, index, Need)
            if entry is None and known == DEMO_NAME:
                entry = self._demo()
            if entry is not None:
                return self.adapter_changes.applied(entry)
        entry = with_adapter(name, self._named)
        if entry is None:
            raise ModelNotFoundError(_unknown(name, index) + missing_adapter(name, self._named))
        return entry

    def _named(self, name: str) -> ModelEntry | None:
        """The model called `name`, which does not stand for others."""
        for known in _variants(name):
            entry = self._index.find(known) or (self._demo() if known == DEMO_NAME else None)
            if entry is not None:
                return self.adapter_changes.applied(entry)
        return None

    def check_free(self, name: str) -> None:
        """InvalidRequestError (param "model") for the name of a model that is not the library's to replace."""
        entry = self._index.entries.get(name)
        if name == DEMO_NAME or (entry is not None and entry.record is None):
            raise InvalidRequestError(
                f"model {name!r} exists and is not shimmy's to replace: take another name", "model"
            )

    def settle(self, name: str, need: Callable[[], Need]) -> None:
        """Choose what `auto` means for the rest of this request, unless that is chosen already. Without it, it means a
        model to chat with. Nothing for other names. InvalidRequestError when no model can do what is needed.
        """
        index = self._index
        for known in _variants(name):
            if index.find(known) is not None:
                return
            if known == AUTO and index.is_virtual(known):
                self._chosen(known, index, need)

    def observe(self, tell: Tell) -> None:
        """Ask `tell` whether a model is loaded."""
        self._tell = tell

    def virtual_names(self) -> list[Listed]:
        """The names that mean one of several models now, of those that generate text: auto last, where it is configured
        or there is a choice.
        """
        index = self._index
        listed = []
        for name, virtual in index.virtual.items():
            if index.find(name) is None:
                there = [entry for one in virtual.models() if (entry := index.find(one)) and entry.fault is None]
                listed += _listed(name, "fallback" if virtual.fallback else "split", there)
        there = [entry for entry in index.entries.values() if entry.fault is None]
        if index.is_virtual(AUTO) and AUTO not in index.virtual and (index.configured or len(there) > 1):
            listed += _listed(AUTO, "auto", there)
        return listed

    def fall_back(self, name: str, failed: str) -> bool:
        """When `name` is one that may mean another model than `failed`, make it mean the next for the rest of this
        request. False when there is nothing more.
        """
        index = self._index
        for known in _variants(name):
            if index.find(known) is not None:
                return False
            if index.is_virtual(known) and remembered(known) == failed:
                return fall_back(known) is not None
        return False

    def rescan(self, settings: Settings | None = None) -> None:
        """Search the folders again, with other settings if they are given, whose library does not count. Entries that
        were handed out stay as they are.

        Raises SettingsError for a wrong settings file, and what the constructor raises for given files; then what was
        known stays, and the settings too.
        """
        with self._scanning:
            before = self._settings, self._roots, self._settings_path
            if settings is not None:
                self._settings = settings
                self._roots, self._settings_path = self._places(settings)
            try:
                self._search()
            except BaseException:
                self._settings, self._roots, self._settings_path = before
                raise

    def _places(self, settings: Settings) -> tuple[list[Root], Path | None]:
        """The folders to search, and the settings file."""
        if self._only_roots is not None:
            return self._only_roots, settings.model_settings
        return search_roots(settings), settings.model_settings or model_settings_path()

    def _search(self) -> None:
        file = self._settings_file()
        given = self._given()
        reserved = {DEMO_NAME} | ({given.name} if given else set())
        scan = self._scanner.scan(self._roots, reserved)
        entries: dict[str, ModelEntry] = {}
        models = sorted(scan.models, key=lambda model: model.name)
        if given:
            twin = _twin(given, models)
            models = [model for model in models if model is not twin]
            entries[given.name] = self._given_entry(given, twin.adapters if twin else {})
        for model in models:
            if model.kind in LOADABLE:
                entries[model.name] = new_entry(model, "discovered", self._settings, model.adapters)
        shelf = Shelf(self.library)
        entries = shelf.arrange(
            entries, self._recorded, lambda name: self._demo() if name == DEMO_NAME else None, reserved
        )
        if self._settings.demo_model or not any(entry.kind in GENERATIVE for entry in entries.values()):
            entries[DEMO_NAME] = self._demo()
        problems = [*scan.problems, *shelf.problems]
        if file.models:
            self._configure(entries, file, problems)
        entries = sharing(entries)
        problems += [Problem(entry.path, entry.fault) for entry in entries.values() if entry.fault]
        aliases = _aliases(entries, problems)
        auto = AutoName(entries.values(), file.auto or AutoSettings())
        index = _Index(
            entries, aliases, Scan(scan.models, problems), auto, file.names, configured=file.auto is not None
        )
        problems += [Problem(file.path, message) for message in auto.unmatched()]
        if file.auto is not None and index.find(AUTO) is not None:
            problems.append(Problem(file.path, "auto: a model is called so, which is what the name means"))
        for name, virtual in file.names.items():
            problems += [Problem(file.path, message) for message in _complaints(name, virtual, index)]
        self._index = index

    def _chosen(self, name: str, index: _Index, need: Callable[[], Need]) -> ModelEntry | None:
        """What a virtual name means in this request."""
        entry = index.find(remembered(name) or "")
        if entry is not None:
            return entry
        virtual = index.virtual.get(name)
        order = index.auto.order(need(), self._tell) if virtual is None else virtual.order(index.usable)
        found = [entry.name for one in order if (entry := index.find(one)) is not None]
        if not found:
            return None
        remember(name, found[0], found[1:])
        return index.find(found[0])

    def _settings_file(self) -> SettingsFile:
        if self._settings_path is None:
            return SettingsFile(path=Path())
        return load_model_settings(self._settings_path, required=self._settings.model_settings is not None)

    def _configure(self, entries: dict[str, ModelEntry], file: SettingsFile, problems: list[Problem]) -> None:
        """Apply the settings file to the entries that it names."""
        known = _aliases(entries, [])

        def find(name: str) -> Path | None:
            entry = entries.get(name) or entries.get(known.get(name.lower(), ""))
            return entry.path if entry else None

        for name, own in file.models.items():
            target = name if name in entries else known.get(name.lower())
            if target is None:
                problems.append(Problem(file.path, f"settings for {name!r}, which is not found"))
            else:
                entries[target] = configured(entries[target], file, own, find, self._check_adapter)

    def _given(self) -> LocalModel | None:
        path = self._settings.model_path
        if path is None:
            return None
        model = self._read(path, "model")
        if model.kind not in LOADABLE:
            what = "a LoRA adapter" if model.kind == "adapter" else f"a file of kind {model.kind}"
            raise ModelLoadError(f"{path} is {what}, not a model that can be loaded")
        return model

    def _given_entry(self, model: LocalModel, paired: dict[str, Path]) -> ModelEntry:
        """The model given, whose given adapters apply to every request that names none."""
        given = {stem_name(path): path.absolute() for path in self._settings.lora}
        for path in self._settings.lora:
            self._check_adapter(path, model)
        entry = new_entry(model, "registered", self._settings, {**paired, **given})
        defaults = msgspec.structs.replace(entry.defaults, lora=dict.fromkeys(given, 1.0))
        return msgspec.structs.replace(entry, defaults=defaults)

    def _check_adapter(self, path: Path, model: LocalModel) -> None:
        check_adapter(path, model, lambda path: self._read(path, "LoRA adapter"))

    def _read(self, path: Path, what: str) -> LocalModel:
        try:
            return self._scanner.read(path.absolute())
        except FileNotFoundError:
            raise SettingsError(f"the {what} {path} does not exist") from None
        except OSError as error:
            raise ModelLoadError(f"cannot read the {what} {path}: {error.strerror}") from error

    def _recorded(self, record: Record) -> ModelEntry:
        if not record.files:
            raise ModelLoadError("its record names neither files nor, as from, the model that it is made of")
        model = check_loadable(self._scanner.read(self.library.file(record.files[0])))
        return new_entry(model, "discovered", self._settings, model.adapters)

    def _demo(self) -> ModelEntry:
        model = msgspec.structs.replace(Scanner().read(demo_model_path()), name=DEMO_NAME)
        return new_entry(model, "registered", self._settings, demo_adapter_paths())


class _Index(msgspec.Struct, frozen=True):
    """What one search found; replaced as a whole."""

    entries: Mapping[str, ModelEntry]
    aliases: Mapping[str, str]
    """Lower-case name -> name."""
    scan: Scan
    auto: AutoName
    virtual: Mapping[str, VirtualName] = {}
    configured: bool = False
    """There are rules for auto."""

    def find(self, name: str) -> ModelEntry | None:
        """By its own name or an alias."""
        return self.entries.get(name) or self.entries.get(self.aliases.get(name.lower(), ""))

    def is_virtual(self, name: str) -> bool:
        """A model's own name or alias never is."""
        return self.find(name) is None and (name in self.virtual or name == AUTO)

    def usable(self, name: str) -> bool:
        entry = self.find(name)
        return entry is not None and entry.fault is None


def search_roots(settings: Settings) -> list[Root]:
    """The folders to search, in order: ./models, the folder of `model_path`, `model_dirs`, and where other programs
    and shimmy itself keep models.
    """
    roots = [Root(Path("models"), required=False)]
    if settings.model_path is not None:
        roots.append(Root(settings.model_path.absolute().parent))
    roots += [Root(path) for path in settings.model_dirs]
    if settings.search_known:
        roots += known_roots(os.environ, _home(), settings.data_dir or data_path())
    roots.append(Root(library_path(settings), required=False))
    return roots


def cache_path() -> Path:
    """Where the headers of models are remembered."""
    import platformdirs

    return Path(platformdirs.user_cache_dir("shimmy", appauthor=False)) / "headers.msgpack"


def _home() -> Path | None:
    try:
        return Path.home()
    except RuntimeError:
        return None


def _variants(name: str) -> list[str]:
    """Ollama's clients add the tag that it takes for granted, or leave it out."""
    untagged = name.removesuffix(":latest")
    return list(dict.fromkeys((name, untagged, f"{untagged}:latest")))


def _aliases(entries: Mapping[str, ModelEntry], problems: list[Problem]) -> dict[str, str]:
    """Lower-case names and other names -> names. A model's own name is never another's alias."""
    aliases: dict[str, str] = {}
    for name in entries:
        aliases.setdefault(name.lower(), name)
    for entry in entries.values():
        for alias in entry.aliases:
            owner = aliases.setdefault(alias.lower(), entry.name)
            if owner != entry.name:
                problems.append(Problem(entry.path, f"{alias!r} is a name of {owner!r} already, so no alias of this"))
    return aliases


def _listed(name: str, chooses: str, entries: Sequence[ModelEntry]) -> list[Listed]:
    able = [entry for entry in entries if entry.kind in GENERATIVE]
    if not able:
        return []
    join = frozenset.union if chooses == "auto" else frozenset.intersection
    return [
        Listed(
            name=name,
            chooses=chooses,
            models=tuple(entry.name for entry in able),
            created=max(entry.created for entry in able),
            abilities=tuple(sorted(join(*(entry.abilities for entry in able)))),
        )
    ]


def _complaints(name: str, virtual: VirtualName, index: _Index) -> list[str]:
    if index.find(name) is not None:
        return [f"names.{name}: a model is called so, which is what the name means"]
    return [f"names.{name}: {one!r} is not found" for one in virtual.models() if index.find(one) is None]


def _twin(given: LocalModel, models: list[LocalModel]) -> LocalModel | None:
    """The record of the same file among those found."""
    same = next((model for model in models if model.files[0] == given.files[0]), None)
    return same or next((model for model in models if _same_file(model.path, given.path)), None)


def _unknown(name: str, index: _Index) -> str:
    known = [*index.entries, *index.virtual, *([] if DEMO_NAME in index.entries else [DEMO_NAME])]
    more = f" and {len(known) - _NAMED} more" if len(known) > _NAMED else ""
    quoted = name if len(name) <= _QUOTED else f"{name[:_QUOTED]}..."
    message = f"model {quoted!r} not found; available: {', '.join(known[:_NAMED])}{more}."
    if len(name) <= _QUOTED:  # difflib indexes each character of a name, also to compare it with nothing
        names = [*known, *index.aliases][:_COMPARED]
        if close := difflib.get_close_matches(name.lower(), names, n=1, cutoff=0.5):
            message += f" Did you mean {close[0]!r}?"
    other = next((model for model in index.scan.models if model.name == name), None)
    if other is not None:
        message += f" {name!r} is of kind {other.kind} and cannot be loaded on its own."
    return message


def _same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)  # noqa: PTH121 - Path.samefile is the same call
    except OSError:
        return False
