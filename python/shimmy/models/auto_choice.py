"""Which model `auto` means: a function of what a request needs, what models there are, and the settings' rules."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from shimmy.models.need import Ability, Need, Task

Pattern: TypeAlias = Annotated[str, Meta(min_length=1, max_length=512)]
Patterns: TypeAlias = Annotated[tuple[Pattern, ...], Meta(max_length=256)]
Residence: TypeAlias = Literal["loaded", "unloaded", "failed"]

_UNKNOWN_CONTEXT = 4096
"""Tokens of a model that does not say what it was trained with."""
_UNPLACED = 1_000
"""Behind every place in a rule."""


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """One table, `[auto.rules.NAME]`: for requests that are as it says, its models come before all others."""

    models: Annotated[Patterns, Meta(min_length=1)]
    """Names, in the order in which they are tried; `*` stands for anything."""
    task: Task | None = None
    needs: tuple[Ability, ...] = ()
    """All of these."""
    min_tokens: Annotated[int, Meta(ge=0)] = 0
    """At least that much context."""

    def applies(self, need: Need) -> bool:
        return (
            self.task in (None, need.task)
            and need.abilities().issuperset(self.needs)
            and need.n_tokens >= self.min_tokens
        )


class AutoSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The table `[auto]`."""

    models: Patterns = ()
    """The only ones to choose from; none: all there are. `*` stands for anything."""
    prefer: Literal["large", "small"] = "large"
    loaded_first: bool = True
    """One that is loaded before any that would have to be loaded."""
    max_gb: Annotated[float, Meta(gt=0)] | None = None
    """Larger files are not chosen; None: four fifths of this machine's memory."""
    rules: dict[str, Rule] = {}
    """The first that applies, and names a model that can do what is needed, decides."""


class Candidate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A model as the choice sees it."""

    name: str
    aliases: tuple[str, ...] = ()
    abilities: frozenset[str]
    size_bytes: int
    n_ctx: int | None
    """Tokens; None: unknown."""
    residence: Residence = "unloaded"

    def place_in(self, patterns: Patterns) -> int | None:
        """Of the first pattern that one of its names matches, whatever the case."""
        names = [name.lower() for name in (self.name, *self.aliases)]
        for place, pattern in enumerate(patterns):
            if any(fnmatchcase(name, pattern.lower()) for name in names):
                return place
        return None


def ranked(need: Need, candidates: Sequence[Candidate], settings: AutoSettings, max_bytes: int) -> list[Candidate]:
    """Those that can do what is needed, the one to try first in front; none when there is none.

    Those that failed to load come last. A rule's models come first, then those whose context is large enough (where
    none is, the largest), then those that are loaded, then by size. Embeddings of two models do not compare, so for
    these it does not count what happens to be loaded.
    """
    able = [one for one in candidates if _objection(need, one, settings, max_bytes) is None]
    places = _places(need, able, settings)
    wanted = min(need.n_tokens, max((_context(one) for one in able), default=0))
    by_residence = settings.loaded_first and need.task not in ("embedding", "rerank")
    sign = -1 if settings.prefer == "large" else 1

    def order(one: Candidate) -> tuple[bool, int, bool, bool, int, str]:
        return (
            one.residence == "failed",
            places.get(one.name, _UNPLACED),
            _context(one) < wanted,
            by_residence and one.residence != "loaded",
            sign * one.size_bytes,
            one.name,
        )

    return sorted(able, key=order)


def why_none(need: Need, candidates: Sequence[Candidate], settings: AutoSettings, max_bytes: int) -> str:
    """For whoever asked when `ranked` gives none: what is needed, and what each model lacks."""
    needed = " and ".join(sorted(need.abilities()))
    if not candidates:
        return f"auto: {needed} is needed, and there are no models"
    lacks = [f"{one.name} {_objection(need, one, settings, max_bytes)}" for one in candidates[:20]]
    more = f", and {len(candidates) - 20} more" if len(candidates) > 20 else ""
    return (
        f"auto: no model fits, {needed} is needed: {'; '.join(lacks)}{more}. Name a model, or declare what one can do "
        "as its capabilities in models.toml"
    )


def _objection(need: Need, one: Candidate, settings: AutoSettings, max_bytes: int) -> str | None:
    """Why it cannot be chosen."""
    lacking = sorted(need.abilities() - one.abilities)
    if lacking:
        return f"has no {' and no '.join(lacking)}"
    if settings.models and one.place_in(settings.models) is None:
        return "is not in auto.models"
    if one.size_bytes > max_bytes and one.residence != "loaded":
        return f"has {one.size_bytes / 1e9:.1f} GB, more than {max_bytes / 1e9:.1f} (auto.max_gb)"
    return None


def _places(need: Need, able: Sequence[Candidate], settings: AutoSettings) -> dict[str, int]:
    """Of the models of the rule that decides, by name."""
    for rule in settings.rules.values():
        if rule.applies(need):
            found = {one.name: place for one in able if (place := one.place_in(rule.models)) is not None}
            if found:
                return found
    return {}


def _context(one: Candidate) -> int:
    return _UNKNOWN_CONTEXT if one.n_ctx is None else one.n_ctx
