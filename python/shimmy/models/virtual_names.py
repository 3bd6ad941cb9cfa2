"""Names that stand for one of several models: a list to fall back along, or a split by weight."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextvars import ContextVar
from typing import Annotated

import msgspec
from msgspec import Meta

_Name = Annotated[str, Meta(min_length=1, max_length=512)]
Weight = Annotated[float, Meta(gt=0, le=1_000_000)]
Exists = Callable[[str], bool]

_choices: ContextVar[dict[str, str] | None] = ContextVar("choices", default=None)


class VirtualName(msgspec.Struct, frozen=True, kw_only=True):
    """One table, `[names.NAME]`; exactly one of the two is set."""

    fallback: Annotated[tuple[_Name, ...], Meta(min_length=1, max_length=64)] | None = None
    """The first that is there and loads."""
    split: Annotated[dict[_Name, Weight], Meta(min_length=1, max_length=64)] | None = None
    """Any of them, as often as its weight says."""

    def models(self) -> list[str]:
        return list(self.fallback or self.split or ())

    def choose(self, exists: Exists, draw: Callable[[], float] = random.random) -> str | None:
        """One of those that exist; None when none does. `draw` gives numbers from 0 to below 1."""
        there = [name for name in self.models() if exists(name)]
        if not self.split or not there:
            return there[0] if there else None
        at = draw() * sum(self.split[name] for name in there)
        for name in there:
            at -= self.split[name]
            if at < 0:
                return name
        return there[-1]

    def after(self, failed: str, exists: Exists) -> str | None:
        """The next to try when one could not be loaded; None at the end of the list, and of a split."""
        names = list(self.fallback or ())
        rest = names[names.index(failed) + 1 :] if failed in names else []
        return next((name for name in rest if exists(name)), None)


def begin_choices() -> dict[str, str]:
    """From here on, in this task, a virtual name means the same model each time. The dict fills with the choices made:
    virtual name -> model.
    """
    made: dict[str, str] = {}
    _choices.set(made)
    return made


def remembered(name: str) -> str | None:
    """What this task chose for `name` before."""
    return (_choices.get() or {}).get(name)


def remember(name: str, model: str) -> bool:
    """False when nobody asked to remember."""
    made = _choices.get()
    if made is None:
        return False
    made[name] = model
    return True
