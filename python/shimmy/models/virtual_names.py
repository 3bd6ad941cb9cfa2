"""Names that stand for one of several models: a list to fall back along, or a split by weight."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Annotated

import msgspec
from msgspec import Meta

_Name = Annotated[str, Meta(min_length=1, max_length=512)]
Weight = Annotated[float, Meta(gt=0, le=1_000_000)]
Exists = Callable[[str], bool]


class VirtualName(msgspec.Struct, frozen=True, kw_only=True):
    """One table, `[names.NAME]`; exactly one of the two is set."""

    fallback: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=64)] | None = None
    """The first that is there and loads."""
    split: Annotated[dict[_Name, Weight], Meta(min_length=1, max_length=64)] | None = None
    """Any of them, as often as its weight says."""

    def models(self) -> list[str]:
        return list(self.fallback or self.split or ())

    def order(self, exists: Exists, draw: Callable[[], float] = random.random) -> list[str]:
        """Those to try one after the other, of those that exist; of a split the one that is drawn. `draw` gives
        numbers from 0 to below 1.
        """
        there = [name for name in self.models() if exists(name)]
        if not self.split or not there:
            return there
        at = draw() * sum(self.split[name] for name in there)
        for name in there:
            at -= self.split[name]
            if at < 0:
                return [name]
        return there[-1:]


class Listed(msgspec.Struct, frozen=True, kw_only=True):
    """A virtual name as lists of models tell it."""

    name: str
    chooses: str
    """auto, fallback or split."""
    models: tuple[str, ...]
    """Those it may stand for now, in their order; at least one."""
    created: int
    """Of the newest of them, in seconds since the epoch."""
    abilities: tuple[str, ...]
    """What it can be asked for: of auto what any of them can do, else what all can."""


class _Choices:
    """Those of one request."""

    def __init__(self) -> None:
        self.made: dict[str, str] = {}
        self.next: dict[str, list[str]] = {}
        """What is left to fall back to, by virtual name."""


_choices: ContextVar[_Choices | None] = ContextVar("choices", default=None)


def begin_choices() -> dict[str, str]:
    """From here on, in this task, a virtual name means the same model each time. The dict fills with the choices made:
    virtual name -> model.
    """
    choices = _Choices()
    _choices.set(choices)
    return choices.made


def remembered(name: str) -> str | None:
    """What this task chose for `name` before."""
    choices = _choices.get()
    return None if choices is None else choices.made.get(name)


def remember(name: str, model: str, following: Sequence[str] = ()) -> bool:
    """`following` are those to fall back to. False when nobody asked to remember."""
    choices = _choices.get()
    if choices is None:
        return False
    choices.made[name] = model
    choices.next[name] = list(following)
    return True


def fall_back(name: str) -> str | None:
    """The next model for `name`, which it means from here on in this task; None when there is none."""
    choices = _choices.get()
    if choices is None or not choices.next.get(name):
        return None
    choices.made[name] = choices.next[name].pop(0)
    return choices.made[name]


def answering(name: str) -> str:
    """The name of the model that answers in this task for one that was asked for: itself, unless it is virtual."""
    untagged = name.removesuffix(":latest")
    known = (remembered(one) for one in (name, untagged, f"{untagged}:latest"))
    return next((model for model in known if model is not None), name)
