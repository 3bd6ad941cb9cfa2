"""Split models: files named STEM-00001-of-0000N.gguf that together hold one model."""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterable
from pathlib import Path

from shimmy.discovery.gguf_header import GgufError

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
_NAMED_MISSING = 5


def split_stem(file_name: str) -> str | None:
    """The stem that all files of a split model share; None when the name is not one of a split file."""
    match = _match(file_name)
    return match["stem"] if match else None


def group_shards(paths: Iterable[str]) -> list[list[str]]:
    """Group paths into models: files of one split model together in order, every other file alone."""
    groups: dict[str | tuple[str, str, str], list[str]] = {}
    for path in paths:
        folder, _, name = path.rpartition(os.sep)
        match = _match(name)
        if match is None:
            groups[path] = [path]
        else:
            groups.setdefault((folder, match["stem"].lower(), match["count"]), []).append(path)
    return [sorted(group, key=str.lower) if len(group) > 1 else group for group in groups.values()]


def check_complete(group: list[str]) -> None:
    """Raise GgufError naming the files that a split model lacks."""
    names = [path.rpartition(os.sep)[2] for path in group]
    match = _match(names[0])
    if not match:
        return
    count = int(match["count"])
    here = {int(found["number"]) for name in names if (found := _match(name))}
    strange = sorted(number for number in here if not 1 <= number <= count)
    if strange:
        raise GgufError(f"{group[0]}: file {strange[0]} of a model split into {count}")
    missing = [number for number in range(1, count + 1) if number not in here]
    if missing:
        names = [f"{match['stem']}-{number:05}-of-{count:05}.gguf" for number in missing[:_NAMED_MISSING]]
        more = f" and {len(missing) - len(names)} more" if len(missing) > len(names) else ""
        raise GgufError(
            f"{group[0]}: one of {count} files of a split model; beside it are missing {', '.join(names)}{more}"
        )


def sibling_shards(path: Path) -> list[Path]:
    """All files of the model that `path` is a part of, in order; just `path` when it is not split.

    FileNotFoundError when a part is not there itself.
    """
    stem = split_stem(path.name)
    if stem is None:
        return [path]
    candidates = [
        str(entry) for entry in path.parent.iterdir() if (split_stem(entry.name) or "").lower() == stem.lower()
    ]
    for group in group_shards(candidates):
        if str(path) in group:
            return [Path(part) for part in group]
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def _match(name: str) -> re.Match[str] | None:
    return _SHARD.fullmatch(name) if "-of-" in name.lower() else None
