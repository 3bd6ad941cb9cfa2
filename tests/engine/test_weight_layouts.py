"""Weights in two layouts: what is computed does not depend on which one it was, nor on who computes beside it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter
from token_loop import batch_of, open_context, prefill

from shimmy._core import DecodeStatus, Model, ModelParams

LONG = [3 * n % 4096 for n in range(100, 164)]
SHORT = LONG[:8]


@pytest.fixture(scope="module")
def path(tiny_models: Callable[..., Path]) -> Path:
    return tiny_models("q2_k", 1)


@pytest.fixture(scope="module")
def model(path: Path) -> Model:
    model = Model(path)
    if not model.both_layouts_bytes:
        pytest.skip("this CPU has no kernel that is faster on the file's layout")
    return model


def test_only_repacked_weights_are_there_twice(path: Path, model: Model, tiny_models: Callable[..., Path]) -> None:
    assert 0 < model.both_layouts_bytes < model.size_bytes
    assert Model(tiny_models("q8_0", 1)).both_layouts_bytes == 0
    for params in ({"both_layouts": False}, {"use_extra_bufts": False}, {"use_mmap": False}, {"vocab_only": True}):
        assert Model(path, ModelParams(**params)).both_layouts_bytes == 0


def test_few_tokens_take_the_repacked_layout_and_many_the_files(path: Path, model: Model) -> None:
    repacked = Model(path, ModelParams(both_layouts=False))
    in_file = Model(path, ModelParams(use_extra_bufts=False))
    for tokens, same in ((SHORT, repacked), (LONG, in_file), (SHORT, repacked)):
        assert np.array_equal(prefill(open_context(model), tokens), prefill(open_context(same), tokens))


def test_a_context_can_keep_to_the_repacked_one(path: Path, model: Model) -> None:
    repacked = Model(path, ModelParams(both_layouts=False))
    kept = open_context(model, switch_layout=False)
    assert np.array_equal(prefill(kept, LONG), prefill(open_context(repacked), LONG))


def test_contexts_that_compute_at_one_time_share_a_layout(model: Model) -> None:
    """Many threads with small and large batches: every row is one that some layout gives, and those that keep to one
    get exactly that."""
    repacked_row = prefill(open_context(model, switch_layout=False), LONG)
    wrong: list[float] = []

    def compute(tokens: list[int], switch: bool) -> None:
        context = open_context(model, switch_layout=switch)
        for _ in range(20):
            context.kv_cache.clear()
            assert context.decode(batch_of(tokens)) == DecodeStatus.OK
            row = context.logits()
            if not switch and not np.array_equal(row, repacked_row):
                wrong.append(0.0)
            elif tokens is LONG and np.corrcoef(row, repacked_row)[0, 1] < 0.99:
                wrong.append(float(np.corrcoef(row, repacked_row)[0, 1]))

    jobs = [(LONG, True), (SHORT, True), (LONG, False)]
    threads = [threading.Thread(target=compute, args=job) for job in jobs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_every_part_of_a_split_model_is_mapped(path: Path, model: Model, tmp_path: Path) -> None:
    """Cut in two with the gguf package: as many bytes, and the same values."""
    reader = GGUFReader(path)
    half = len(reader.tensors) // 2
    for number, tensors in enumerate((reader.tensors[:half], reader.tensors[half:])):
        writer = GGUFWriter(
            tmp_path / f"m-{number + 1:05}-of-00002.gguf", reader.fields["general.architecture"].contents()
        )
        for field in reader.fields.values() if number == 0 else ():
            if not field.name.startswith(("GGUF.", "general.architecture")):
                element = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
                writer.add_key_value(field.name, field.contents(), field.types[0], element)
        writer.add_uint16("split.no", number)
        writer.add_uint16("split.count", 2)
        writer.add_int32("split.tensors.count", len(reader.tensors))
        for tensor in tensors:
            writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
    split = Model(tmp_path / "m-00001-of-00002.gguf")
    assert split.both_layouts_bytes == model.both_layouts_bytes
    assert np.array_equal(prefill(open_context(split), LONG), prefill(open_context(model), LONG))
