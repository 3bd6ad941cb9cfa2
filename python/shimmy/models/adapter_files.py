"""The file that somebody means by the name or the path of an adapter, and whether it is one for their model."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from shimmy.discovery.local_model import LocalModel
from shimmy.errors import InvalidRequestError, ModelLoadError, ModelNotFoundError

MAX_PATH = 4096
"""Characters."""


def check_adapter(path: Path, model: LocalModel, read: Callable[[Path], LocalModel]) -> None:
    """ModelLoadError for a file that is no LoRA adapter, or one for another architecture. Raises what `read` does."""
    if path.suffix.lower() == ".safetensors":
        raise ModelLoadError(
            f"{path} is in safetensors format; convert the adapter with llama.cpp's convert_lora_to_gguf.py"
        )
    adapter = read(path)
    if adapter.kind != "adapter":
        raise ModelLoadError(f"{path} is not a LoRA adapter but a file of kind {adapter.kind}")
    if adapter.architecture != model.architecture:
        raise ModelLoadError(
            f"{path} is a LoRA adapter for {adapter.architecture} models; {model.path} is {model.architecture}"
        )


def allowed_file(text: str, folders: Sequence[Path]) -> Path:
    """A path that a client named: absolute, or relative to one of `folders`, which it must not leave by ".." or a link.

    Whether anything lies elsewhere is not told. Raises InvalidRequestError for a path outside, ModelNotFoundError when
    there is no such file inside.
    """
    if not text or len(text) > MAX_PATH or any(letter < " " for letter in text):
        raise InvalidRequestError(f"path must be 1 to {MAX_PATH} characters, without control characters", "path")
    bounds = [os.path.abspath(folder) for folder in folders]  # noqa: PTH100 - links are followed below
    inside = [path for path in (os.path.normpath(Path(folder, text)) for folder in bounds) if _below(path, bounds)]
    file = next((path for path in inside if Path(path).is_file()), None)
    real = [os.path.realpath(folder) for folder in bounds]
    if not inside or (file is not None and not _below(os.path.realpath(file), real)):
        raise InvalidRequestError(
            "path lies outside of the folders that are searched for models; shimmy discover -v names them", "path"
        )
    if file is not None:
        return Path(file)
    raise ModelNotFoundError(f"there is no file {text!r} in the folders that are searched for models")


def found_file(name: str, found: Iterable[LocalModel], architecture: str | None) -> Path:
    """The adapter of that name among the files that were found, for models of an architecture. ModelNotFoundError
    naming those that there are.
    """
    fitting = {one.name: one.path for one in found if one.kind == "adapter" and one.architecture == architecture}
    if name not in fitting:
        known = ", ".join(sorted(fitting)[:100]) or "none"
        raise ModelNotFoundError(
            f"no adapter {name[:200]!r} was found for {architecture} models; there are: {known}. Its file can be given "
            "as path"
        )
    return fitting[name]


def _below(path: str, folders: Iterable[str]) -> bool:
    return any(path.startswith(folder.rstrip(os.sep) + os.sep) for folder in folders)
