"""What a request may call adapters: MODEL:ADAPTER instead of a model's name, and numbers instead of adapters' names."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.models.entry import ModelEntry

MAX_NAME = 1024
"""Characters; a longer name is none of these."""

FindModel = Callable[[str], ModelEntry | None]


def with_adapter(name: str, find: FindModel) -> ModelEntry | None:
    """The model that `name` means with one of its adapters; None when it means none. Both parts may hold ":"; the
    longest model name that fits counts. The caller has made sure that no model is called so.
    """
    for model, adapter in _splits(name):
        entry = find(model)
        if entry is None:
            continue
        for known in (adapter, adapter.lower()):
            if known in entry.adapters:
                return _applied(entry, known)
    return None


def missing_adapter(name: str, find: FindModel) -> str:
    """For the error about a name that means nothing: which adapters the model has that it begins with."""
    for model, adapter in _splits(name):
        entry = find(model)
        if entry is not None:
            known = ", ".join(entry.adapters) or "none"
            return f" Model {entry.name!r} has no adapter {adapter[:200]!r}; it has {known}."
    return ""


def numbered(number: int) -> str:
    """Stands for the adapter of that place in its model's list, until `named` knows its name."""
    return f"#{number}"


def named(scales: Mapping[str, float], adapters: Collection[str]) -> dict[str, float]:
    """`scales` by the names of `adapters`, where they have numbers. InvalidRequestError for one that is too high."""
    names = list(adapters)
    found: dict[str, float] = {}
    for name, scale in scales.items():
        number = name.removeprefix("#")
        if name != number and number.isdecimal() and name not in adapters:
            if len(number) > 9 or int(number) >= len(names):
                raise InvalidRequestError(f"lora names adapter {number[:20]} of {len(names)}, counted from 0", "lora")
            name = names[int(number)]
        found[name] = scale
    return found


def refuse_adapter(entry: ModelEntry) -> None:
    """For what is about a model alone: InvalidRequestError for a name with an adapter."""
    if entry.defaults.chosen:
        raise InvalidRequestError(
            f"{entry.name!r} names an adapter, which does not apply here: name the model alone", "model"
        )


def _splits(name: str) -> Iterator[tuple[str, str]]:
    name = name.removesuffix(":latest")
    at = name.rfind(":") if len(name) <= MAX_NAME else -1
    while at > 0:
        if name[at + 1 :]:
            yield name[:at], name[at + 1 :]
        at = name.rfind(":", 0, at)


def _applied(entry: ModelEntry, adapter: str) -> ModelEntry:
    """The model under its name with the adapter, answered by the same engine. The scale is the model's default one, 1
    where the adapter is not applied by default.
    """
    chosen = {adapter: entry.defaults.lora.get(adapter, 1.0)}
    return msgspec.structs.replace(
        entry,
        name=f"{entry.name}:{adapter}",
        aliases=(),
        shared=entry.engine,
        defaults=msgspec.structs.replace(entry.defaults, chosen=chosen, lora={}),
    )
