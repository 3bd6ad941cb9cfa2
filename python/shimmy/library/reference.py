"""Names by which models are pulled."""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec

from shimmy.errors import InvalidRequestError

_HUB_HOSTS = ("hf.co", "huggingface.co")
_PART = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,95}")
_MOST = 200
"""Characters of a name, each "/" and ":" counting three in one of a file."""
_FORMS = "owner/repo[:QUANT] or hf.co/owner/repo[:QUANT] for Hugging Face, name[:tag] for an Ollama registry"


class HubReference(msgspec.Struct, frozen=True):
    """A repository of the Hugging Face hub, and which of its quantizations; None for a usual one."""

    repository: str
    quantization: str | None = None


class RegistryReference(msgspec.Struct, frozen=True):
    """A model of an Ollama registry."""

    host: str
    namespace: str
    model: str
    tag: str

    @property
    def path(self) -> str:
        """As its manifest's file is called below a store's "manifests"."""
        return f"{self.host}/{self.namespace}/{self.model}/{self.tag}"


def parse_reference(name: str, registry_host: str) -> HubReference | RegistryReference:
    """`name` as one of the two. No other host than these is ever called: InvalidRequestError (param "model")."""
    bare = name.removeprefix("https://")
    if len(bare) > _MOST:
        raise _unreadable(f"{name[:40]}...")
    first, slash, rest = bare.partition("/")
    if not slash:
        return _registry(name, registry_host, bare)
    if first in _HUB_HOSTS:
        return _hub(name, rest)
    if first == registry_host:
        return _registry(name, registry_host, rest)
    if "." in first or ":" in first:
        raise InvalidRequestError(
            f"model {name!r}: {first} is no host to pull from; it must be hf.co or {registry_host} (registry_url)",
            "model",
        )
    return _hub(name, bare)


def check_name(name: str) -> str:
    """`name` when a model may be called so: parts of letters, digits, "." "_" "-" joined by "/", and a tag after ":".

    InvalidRequestError (param "model") otherwise.
    """
    parts, tag = _split(name)
    if len(quote(name, safe="")) > _MOST:
        raise InvalidRequestError(f"model {name[:40]!r}... is too long a name: use at most {_MOST} letters", "model")
    if not all(_PART.fullmatch(part) for part in [*parts.split("/"), *([tag] if tag else [])]):
        raise InvalidRequestError(
            f"model {name!r} is no name: use letters, digits, '.', '_', '-', '/' and a tag after ':'", "model"
        )
    return name


def _hub(name: str, rest: str) -> HubReference:
    repository, quantization = _split(rest)
    parts = repository.split("/")
    if len(parts) != 2 or not all(map(_is_part, [*parts, quantization or "x"])):
        raise _unreadable(name)
    if "--" in repository or repository.endswith(".git") or any(part[-1] in "-." for part in parts):
        raise InvalidRequestError(
            f"model {name!r} cannot be pulled: no repository of the hub has '--' in its name, or ends in '-', '.' or "
            "'.git'",
            "model",
        )
    return HubReference(repository, None if quantization in ("", "latest") else quantization)


def _registry(name: str, host: str, rest: str) -> RegistryReference:
    path, tag = _split(rest)
    parts = path.split("/")
    if len(parts) == 1:
        parts.insert(0, "library")
    if len(parts) != 2 or not all(map(_is_part, [*parts, tag or "latest"])):
        raise _unreadable(name)
    return RegistryReference(host, parts[0], parts[1], tag or "latest")


def _split(text: str) -> tuple[str, str]:
    """Before and after the colon of the tag; a colon at the end is no tag."""
    path, colon, tag = text.partition(":")
    return (path, tag or ":") if colon else (path, "")


def _is_part(text: str) -> bool:
    return _PART.fullmatch(text) is not None and ".." not in text


def _unreadable(name: str) -> InvalidRequestError:
    return InvalidRequestError(f"model {name!r} cannot be pulled: use {_FORMS}", "model")
