"""Every option of the server and the command line, declared once.

Values come from four places; the first that sets one wins: command-line arguments, SHIMMY_* environment variables, the
config file (`shimmy/config.toml` in the platform's config folder), the defaults here.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import msgspec

from shimmy.byte_size import bytes_of
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.keep_alive import keep_alive_seconds
from shimmy.model_info import Tune
from shimmy.placement import GpuBackend, Placement

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["text", "json"]

RequestsPerMinute = Annotated[int, msgspec.Meta(ge=1, le=100_000)]
ConcurrentRequests = Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
Seconds = Annotated[float, msgspec.Meta(gt=0, le=86_400)]


class SettingsError(ShimmyError, ValueError):
    """An option has a bad value or an unknown name; the message says where it was set."""


class Settings(Placement, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Options of one shimmy process, with those of `Placement`. Every field may be a key of the config file."""

    bind: str = "auto"
    """HOST:PORT, [IPV6]:PORT, or auto: 127.0.0.1:11435, else the first free port up to 11535, else any."""
    model_path: Path | None = None
    """A GGUF file to register under its own stem, first in the list. Its folder is searched too."""
    lora: tuple[Path, ...] = ()
    """LoRA adapter GGUFs for the model of `model_path`, each named by its stem."""
    model_dirs: tuple[Path, ...] = ()
    """Folders to search for models, besides ./models and those of `search_known`."""
    search_known: bool = True
    """Search where Hugging Face, Ollama, LM Studio, llama.cpp and shimmy itself keep models."""
    model_settings: Path | None = None
    """A TOML file with settings of single models; None: models.toml beside the config file, if there is one."""
    watch: bool = False
    """Follow changes in the folders while serving; needs the extra `watch`."""
    library: Path | None = None
    """Folder for models that shimmy downloads or creates; None: `models` where shimmy keeps its data."""
    registry_url: Annotated[str, msgspec.Meta(pattern=r"^https?://[^/@\s]+(/[^\s]*)?$")] = "https://registry.ollama.ai"
    """Ollama registry that names without a host are pulled from."""
    demo_model: bool = False
    """List the embedded shimmy-mini even when other models are found."""
    gpu_backend: GpuBackend = "auto"
    devices: tuple[str, ...] = ()
    ctx: Annotated[int, msgspec.Meta(ge=16, le=16_777_216)] | None = None
    """Context in tokens; None: what the model was trained with, as far as memory holds it."""
    tune: Tune = "auto"
    """Settings measured by shimmy tune: auto uses those stored, on measures at a load if none are, off does neither."""
    chat_template: str | None = None
    """A template family or a Jinja file, instead of the model's own template."""
    keep_alive: str | float = "5m"
    """How long a model stays loaded without use: seconds, or a duration such as "1h30m"; negative: for ever, 0: not."""
    memory_budget: str | int | None = None
    """Most memory of loaded models together, in bytes or as "8GiB"; None: what the machine or its container has, less a
    tenth, and of that what others leave.
    """
    vram_budget: str | int | None = None
    """Most memory of GPUs for loaded models together; None: what the GPUs in use have, less a twentieth."""
    preload: Annotated[int, msgspec.Meta(ge=0, le=64)] = 0
    """Models to load at the start, in the background: those that were used last. 0 also remembers none."""
    log_level: LogLevel = "info"
    """How much the log tells: debug, info, warning or error. Commands that print an answer begin at warning."""
    log_format: LogFormat = "text"
    """Lines of the log: text, or json for an object each."""
    access_log: bool = True
    """One line for each request, by the logger shimmy.access; probes (/health, /metrics) only at level debug."""
    log_prompts: bool = False
    """Put the prompts into the lines of the access log."""
    traces: bool = False
    """Send a span of each request to an OpenTelemetry collector, as the OTEL_* variables say; needs the extra otel."""
    api_key: Annotated[str, msgspec.Meta(min_length=8)] | None = None
    """A key that every caller has to send; it may do everything."""
    api_keys: Path | None = None
    """A TOML file of keys: [name] with key = "...", scopes = ["infer", "admin", "tools"], and limits of its own."""
    cors_origins: tuple[str, ...] = ()
    """Origins that browsers may call from, besides loopback ones."""
    allowed_hosts: tuple[str, ...] = ()
    """Host header values to accept, besides loopback names and the bound address."""
    read_head_seconds: Seconds = 10.0
    """How long the head of a request may take; then 408, or the end of a connection that sent nothing."""
    read_body_seconds: Seconds = 60.0
    """How long the body may take; then 408. After 10 seconds it must have come at 1 KiB a second too."""
    write_stall_seconds: Seconds = 60.0
    """How long a client may leave its answer unread; then its request is cancelled."""
    connections_per_address: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 512
    """Most connections that are open from one address, but for this machine's own; more get 503. 0: no limit."""
    sse_keep_alive_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 15.0
    """After how long without a part a stream of server-sent events gets a comment; 0: never."""
    ws_ping_seconds: Seconds = 20.0
    """How often a WebSocket is pinged; one that leaves a ping unanswered for as long is closed."""
    requests_per_minute: RequestsPerMinute | None = None
    """Most requests for a model's work in any 60 seconds, of all callers together; more get 429; None: no limit."""
    concurrent_requests: ConcurrentRequests | None = None
    """Most such requests under way, waiting ones too, of all callers together; more get 429."""
    key_requests_per_minute: RequestsPerMinute | None = None
    """As requests_per_minute, of each key that has none of its own; who sends no key counts as one."""
    key_concurrent_requests: ConcurrentRequests | None = None
    """As concurrent_requests, of each key that has none of its own; who sends no key counts as one."""
    max_waiting: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] | None = None
    """Most requests waiting for one model, more get 429; None: the engine's own limit."""
    max_body_bytes: Annotated[int, msgspec.Meta(ge=1024, le=1 << 40)] = 32 * 1024 * 1024
    """Largest request body; more gets 413."""
    hang_seconds: Annotated[float, msgspec.Meta(ge=0, le=86_400)] = 20.0
    """A model's process that says nothing for so long is killed and started again, and one that needs much longer for a
    step than the steps before; 0: never, else at least 2."""
    max_sessions: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 100
    """Most sessions of one API key; a further one gets 429."""
    session_idle_minutes: Annotated[float, msgspec.Meta(gt=0, le=525_600)] = 30.0
    """A session that nobody used for that long is forgotten."""
    kv_cache_disk: Annotated[int, msgspec.Meta(ge=0, le=1 << 50)] | None = None
    """Bytes on disk for what prompts have in common, of all models, so that it is computed once and not after every
    start; 0: nothing is kept; None: a tenth of what is free, at most 4 GiB.
    """
    kv_cache_dir: Path | None = None
    """Folder for what kv_cache_disk keeps; None: `kv` in shimmy's folder for caches. Servers may share it."""
    data_dir: Path | None = None
    """Where shimmy keeps what it is told to keep; None: `shimmy` in the platform's folder for data."""

    def __post_init__(self) -> None:
        for name, check in _CHECKS.items():
            check(getattr(self, name))
        if 0 < self.hang_seconds < 2:
            raise SettingsError(f"hang_seconds is {self.hang_seconds}: it must be 0, or at least 2")
        if self.lora and self.model_path is None:
            raise SettingsError(
                "lora (SHIMMY_LORA_GGUF) needs the model that it belongs to: set model_path, --model-path or "
                "SHIMMY_BASE_GGUF too"
            )

    @property
    def keep_alive_seconds(self) -> float:
        """Infinity: for ever."""
        return _stay_seconds(self.keep_alive)

    @property
    def memory_budget_bytes(self) -> int | None:
        return _budget_bytes(self.memory_budget)

    @property
    def vram_budget_bytes(self) -> int | None:
        return _budget_bytes(self.vram_budget)


def _stay_seconds(value: str | float) -> float:
    try:
        seconds = keep_alive_seconds(value)
    except InvalidRequestError as error:
        raise SettingsError(error.message) from error
    if seconds is None:
        raise SettingsError("it is empty: give seconds, or a duration such as 5m")
    return seconds


def _budget_bytes(value: str | int | None) -> int | None:
    try:
        return None if value is None else bytes_of(value)
    except ValueError as error:
        raise SettingsError(str(error)) from error


def bind_address(text: str) -> tuple[str, int] | None:
    """Split HOST:PORT or [IPV6]:PORT; None for auto. Port 0 lets the system choose. Raises SettingsError."""
    if text == "auto":
        return None
    host, colon, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    if not colon or not host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise SettingsError(f"bind address {text!r} is not auto or HOST:PORT with a port of 0 to 65535")
    if ":" in host and not bracketed:
        raise SettingsError(f"bind address {text!r}: write an IPv6 host in brackets, as in [::1]:11435")
    return (host[1:-1] if bracketed else host), int(port)


def split_paths(text: str) -> tuple[Path, ...]:
    """Split a list of folders at ";" and at the platform's own separator, with "~" expanded."""
    parts = text.replace(os.pathsep, ";").split(";")
    return tuple(Path(part.strip()).expanduser() for part in parts if part.strip())


def config_path() -> Path:
    """Where the config file is looked for; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_config_dir("shimmy", appauthor=False)) / "config.toml"


def model_settings_path() -> Path:
    """Where the settings of single models are looked for when no option names a file; it need not exist."""
    return config_path().parent / "models.toml"


def data_path() -> Path:
    """Where data is kept unless `data_dir` says otherwise; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_data_dir("shimmy", appauthor=False))


def state_path() -> Path:
    """Where it is kept what the server did last; it need not exist."""
    import platformdirs

    return Path(platformdirs.user_state_dir("shimmy", appauthor=False))


def library_path(settings: Settings) -> Path:
    """Where the models lie that shimmy downloads or creates; it need not exist."""
    return settings.library or (settings.data_dir or data_path()) / "models"


def kv_cache_path(settings: Settings) -> Path:
    """Where prefixes of prompts are kept; it need not exist."""
    import platformdirs

    return settings.kv_cache_dir or Path(platformdirs.user_cache_dir("shimmy", appauthor=False)) / "kv"


def byte_count(text: str) -> int | str:
    """Bytes from a number with or without a unit: 4GiB, 500 MB, 0. Anything else stays text, which is an error then."""
    try:
        return bytes_of(text)
    except ValueError:
        return text


def load_settings(
    arguments: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    config: Path | None = None,
    defaults: Mapping[str, Any] | None = None,
) -> Settings:
    """Settings from `arguments` (field name -> value, None meaning not given), environment and config file.

    `environ` and `config` default to the process's environment and `config_path()`; `defaults` stands in for the
    defaults of Settings. Raises SettingsError naming the source of a bad value.
    """
    values = {**(defaults or {}), **_from_config(config_path() if config is None else config)}
    values.update(_from_environment(os.environ if environ is None else environ))
    for name, value in (arguments or {}).items():
        if value is not None and (name, value) != ("bind", "auto"):
            values[name] = _field(name, value, "argument")
    return Settings(**values)


def _from_config(path: Path) -> dict[str, Any]:
    try:
        source = path.read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise SettingsError(f"config file {path}: {error.strerror}") from error
    try:
        values: dict[str, Any] = tomllib.loads(source.decode())
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SettingsError(f"config file {path}: {error}") from error
    return {name: _rooted(_field(name, value, f"config file {path}"), path.parent) for name, value in values.items()}


def _rooted(value: Any, folder: Path) -> Any:
    """Paths with "~" expanded, relative ones taken from `folder`; other values as they are."""
    if isinstance(value, Path):
        return folder / value.expanduser()
    if isinstance(value, tuple):
        return tuple(_rooted(item, folder) for item in value)
    return value


_CHECKS: dict[str, Callable[[Any], object]] = {
    "bind": bind_address,
    "keep_alive": _stay_seconds,
    "memory_budget": _budget_bytes,
    "vram_budget": _budget_bytes,
}
"""Fields whose types say too little; each raises SettingsError."""

_NAMES: dict[str, str] = {
    "SHIMMY_BASE_GGUF": "model_path",
    "SHIMMY_LORA_GGUF": "lora",
    "SHIMMY_MODEL_PATHS": "model_dirs",
    "SHIMMY_BIND_ADDRESS": "bind",
    "SHIMMY_API_KEYS_FILE": "api_keys",
}
"""Variables that are called otherwise than the option that they set; that one's own variable sets it too."""


def variables() -> dict[str, str]:
    """Environment variable -> the option that it sets: `SHIMMY_<OPTION>` for each, and a few by other names too."""
    return {**_NAMES, **{f"SHIMMY_{option.upper()}": option for option in Settings.__struct_fields__}}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for variable, option in variables().items():
        text = environ.get(variable, "").strip()
        if not text:
            continue
        source = f"environment variable {variable}"
        value = _field(option, _of_text(option, text, source), source)
        if values.setdefault(option, value) != value:
            raise SettingsError(f"{source} and {sources[option]} both set {option}, to different values")
        sources.setdefault(option, variable)
    return values


_BYTES = ("kv_cache_disk",)
_SWITCHES = {"1": True, "true": True, "0": False, "false": False}


def _of_text(option: str, text: str, source: str) -> Any:
    """What a variable's text says for the option's type. Lists of paths are divided as `split_paths` does, others at
    commas.
    """
    hint = get_type_hints(Settings, include_extras=True)[option]
    kinds = set(_plain_kinds(hint))
    if tuple in kinds:
        items = set(_item_kinds(hint))
        if Path in items:
            return split_paths(text)
        parts = [one.strip() for one in text.split(",") if one.strip()]
        return [_number(one, items, option, source) for one in parts] if float in items else parts
    if Path in kinds:
        return Path(text).expanduser()
    if bool in kinds:
        if text.lower() not in _SWITCHES:
            raise SettingsError(f"{source}: {option}: {text!r} is neither true (1) nor false (0)")
        return _SWITCHES[text.lower()]
    if option in _BYTES:
        return byte_count(text)
    if Literal in kinds:
        return int(text) if int in kinds and text.isdecimal() else text.lower()
    return text if str in kinds else _number(text, kinds, option, source)


def _number(text: str, kinds: set[Any], option: str, source: str) -> float:
    try:
        return int(text) if float not in kinds else float(text)
    except ValueError:
        what = "a number" if float in kinds else "a whole number"
        raise SettingsError(f"{source}: {option}: {text!r} is not {what}") from None


def _item_kinds(hint: Any) -> Iterator[Any]:
    """The types of what a tuple, or one of several types, holds."""
    if get_origin(hint) is tuple:
        yield from _plain_kinds(get_args(hint)[0])
    for one in get_args(hint):
        yield from _item_kinds(one)


def _plain_kinds(hint: Any) -> Iterator[Any]:
    """The types that a hint names, without what bounds them: tuple of any tuple, Literal of any choice."""
    origin = get_origin(hint)
    if origin is Annotated:
        yield from _plain_kinds(get_args(hint)[0])
    elif origin is Union or origin is UnionType:
        for one in get_args(hint):
            yield from _plain_kinds(one)
    else:
        yield origin or hint


def _field(name: str, value: Any, source: str) -> Any:
    """`value` converted to the type of field `name`. Raises SettingsError naming `source`."""
    kind = get_type_hints(Settings, include_extras=True).get(name)
    if kind is None:
        known = ", ".join(Settings.__struct_fields__)
        raise SettingsError(f"{source}: unknown key {name!r}; known keys: {known}")
    try:
        converted = msgspec.convert(value, kind, dec_hook=_path)
        if name in _CHECKS:
            _CHECKS[name](converted)
    except (msgspec.ValidationError, SettingsError) as error:
        reason = f"{value!r} is not one of {', '.join(get_args(kind))}" if get_origin(kind) is Literal else error
        raise SettingsError(f"{source}: {name}: {reason}") from error
    return converted


def _path(kind: type, value: Any) -> Path:
    if kind is not Path or not isinstance(value, str | Path):
        raise TypeError(f"expected a path, got {type(value).__name__}")
    if not str(value):
        raise ValueError("a path may not be empty")
    return Path(value)
