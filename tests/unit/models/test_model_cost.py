"""What models will take, by their headers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_gguf import write_adapter, write_model

from shimmy.discovery.scan import Scanner
from shimmy.model_info import LoadSpec
from shimmy.models.model_cost import (
    DRIVER_BYTES,
    GPU_PROCESS_BYTES,
    LEAST_CONTEXT,
    PROCESS_BYTES,
    ModelCost,
    cost_of,
    repacked_types,
)
from shimmy.models.residency import Bytes

LLAMA: dict[str, Any] = {
    "llama.block_count": 4,
    "llama.embedding_length": 256,
    "llama.feed_forward_length": 1024,
    "llama.attention.head_count": 8,
    "llama.attention.head_count_kv": 2,
    "llama.context_length": 32768,
    "tokenizer.ggml.tokens": ["a"] * 100,
}
MIB = 1 << 20


def cost(path: Path, spec: LoadSpec | None = None, *, gpu: bool = False) -> ModelCost | None:
    return cost_of(Scanner().read(path), spec or LoadSpec(name="m", path=str(path)), gpu=gpu)


def told(path: Path, spec: LoadSpec | None = None, *, gpu: bool = False) -> ModelCost:
    found = cost(path, spec, gpu=gpu)
    assert found is not None
    return found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return write_model(tmp_path / "m.gguf", LLAMA, n_params=MIB)


def test_a_cell_holds_keys_and_values_of_every_layer(model: Path) -> None:
    found = told(model)
    assert found.cell == 4 * 2 * (32 + 32) * 2
    assert found.weights == model.stat().st_size
    assert (found.n_ctx, found.n_ctx_train, found.least_context) == (None, 32768, LEAST_CONTEXT)
    assert found.bytes(1024).ram - found.bytes(512).ram == 512 * (found.cell + found.compute_cell)
    assert found.bytes(1).ram > PROCESS_BYTES + found.weights + 256 * found.cell


@pytest.mark.parametrize(
    ("changes", "cell"),
    [
        ({"llama.attention.key_length": 64, "llama.attention.value_length": 16}, 4 * 2 * 80 * 2),
        ({"llama.attention.head_count_kv": None}, 4 * 8 * 64 * 2),
        ({"llama.attention.head_count_kv": [0, 1, 0, 3]}, 4 * 64 * 2),
        ({"llama.attention.causal": False}, 0),
    ],
)
def test_other_shapes(tmp_path: Path, changes: dict[str, Any], cell: int) -> None:
    assert told(write_model(tmp_path / "m.gguf", {**LLAMA, **changes})).cell == cell


def test_what_the_settings_say_counts(model: Path, tmp_path: Path) -> None:
    spec = LoadSpec(name="m", path=str(model), context={"n_ctx": 300, "type_k": "q8_0", "type_v": "q8_0"})
    found = told(model, spec)
    assert found.n_ctx == 300
    assert found.cell == 4 * 2 * (32 + 32) * 34 / 32
    adapter = write_adapter(tmp_path / "lora.gguf")
    draft = write_model(tmp_path / "draft.gguf", {**LLAMA, "llama.block_count": 1}, n_params=1000)
    more = told(model, msgspec.structs.replace(spec, adapters={"a": str(adapter)}, draft=str(draft)))
    assert more.weights == found.weights + adapter.stat().st_size + draft.stat().st_size
    assert more.cell == found.cell * 5 / 4


def test_gpus_take_their_share(model: Path) -> None:
    whole = told(model, gpu=True).bytes(4096)
    half = told(model, LoadSpec(name="m", path=str(model), model={"n_gpu_layers": 2}), gpu=True).bytes(4096)
    cpu = told(model).bytes(4096)
    assert cpu.vram == 0
    assert whole.ram < cpu.ram + GPU_PROCESS_BYTES
    assert whole.vram > half.vram > 0
    assert whole.ram < half.ram


def test_embeddings_stay_with_the_cpu(tmp_path: Path) -> None:
    """Tied ones lie on the GPU too, as the output."""
    path = write_model(tmp_path / "m.gguf", LLAMA, n_params=MIB, tensor_name="token_embd.weight")
    found = told(path, gpu=True)
    assert found.embeddings == 4 * MIB
    assert found.bytes(4096).ram == GPU_PROCESS_BYTES + 4 * MIB + found.outputs
    assert found.bytes(4096).vram > DRIVER_BYTES + found.weights


@pytest.mark.parametrize(
    ("features", "kinds"),
    [
        ("sse4_2", set()),
        ("avx2", {2, 12, 20}),
        ("avx2 avx512f", {2, 10, 12, 20}),
        ("avx2 avx512f avx512_vnni", {2, 10, 20}),
    ],
)
def test_weights_in_another_layout_depend_on_the_cpu(tmp_path: Path, features: str, kinds: set[int]) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: fpu {features}\n")
    assert repacked_types(cpuinfo) == kinds
    assert repacked_types(tmp_path / "none") == set()


def test_files_that_say_too_little(tmp_path: Path) -> None:
    assert cost(write_model(tmp_path / "bare.gguf")) is None
    model = write_model(tmp_path / "m.gguf", LLAMA)
    assert cost(model, LoadSpec(name="m", path=str(model), adapters={"a": str(tmp_path / "gone.gguf")})) is None
    assert cost(model, LoadSpec(name="m", path=str(model), draft=str(tmp_path / "gone.gguf"))) is None
    known = Scanner().read(model)
    model.unlink()
    assert cost_of(known, LoadSpec(name="m", path=str(model))) is None


costs = st.builds(
    ModelCost,
    weights=st.integers(0, 1 << 40),
    cell=st.integers(0, 1 << 20),
    compute=st.integers(0, 1 << 30),
    compute_cell=st.just(1024.0),
    n_ctx=st.none(),
    n_ctx_train=st.integers(1, 1 << 20),
    gpu_share=st.sampled_from([0.0, 0.5, 1.0]),
)


@given(costs, st.integers(0, 1 << 42), st.integers(0, 1 << 42))
def test_the_context_is_what_memory_holds(found: ModelCost, ram: int, vram: int) -> None:
    room = Bytes(ram, vram)
    n_ctx = found.context_within(room)
    if n_ctx is None:
        assert not found.bytes(found.least_context).fits(room)
        return
    assert min(LEAST_CONTEXT, found.n_ctx_train) <= n_ctx <= found.n_ctx_train
    assert found.bytes(n_ctx).fits(room)


def test_half_of_what_is_left_is_left(model: Path) -> None:
    found = told(model)
    fixed = found.bytes(0).ram
    enough = fixed + (2 * found.cell + found.compute_cell) * 32768
    assert found.context_within(Bytes(enough)) == 32768
    assert found.context_within(Bytes(enough - 1)) == 16384
    assert found.context_within(Bytes(found.bytes(4096).ram)) == 4096
    assert found.context_within(Bytes(found.bytes(4096).ram - 1)) is None
