"""Searching folders for models."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from shimmy.discovery.gguf_header import GgufError, GgufHeader, read_header
from shimmy.discovery.local_model import LocalModel, describe
from shimmy.discovery.names import stem_name, unique_names
from shimmy.discovery.pairing import pair_adapters
from shimmy.discovery.shards import check_complete, group_shards, sibling_shards, split_stem
from shimmy.discovery.walk import FoundFile, Problem, Root, walk

_CONVERT = "a LoRA adapter in safetensors format; convert it with llama.cpp's convert_lora_to_gguf.py"


class Scan(msgspec.Struct, frozen=True):
    """What a search found, in the order of roots and names, and what it had to skip."""

    models: list[LocalModel]
    problems: list[Problem]

    def of_kind(self, *kinds: str) -> list[LocalModel]:
        return [model for model in self.models if model.kind in kinds]


class Scanner:
    """Searches folders, and remembers the headers of files that have not changed since."""

    def __init__(self) -> None:
        self._headers: dict[FoundFile, GgufHeader | str] = {}

    def scan(self, roots: Iterable[Root], reserved: Iterable[str] = ()) -> Scan:
        """Find the models below `roots`. No model gets a name in `reserved`.

        Files that are no usable GGUF, split models with missing files and unreadable folders become problems.
        """
        files: dict[Path, FoundFile] = {}
        problems: list[Problem] = []
        for found in walk(roots):
            if isinstance(found, Problem):
                problems.append(found)
            elif found.path.suffix.lower() == ".safetensors":
                problems.append(Problem(found.path, _CONVERT))
            else:
                files[found.path] = found
        self._headers = {file: header for file, header in self._headers.items() if files.get(file.path) == file}
        models = []
        for group in group_shards(files):
            try:
                models.append(self._model([files[path] for path in group]))
            except (GgufError, OSError) as error:
                problems.append(Problem(group[0], _reason(error, group[0])))
        return Scan(_named(models, reserved), problems)

    def read(self, path: Path) -> LocalModel:
        """The record of one model file (any part of a split one), named by its stem.

        Raises GgufError, or OSError when a file cannot be read.
        """
        files = []
        for part in sibling_shards(path):
            status = part.stat()
            files.append(FoundFile(part, status.st_size, status.st_mtime_ns))
        return self._model(files)

    def _model(self, files: list[FoundFile]) -> LocalModel:
        paths = tuple(file.path for file in files)
        check_complete(list(paths))
        headers = [self._header(file) for file in files]
        if (headers[0].integer("split.count") or 1) > 1 and split_stem(paths[0].name) is None:
            raise GgufError(
                f"{paths[0]}: one file of a split model, under a name that hides the others; they must be called "
                "NAME-00001-of-0000N.gguf"
            )
        size_bytes = sum(file.size_bytes for file in files)
        mtime = max(file.mtime_ns for file in files) / 1e9
        return describe(stem_name(paths[0]), paths, headers, size_bytes, mtime)

    def _header(self, file: FoundFile) -> GgufHeader:
        header = self._headers.get(file)
        if header is None:
            try:
                header = read_header(file.path)
            except GgufError as error:
                header = error.message
            self._headers[file] = header
        if isinstance(header, str):
            raise GgufError(header)
        return header


def _named(models: list[LocalModel], reserved: Iterable[str]) -> list[LocalModel]:
    """`models` under unique names, each with its adapters."""
    names = unique_names((model.path for model in models), reserved)
    models = [msgspec.structs.replace(model, name=names[model.path]) for model in models]
    loadable = [model for model in models if model.kind in ("chat", "base", "embedding", "rerank")]
    pairs = pair_adapters(loadable, [model for model in models if model.kind == "adapter"])
    return [msgspec.structs.replace(model, adapters=pairs.get(model.path, {})) for model in models]


def _reason(error: GgufError | OSError, path: Path) -> str:
    """The message without the path in front, which the Problem carries."""
    if isinstance(error, OSError):
        return f"cannot read it: {error.strerror}"
    return error.message.removeprefix(f"{path}: ")
