"""`auto`, the name that means whichever model fits a request."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import NamedTuple

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.models.auto_choice import AutoSettings, Candidate, Residence, ranked, why_none
from shimmy.models.entry import ModelEntry
from shimmy.models.need import Need

AUTO = "auto"

_SHARE_OF_MEMORY = 0.8
_NO_LIMIT = 2**63


class Presence(NamedTuple):
    """How a model is, as whoever loads models tells it."""

    residence: Residence
    n_ctx: int | None = None
    """Tokens, of a loaded model."""


Tell = Callable[[ModelEntry], Presence]


class AutoName:
    """Chooses among `entries`, as they were found."""

    def __init__(self, entries: Iterable[ModelEntry], settings: AutoSettings) -> None:
        self._settings = settings
        self._entries = {entry.name: entry for entry in entries if entry.fault is None}
        self._candidates = [_candidate(entry) for entry in self._entries.values()]
        self._max_bytes = memory_limit() if settings.max_gb is None else int(settings.max_gb * 1e9)

    def order(self, need: Need, tell: Tell) -> list[str]:
        """The models to try one after the other; InvalidRequestError, saying what each lacks, when there is none."""
        candidates = [self._as_told(one, tell) for one in self._candidates]
        found = ranked(need, candidates, self._settings, self._max_bytes)
        if not found:
            raise InvalidRequestError(why_none(need, candidates, self._settings, self._max_bytes), "model")
        return [one.name for one in found]

    def unmatched(self) -> list[str]:
        """Places in the settings whose pattern matches no model."""
        places = {"auto.models": self._settings.models}
        places |= {f"auto.rules.{name}.models": rule.models for name, rule in self._settings.rules.items()}
        return [
            f"{place}: {pattern!r} is not found"
            for place, patterns in places.items()
            for pattern in patterns
            if not any(one.place_in((pattern,)) is not None for one in self._candidates)
        ]

    def _as_told(self, one: Candidate, tell: Tell) -> Candidate:
        presence = tell(self._entries[one.name])
        if presence == Presence("unloaded"):
            return one
        return msgspec.structs.replace(one, residence=presence.residence, n_ctx=presence.n_ctx or one.n_ctx)


def memory_limit() -> int:
    """Bytes of a file that this machine can be expected to hold."""
    try:
        return int(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _SHARE_OF_MEMORY)
    except (AttributeError, OSError, ValueError):
        return _NO_LIMIT


def _candidate(entry: ModelEntry) -> Candidate:
    return Candidate(
        name=entry.name,
        aliases=entry.aliases,
        abilities=entry.abilities,
        size_bytes=entry.size_bytes,
        n_ctx=entry.settings.ctx or entry.model.n_ctx_train,
    )
