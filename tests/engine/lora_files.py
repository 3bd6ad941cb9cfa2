"""GGUF files made from the demo model and its adapters: weights as 32-bit floats, merged or changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from numpy.typing import NDArray

Change = Callable[[str, NDArray[np.float32]], NDArray[np.float32]]


def copy_metadata(reader: gguf.GGUFReader, writer: gguf.GGUFWriter) -> None:
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        of = field.types[1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=of)


def finish(writer: gguf.GGUFWriter) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def write_float_copy(source: Path, path: Path, change: Change) -> Path:
    """The model with all weights as 32-bit floats, each passed through `change(name, weights)`."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer)
    for tensor in reader.tensors:
        weights = gguf.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        writer.add_tensor(tensor.name, change(tensor.name, weights))
    finish(writer)
    return path


def weight_changes(adapters: Sequence[tuple[Path, float]]) -> Mapping[str, NDArray[np.float32]]:
    """What adapters add to each weight: scale * alpha / rank * B A (Hu et al. 2021, arXiv:2106.09685)."""
    changes: dict[str, NDArray[np.float32]] = {}
    for path, scale in adapters:
        reader = gguf.GGUFReader(path)
        alpha = float(reader.fields["adapter.lora.alpha"].contents())
        parts = {t.name: gguf.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
        for name in {name.rpartition(".")[0] for name in parts}:
            a, b = parts[f"{name}.lora_a"], parts[f"{name}.lora_b"]
            changes[name] = changes.get(name, np.float32(0)) + np.float32(scale * alpha / len(a)) * (b @ a)
    return changes


def write_adapter_copy(source: Path, path: Path, **metadata: Any) -> Path:
    """The adapter with more metadata: `adapter__alora__invocation_tokens=[1, 2]` is an array of u32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(path, reader.fields["general.architecture"].contents())
    copy_metadata(reader, writer)
    for key, value in metadata.items():
        writer.add_key_value(
            key.replace("__", "."), value, gguf.GGUFValueType.ARRAY, sub_type=gguf.GGUFValueType.UINT32
        )
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    finish(writer)
    return path
