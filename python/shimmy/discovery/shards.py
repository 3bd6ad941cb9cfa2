"""Split models: files named STEM-00001-of-0000N.gguf that together hold one model."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from shimmy.discovery.gguf_header import GgufError

_SHARD = re.compile(r"(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf", re.IGNORECASE | re.DOTALL)
_NAMED_MISSING = 5


def split_stem(file_name: str) -> str | None:
    """The stem that all files of a split model share; None when the name is not one of a split file."""
    match = _SHARD.fullmatch(file_name)
    return match["stem"] if match else None


def group_shards(paths: Iterable[Path]) -> list[list[Path]]:
    """Group paths into models: files of one split model together in order, every other file alone."""
    groups: dict[tuple[Path, str, str], list[Path]] = {}
    for path in paths:
        match = _SHARD.fullmatch(path.name)
        key = (path.parent, match["stem"].lower(), match["count"]) if match else (path, "", "")
        groups.setdefault(key, []).append(path)
    return [sorted(group, key=lambda path: path.name.lower()) for group in groups.values()]


def check_complete(group: list[Path]) -> None:
    """Raise GgufError naming the files that a split model lacks."""
    match = _SHARD.fullmatch(group[0].name)
    if not match:
        return
    count = int(match["count"])
    here = {int(found["number"]) for path in group if (found := _SHARD.fullmatch(path.name))}
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
    """All files of the model that `path` is a part of, in order; just `path` when it is not split."""
    stem = split_stem(path.name)
    if stem is None:
        return [path]
    candidates = [entry for entry in path.parent.iterdir() if (split_stem(entry.name) or "").lower() == stem.lower()]
    return next(group for group in group_shards(candidates) if any(member.name == path.name for member in group))
