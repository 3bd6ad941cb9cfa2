"""The names by which models on disk are called."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from shimmy.discovery.shards import split_stem

_SEPARATORS = re.compile(r"[\s_\x00-\x1f\x7f]")


def normalized(text: str) -> str:
    """Lower case, with "-" for "_", blanks and control characters."""
    return _SEPARATORS.sub("-", text.lower())


def stem_name(path: Path) -> str:
    """The name of a file on its own: its stem, without the number of a split file, normalized."""
    return normalized(split_stem(path.name) or path.stem)


def unique_names(paths: Iterable[Path], reserved: Iterable[str] = ()) -> dict[Path, str]:
    """A name for each path, all different and none in `reserved`.

    Files whose stems collide get their parent folder as a prefix ("folder/stem"), and further parents as needed. The
    same files get the same names in whatever order they come.
    """
    taken = set(reserved)
    depth = dict.fromkeys(sorted(set(paths)), 0)
    while True:
        names = {path: _name(path, n) for path, n in depth.items()}
        uses = Counter(names.values())
        deeper = [
            path
            for path, name in names.items()
            if (uses[name] > 1 or name in taken) and depth[path] < len(_folders(path))
        ]
        if not deeper:
            return _numbered(names, taken)
        for path in deeper:
            depth[path] += 1


def _name(path: Path, depth: int) -> str:
    folders = _folders(path)
    return "/".join([*(normalized(part) for part in folders[len(folders) - depth :]), stem_name(path)])


def _folders(path: Path) -> tuple[str, ...]:
    return tuple(part for part in path.parent.parts if part not in (path.anchor, "..", "."))


def _numbered(names: dict[Path, str], taken: set[str]) -> dict[Path, str]:
    """What still collides differs only in case or separators: later ones get a number."""
    unique: dict[Path, str] = {}
    used = set(taken)
    for path, name in names.items():
        candidate, number = name, 1
        while candidate in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate)
        unique[path] = candidate
    return unique
