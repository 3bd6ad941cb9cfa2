"""Which LoRA adapter belongs to which model."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.names import stem_name

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def pair_adapters(models: Sequence[LocalModel], adapters: Sequence[LocalModel]) -> dict[Path, dict[str, Path]]:
    """For each path of a model that has some its adapters, name -> file.

    An adapter belongs to the models of its architecture that carry the name of the base model it was trained on, and
    to the model in its own folder whose stem is the longest part of its own stem. Case does not matter.
    """
    pairs: dict[Path, dict[str, Path]] = {}
    if not adapters:
        return pairs
    index = _Index(models)
    for adapter in adapters:
        for owner in [*index.bases(adapter), *index.neighbours(adapter)]:
            pairs.setdefault(owner, {})[adapter.name] = adapter.path
    return pairs


class _Index:
    """Models by what adapters are matched with, so that many of both take no time."""

    def __init__(self, models: Sequence[LocalModel]) -> None:
        self._titles: defaultdict[tuple[str, str], list[Path]] = defaultdict(list)
        self._folders: defaultdict[tuple[str, Path], list[tuple[str, Path]]] = defaultdict(list)
        self._stems: list[tuple[str, str, Path]] = []
        for model in models:
            architecture, stem = _architecture(model), stem_name(model.path)
            self._titles[architecture, _words(model.title or "")].append(model.path)
            self._folders[architecture, model.path.parent].append((stem, model.path))
            self._stems.append((architecture, _words(stem), model.path))
        self._stems.sort()

    def bases(self, adapter: LocalModel) -> list[Path]:
        """Models that carry the name of a base of it, in their title or at the start of their stem."""
        architecture = _architecture(adapter)
        found: list[Path] = []
        for base in {_words(name) for name in adapter.base_models} - {""}:
            found += self._titles.get((architecture, base), ())
            for i in range(bisect_left(self._stems, (architecture, base)), len(self._stems)):
                at, stem, path = self._stems[i]
                if at != architecture or not stem.startswith(base):
                    break
                if stem == base or stem[len(base)] == " ":
                    found.append(path)
        return found

    def neighbours(self, adapter: LocalModel) -> list[Path]:
        """The model in its folder with the longest stem that is part of its own."""
        stem = stem_name(adapter.path)
        beside = self._folders.get((_architecture(adapter), adapter.path.parent), ())
        inside = [(len(name), path) for name, path in beside if name in stem]
        return [max(inside, key=lambda one: one[0])[1]] if inside else []


def _architecture(model: LocalModel) -> str:
    return (model.architecture or "").lower()


def _words(text: str) -> str:
    return _NOT_A_WORD.sub(" ", text.lower()).strip()
