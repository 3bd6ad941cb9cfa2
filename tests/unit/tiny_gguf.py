"""Writes small GGUF files by hand, valid or not."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

U32, FLOAT, BOOL, STRING, ARRAY, U64 = 4, 6, 7, 8, 9, 10


def text(value: str | bytes) -> bytes:
    data = value.encode() if isinstance(value, str) else value
    return struct.pack("<Q", len(data)) + data


def value(item: Any) -> bytes:
    """A typed value: str, bool, int (as u32), float, or a list of them."""
    if isinstance(item, str):
        return struct.pack("<I", STRING) + text(item)
    if isinstance(item, bool):
        return struct.pack("<IB", BOOL, item)
    if isinstance(item, int):
        return struct.pack("<II", U32, item)
    if isinstance(item, float):
        return struct.pack("<If", FLOAT, item)
    if isinstance(item, list):
        kind = value(item[0])[:4] if item else struct.pack("<I", U32)
        return struct.pack("<I", ARRAY) + kind + struct.pack("<Q", len(item)) + b"".join(value(i)[4:] for i in item)
    raise TypeError(item)


def tensor(name: str, shape: Sequence[int], offset: int = 0) -> bytes:
    dims = struct.pack(f"<I{len(shape)}Q", len(shape), *shape)
    return text(name) + dims + struct.pack("<IQ", 0, offset)


def header(
    metadata: Mapping[str, Any], tensors: Sequence[bytes] = (), *, version: int = 3, magic: bytes = b"GGUF"
) -> bytes:
    entries = b"".join(text(key) + value(item) for key, item in metadata.items())
    counts = struct.pack("<IQQ", version, len(tensors), len(metadata))
    return magic + counts + entries + b"".join(tensors)


def model_bytes(
    metadata: Mapping[str, Any] | None = None, *, n_params: int = 64, tensor_name: str = "w", **more: Any
) -> bytes:
    """A file with one tensor of 32-bit floats. `metadata` is added to that of a chat model of llama architecture."""
    described = {
        "general.architecture": "llama",
        "general.type": "model",
        "llama.context_length": 2048,
        "tokenizer.chat_template": "{{ messages }}",
        **(metadata or {}),
    }
    tensors = [tensor(tensor_name, [n_params])]
    head = header({key: item for key, item in described.items() if item is not None}, tensors, **more)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 4 * n_params


def adapter_bytes(metadata: Mapping[str, Any] | None = None) -> bytes:
    kind = {"general.type": "adapter", "adapter.type": "lora", "tokenizer.chat_template": None}
    return model_bytes({**kind, **(metadata or {})})


def write_model(path: Path, metadata: Mapping[str, Any] | None = None, **more: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(model_bytes(metadata, **more))
    return path


def write_adapter(path: Path, metadata: Mapping[str, Any] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(adapter_bytes(metadata))
    return path
