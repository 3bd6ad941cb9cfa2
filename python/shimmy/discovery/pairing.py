"""Which LoRA adapter belongs to which model."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from shimmy.discovery.local_model import LocalModel
from shimmy.discovery.names import stem_name

_NOT_A_WORD = re.compile(r"[^a-z0-9]+")


def pair_adapters(models: Sequence[LocalModel], adapters: Sequence[LocalModel]) -> dict[Path, dict[str, Path]]:
    """For each model's path its adapters, name -> file.

    An adapter belongs to the models of its architecture that carry the name of the base model it was trained on, and
    to the model in its own folder whose stem is the longest part of its own stem. Case does not matter.
    """
    pairs: dict[Path, dict[str, Path]] = {model.path: {} for model in models}
    for adapter in adapters:
        candidates = [model for model in models if _same_architecture(model, adapter)]
        owners = [model for model in candidates if _is_base(model, adapter)]
        neighbours = [
            model
            for model in candidates
            if model.path.parent == adapter.path.parent and stem_name(model.path) in stem_name(adapter.path)
        ]
        if neighbours:
            owners.append(max(neighbours, key=lambda model: len(stem_name(model.path))))
        for owner in owners:
            pairs[owner.path][adapter.name] = adapter.path
    return pairs


def _same_architecture(model: LocalModel, adapter: LocalModel) -> bool:
    return (model.architecture or "").lower() == (adapter.architecture or "").lower()


def _is_base(model: LocalModel, adapter: LocalModel) -> bool:
    bases = {_words(name) for name in adapter.base_models} - {""}
    stem = _words(stem_name(model.path))
    return _words(model.title or "") in bases or any(stem == base or stem.startswith(base + " ") for base in bases)


def _words(text: str) -> str:
    return _NOT_A_WORD.sub(" ", text.lower()).strip()
