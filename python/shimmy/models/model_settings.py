"""Settings of single models and names for several, from a TOML file with one table for each."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from shimmy.errors import InvalidRequestError
from shimmy.keep_alive import keep_alive_seconds
from shimmy.model_info import Tune
from shimmy.models.auto_choice import AutoSettings
from shimmy.models.need import Ability
from shimmy.models.toml_lines import line_of
from shimmy.models.virtual_names import VirtualName
from shimmy.placement import Placement
from shimmy.sampling_fields import SamplingFields
from shimmy.settings import SettingsError

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

MAX_FILE_BYTES = 1024 * 1024

Name = Annotated[str, Meta(min_length=1, max_length=512)]
Scale = Annotated[float, Meta(ge=-100, le=100)]


class ModelSettings(Placement, frozen=True, kw_only=True):
    """One table, `[models."NAME"]`, with the keys of `Placement` too. What is not set is as the settings of the
    process, or the file itself, say.
    """

    aliases: tuple[Name, ...] = ()
    """Other names for it."""
    context: Annotated[int, Meta(ge=16, le=16_777_216)] | None = None
    """In tokens."""
    template: Name | None = None
    """A template family or a Jinja file, relative to the settings file."""
    system: str | None = None
    """For conversations that bring no system message."""
    adapters: dict[str, Scale] = msgspec.field(default_factory=dict)
    """LoRA adapters by name, or by file relative to the settings file; those with a scale other than 0 apply to every
    request that names none.
    """
    sampling: SamplingFields = msgspec.field(default_factory=SamplingFields)
    stop: Annotated[tuple[Name, ...], Meta(max_length=64)] = ()
    max_tokens: Annotated[int, Meta(ge=1, le=2**31 - 1)] | None = None
    draft: Name | None = None
    """A smaller model with the same vocabulary that proposes tokens: its name, or a file."""
    keep_alive: str | float | None = None
    """How long it stays loaded when nobody uses it: seconds, or a duration; negative: for ever, 0: not at all."""
    pinned: bool = False
    """Only who asks for it unloads it: neither time nor other models do."""
    capabilities: Annotated[tuple[Ability, ...], Meta(min_length=1)] | None = None
    """What `auto` may choose it for, instead of what its file tells."""
    tune: Tune | None = None
    """Whether settings that shimmy tune has measured apply: auto, on, off."""


class SettingsFile(msgspec.Struct, frozen=True, kw_only=True):
    """What a settings file says, and where it lies."""

    path: Path
    models: dict[str, ModelSettings] = {}
    names: dict[str, VirtualName] = {}
    auto: AutoSettings | None = None

    def file(self, text: str) -> Path:
        """A path in it, relative to its folder, with "~" expanded."""
        return self.path.parent / Path(text).expanduser()


def load_model_settings(path: Path, *, required: bool) -> SettingsFile:
    """Read a settings file; without one, and unless it is `required`, nothing is set.

    Raises SettingsError, which names file, line and key, for unknown keys, values that do not fit, and two models
    with the same alias.
    """
    try:
        with path.open("rb") as file:
            source = file.read(MAX_FILE_BYTES + 1)
    except (FileNotFoundError, NotADirectoryError):
        if required:
            raise SettingsError(f"the model settings {path} do not exist") from None
        return SettingsFile(path=path)
    except OSError as error:
        raise SettingsError(f"model settings {path}: {error.strerror}") from error
    if len(source) > MAX_FILE_BYTES:
        raise SettingsError(f"model settings {path}: larger than {MAX_FILE_BYTES} bytes")
    try:
        text = source.decode()
        tables = tomllib.loads(text)
    except (UnicodeDecodeError, tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingsError(f"model settings {path}: {error}") from error
    document = _Document(path, text)
    document.check_keys(tables, ("models", "names", "auto"), ())
    models = document.table(tables.get("models", {}), ("models",))
    names = document.table(tables.get("names", {}), ("names",))
    read = SettingsFile(
        path=path,
        models={name: document.struct(ModelSettings, table, ("models", name)) for name, table in models.items()},
        names={name: document.struct(VirtualName, table, ("names", name)) for name, table in names.items()},
    )
    if "auto" in tables:
        if "auto" in names:
            raise document.error(("names", "auto"), "names.auto and auto exclude each other: both say what auto means")
        read = msgspec.structs.replace(read, auto=document.struct(AutoSettings, tables["auto"], ("auto",)))
    _check_aliases(document, read.models)
    _check_keep_alive(document, read.models)
    for name, virtual in read.names.items():
        if (virtual.fallback is None) == (virtual.split is None):
            raise document.error(("names", name), f"{_dotted(('names', name))} needs either fallback or split")
    return read


class _Document:
    """Turns tables into structs, with errors that say where."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text

    def error(self, place: tuple[str, ...], message: str) -> SettingsError:
        line = line_of(self._text, place)
        where = f"{self._path}:{line}" if line else str(self._path)
        return SettingsError(f"{where}: {message}")

    def table(self, value: Any, place: tuple[str, ...]) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise self.error(place, f"{_dotted(place)} must be a table, got {value!r}")
        return value

    def check_keys(self, table: dict[str, Any], known: tuple[str, ...], place: tuple[str, ...]) -> None:
        for key in table:
            if key not in known:
                close = difflib.get_close_matches(key, known, n=1)
                hint = f"did you mean {close[0]!r}?" if close else f"known keys: {', '.join(known)}"
                raise self.error((*place, key), f"unknown key {key!r}{_inside(place)}; {hint}")

    def struct(self, kind: type[msgspec.Struct], value: Any, place: tuple[str, ...]) -> Any:
        table = self.table(value, place)
        self.check_keys(table, kind.__struct_fields__, place)
        hints = get_type_hints(kind, include_extras=True)
        fields = {key: self._field(hints[key], item, (*place, key)) for key, item in table.items()}
        try:
            return kind(**fields)
        except TypeError as error:  # a field that has no default is missing
            raise self.error(place, f"{_dotted(place)}: {str(error).lower()}") from error

    def _field(self, kind: Any, value: Any, place: tuple[str, ...]) -> Any:
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
            return self.struct(kind, value, place)
        if (
            get_origin(kind) is dict
            and isinstance(inner := get_args(kind)[1], type)
            and issubclass(inner, msgspec.Struct)
        ):
            tables = self.table(value, place)
            return {name: self.struct(inner, table, (*place, name)) for name, table in tables.items()}
        try:
            return msgspec.convert(value, kind, str_keys=True)
        except msgspec.ValidationError as error:
            reason = str(error).removesuffix(" - at `$[...]`")
            if reason.startswith("Invalid enum value"):
                reason += f"; it is one of {', '.join(_choices(kind))}"
            raise self.error(place, f"{_dotted(place)}: {reason}") from error


def _choices(kind: Any) -> Iterator[str]:
    """The literals that a type names."""
    if get_origin(kind) is Literal:
        yield from map(str, get_args(kind))
    else:
        for one in get_args(kind):
            yield from _choices(one)


def _check_aliases(document: _Document, models: dict[str, ModelSettings]) -> None:
    owners: dict[str, str] = {}
    for name, settings in models.items():
        for alias in settings.aliases:
            owner = owners.setdefault(alias.lower(), name)
            if owner != name:
                place = ("models", name, "aliases")
                raise document.error(place, f"{_dotted(place)}: {alias!r} is an alias of {owner!r} already")


def _check_keep_alive(document: _Document, models: dict[str, ModelSettings]) -> None:
    for name, settings in models.items():
        place = ("models", name, "keep_alive")
        try:
            seconds = keep_alive_seconds(settings.keep_alive)
        except InvalidRequestError as error:
            raise document.error(place, f"{_dotted(place)}: {error.message}") from error
        if settings.keep_alive is not None and seconds is None:
            raise document.error(place, f"{_dotted(place)} is empty: give seconds, or a duration such as 5m")


def _dotted(place: tuple[str, ...]) -> str:
    return ".".join(part if part.replace("-", "_").isidentifier() else f'"{part}"' for part in place)


def _inside(place: tuple[str, ...]) -> str:
    return f" in {_dotted(place)}" if place else ""
