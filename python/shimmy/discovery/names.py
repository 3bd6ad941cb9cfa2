"""The names by which models on disk are called."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shimmy.discovery.shards import split_stem

_SEPARATORS = re.compile(r"[\s_\x00-\x1f\x7f]")
_HUB_FOLDER = "models--"
_REVISION_LETTERS = 8


def normalized(text: str) -> str:
    """Lower case, with "-" for "_", blanks and control characters."""
    return _SEPARATORS.sub("-", text.lower())


def stem_name(path: Path | str) -> str:
    """The name of a file on its own: its stem, without the number of a split file, normalized."""
    name = path.rpartition(os.sep)[2] if isinstance(path, str) else path.name
    stem, dot, _ = name.rpartition(".")
    return normalized(split_stem(name) or (stem if dot and stem else name))


def unique_names(paths: Iterable[str], reserved: Iterable[str] = ()) -> dict[str, str]:
    """A name for each path, all different and none in `reserved`.

    Files whose stems collide get their parent folder as a prefix ("folder/stem"), and further parents as needed; in a
    cache of Hugging Face's hub the repository stands for the folder. The same files get the same names in whatever
    order they come.
    """
    taken = set(reserved)
    names = {path: stem_name(path) for path in sorted(set(paths))}
    prefixes: dict[str, tuple[str, ...]] = {}
    depth: Counter[str] = Counter()
    while True:
        uses = Counter(names.values())
        deeper = []
        for path, name in names.items():
            if uses[name] > 1 or name in taken:
                if path not in prefixes:
                    prefixes[path] = _prefixes(path)
                if depth[path] < len(prefixes[path]):
                    deeper.append(path)
        if not deeper:
            return _numbered(names, taken)
        for path in deeper:
            names[path] = f"{prefixes[path][depth[path]]}/{names[path]}"
            depth[path] += 1


def _prefixes(path: str) -> tuple[str, ...]:
    """What may stand before a file's name, nearest first: its folders, those of a hub cache by what they mean."""
    folder = Path(path).parent
    parts = [part for part in folder.parts if part not in (folder.anchor, "..", ".")]
    hub = next((i for i in range(len(parts) - 2) if _is_snapshot(parts[i : i + 3])), None)
    if hub is not None:
        repository = parts[hub].removeprefix(_HUB_FOLDER).split("--")
        parts = [parts[hub + 2][:_REVISION_LETTERS], *repository, *parts[hub + 3 :]]
    return tuple(normalized(part) for part in reversed(parts))


def _is_snapshot(parts: list[str]) -> bool:
    return parts[0].startswith(_HUB_FOLDER) and parts[1] == "snapshots"


def _numbered(names: dict[str, str], taken: set[str]) -> dict[str, str]:
    """What still collides differs only in case or separators: later ones get a number."""
    unique: dict[str, str] = {}
    used = set(taken)
    for path, name in names.items():
        candidate, number = name, 1
        while candidate in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate)
        unique[path] = candidate
    return unique
