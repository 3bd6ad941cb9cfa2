"""Where other programs, and shimmy itself, keep models."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import msgspec

from shimmy.discovery.walk import Root

_MAX_SETTINGS_BYTES = 1024 * 1024
_OLLAMA_SERVICE = (
    "/usr/share/ollama/.ollama/models",
    "/var/lib/ollama/models",
    "/var/lib/ollama",
    "/var/snap/ollama/common/models",
)


class _LmStudioSettings(msgspec.Struct):
    downloads_folder: str | None = msgspec.field(default=None, name="downloadsFolder")


def known_roots(environ: Mapping[str, str], home: Path | None, data_dir: Path) -> list[Root]:
    """The folders to search beside those that the user named, in order: OLLAMA_MODELS, Hugging Face's hub cache,
    Ollama, LM Studio, llama.cpp's cache, ~/models, shimmy's own `data_dir`.

    Follows the variables by which those programs themselves are told (HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME,
    LLAMA_CACHE; on Windows USERPROFILE, LOCALAPPDATA and APPDATA). Only folders that a variable names outright are
    required to exist. Without a `home` its folders are left out.
    """
    env = _Environment(environ, home)
    homes = list(dict.fromkeys(folder for folder in (home, env.folder("USERPROFILE")) if folder is not None))
    local = env.folder("LOCALAPPDATA")
    caches = [env.folder("XDG_CACHE_HOME"), *(folder / ".cache" for folder in homes)]
    roots = [Root(folder) for folder in [env.folder("OLLAMA_MODELS")] if folder]
    guesses = [*_hub_caches(env, caches)]
    guesses += [folder / ".ollama" / "models" for folder in homes]
    if local is not None:
        guesses.append(local / "Ollama" / "models")
    else:
        guesses += [Path(folder) for folder in _OLLAMA_SERVICE]
    for folder in homes:
        guesses += _lm_studio(folder)
    guesses += [folder / "LM Studio" / "models" for folder in (local, env.folder("APPDATA")) if folder]
    llama = env.folder("LLAMA_CACHE")
    guesses += [llama] if llama else [folder / "llama.cpp" for folder in (*caches, local) if folder]
    guesses += [] if llama else [folder / "Library" / "Caches" / "llama.cpp" for folder in homes]
    guesses += [folder / "models" for folder in (*homes, data_dir)]
    roots += [Root(folder, required=False) for folder in dict.fromkeys(guesses)]
    return roots


class _Environment:
    def __init__(self, environ: Mapping[str, str], home: Path | None) -> None:
        self._environ = environ
        self._home = home

    def folder(self, variable: str) -> Path | None:
        """The folder that a variable names, "~" expanded; None when it is unset or empty."""
        value = self._environ.get(variable, "").strip()
        if not value:
            return None
        return _expanded(value, self._home)


def _hub_caches(env: _Environment, caches: list[Path | None]) -> list[Path]:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if folder := env.folder(variable):
            return [folder]
    if folder := env.folder("HF_HOME"):
        return [folder / "hub"]
    return [folder / "huggingface" / "hub" for folder in caches if folder]


def _lm_studio(home: Path) -> list[Path]:
    """New, moved (by its own pointer or settings), old."""
    new = home / ".lmstudio"
    bases = [new]
    if pointed := _text(home / ".lmstudio-home-pointer").strip():
        bases.append(_expanded(pointed, home))
    folders = []
    for base in dict.fromkeys(bases):
        folders.append(base / "models")
        try:
            chosen = msgspec.json.decode(_text(base / "settings.json"), type=_LmStudioSettings).downloads_folder
        except msgspec.MsgspecError:
            continue
        if chosen:
            folders.append(_expanded(chosen, home))
    return [*folders, home / ".cache" / "lm-studio" / "models"]


def _text(path: Path) -> str:
    """A small text file; empty when there is none that can be read."""
    try:
        with path.open("rb") as file:
            return file.read(_MAX_SETTINGS_BYTES).decode()
    except (OSError, UnicodeDecodeError, ValueError):
        return ""


def _expanded(text: str, home: Path | None) -> Path:
    path = Path(text)
    return home.joinpath(*path.parts[1:]) if home is not None and path.parts[:1] == ("~",) else path
