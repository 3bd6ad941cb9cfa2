"""Searching folders for models."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import msgspec

from shimmy.discovery.classify import LOADABLE
from shimmy.discovery.facts_cache import FactsCache
from shimmy.discovery.file_facts import FileFacts
from shimmy.discovery.gguf_header import GgufError
from shimmy.discovery.local_model import LocalModel, describe
from shimmy.discovery.names import stem_name, unique_names
from shimmy.discovery.ollama_store import StoredModel, read_store
from shimmy.discovery.pairing import pair_adapters
from shimmy.discovery.shards import check_complete, group_shards, sibling_shards, split_stem
from shimmy.discovery.walk import FoundFile, FoundStore, Problem, Root, reason, walk

_CONVERT = "a LoRA adapter in safetensors format; convert it with llama.cpp's convert_lora_to_gguf.py"


class Scan(msgspec.Struct, frozen=True):
    """What a search found, in the order of roots and names, and what it had to skip."""

    models: list[LocalModel]
    problems: list[Problem]

    def of_kind(self, *kinds: str) -> list[LocalModel]:
        return [model for model in self.models if model.kind in kinds]


class Scanner:
    """Searches folders, and remembers the headers of files that have not changed since. One thread at a time."""

    def __init__(self, cache: FactsCache | None = None) -> None:
        self._cache = FactsCache() if cache is None else cache

    def scan(self, roots: Iterable[Root], reserved: Iterable[str] = ()) -> Scan:
        """Find the models below `roots`. No model gets a name in `reserved`.

        Files that are no usable GGUF, split models with missing files and unreadable folders become problems.
        """
        files: dict[str, FoundFile] = {}
        stored: list[LocalModel] = []
        problems: list[Problem] = []
        blobs: list[str] = []
        for found in walk(roots):
            if isinstance(found, Problem):
                problems.append(found)
            elif isinstance(found, FoundStore):
                for one in read_store(found.path):
                    if isinstance(one, Problem):
                        problems.append(one)
                    else:
                        blobs.append(str(one.file))
                        self._try(stored, problems, one)
            elif found.path.endswith((".safetensors", ".SAFETENSORS")):
                problems.append(Problem(Path(found.path), _CONVERT))
            else:
                files[found.path] = found
        good: list[tuple[list[FoundFile], list[FileFacts]]] = []
        for group in group_shards(files):
            parts = [files[path] for path in group]
            try:
                good.append((parts, self._facts(parts)))
            except (GgufError, OSError) as error:
                problems.append(Problem(Path(group[0]), _message(error, group[0])))
        self._cache.keep([*files, *blobs])
        taken = set(reserved)
        stored = _named_once(stored, taken, problems)
        names = unique_names((parts[0].path for parts, _ in good), taken)
        models = [_model(names[parts[0].path], parts, facts) for parts, facts in good]
        return Scan(_with_adapters(models + stored), problems)

    def read(self, path: Path) -> LocalModel:
        """The record of one model file (any part of a split one), named by its stem.

        Raises GgufError, or OSError when a file cannot be read.
        """
        try:
            parts = [_found(part) for part in sibling_shards(path)]
            return _model(stem_name(path), parts, self._facts(parts))
        except GgufError as error:
            raise GgufError(f"{path}: {_message(error, str(path))}") from None

    def _facts(self, parts: list[FoundFile]) -> list[FileFacts]:
        """Of all files of one model. Raises GgufError when some are missing."""
        if split_stem(parts[0].path.rpartition(os.sep)[2]) is not None:
            check_complete([part.path for part in parts])
            return [self._cache.facts(part) for part in parts]
        facts = [self._cache.facts(parts[0])]
        if facts[0].split_count > 1:
            raise GgufError(
                "one file of a split model, under a name that hides the others; they must be called "
                "NAME-00001-of-0000N.gguf"
            )
        return facts

    def _try(self, models: list[LocalModel], problems: list[Problem], stored: StoredModel) -> None:
        """Add what Ollama stored to `models`, or why it cannot be used to `problems`."""
        manifest = stored.layers.manifest
        try:
            file = _found(stored.file)
            facts = self._cache.facts(file)
            mtime = manifest.stat().st_mtime
        except (GgufError, OSError) as error:
            problems.append(Problem(manifest, f"its model layer, {stored.file}: {_message(error, str(stored.file))}"))
            return
        model = describe(stored.names[0], (file.path,), [facts], file.size_bytes, mtime)
        models.append(msgspec.structs.replace(model, aliases=stored.names[1:], ollama=stored.layers))


def _found(path: Path) -> FoundFile:
    status = path.stat()
    return FoundFile(str(path), status.st_size, status.st_mtime_ns)


def _named_once(models: list[LocalModel], taken: set[str], problems: list[Problem]) -> list[LocalModel]:
    """Stored models under names that none before them has, which are added to `taken`. Of one that has several tags
    and is the same in all of them, the other tags become aliases.
    """
    same: dict[bytes, LocalModel] = {}
    for model in sorted(models, key=lambda model: "latest" in model.name.rpartition(":")[2]):
        assert model.ollama is not None
        key = msgspec.json.encode(
            (model.files, msgspec.structs.replace(model.ollama, manifest=Path())), enc_hook=str, order="sorted"
        )
        first = same.setdefault(key, model)
        if first is not model:
            same[key] = msgspec.structs.replace(first, aliases=(*first.aliases, model.name, *model.aliases))
    named = []
    for model in same.values():
        free = [name for name in dict.fromkeys((model.name, *model.aliases)) if name not in taken]
        if not free:
            where = model.ollama.manifest if model.ollama else model.path
            problems.append(Problem(where, f"another model is called {model.name}"))
            continue
        taken.update(free)
        named.append(msgspec.structs.replace(model, name=free[0], aliases=tuple(free[1:])))
    return named


def _model(name: str, parts: list[FoundFile], facts: list[FileFacts]) -> LocalModel:
    first = parts[0]
    if len(parts) == 1:
        return describe(name, (first.path,), facts, first.size_bytes, first.mtime_ns / 1e9)
    size_bytes = sum(part.size_bytes for part in parts)
    mtime = max(part.mtime_ns for part in parts) / 1e9
    return describe(name, tuple(part.path for part in parts), facts, size_bytes, mtime)


def _with_adapters(models: list[LocalModel]) -> list[LocalModel]:
    adapters = [model for model in models if model.kind == "adapter"]
    pairs = pair_adapters([model for model in models if model.kind in LOADABLE], adapters)
    if not pairs:
        return models
    return [
        msgspec.structs.replace(model, adapters=pairs[model.path]) if model.path in pairs else model for model in models
    ]


def _message(error: GgufError | OSError, path: str) -> str:
    """The message without the path in front, which the Problem carries."""
    if isinstance(error, OSError):
        return f"cannot read it: {reason(error)}"
    return error.message.removeprefix(f"{path}: ")
