"""Budgets, GPUs that show up, and what is learned from measuring."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import msgspec
from fake_registry import FakeEntry
from scripted_engine import info_of
from tiny_gguf import write_model

from shimmy.model_info import LoadSpec
from shimmy.models.host_memory import HostMemory, ProcessMemory
from shimmy.models.memory import Memory, Placement, place
from shimmy.models.model_cost import PROCESS_BYTES, ModelCost
from shimmy.models.residency import Budget, Bytes, Refusal

GIB = 1 << 30
MIB = 1 << 20


def entry(folder: Path) -> FakeEntry:
    shape = {
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.context_length": 4096,
    }
    return FakeEntry("m", str(write_model(folder / "m.gguf", shape)), size_bytes=100 * MIB)


def cost(memory: Memory, one: FakeEntry, **model: object) -> ModelCost | None:
    spec = LoadSpec(name="m", path=one.path, model=dict(model))
    return asyncio.run(memory.cost(one, spec))  # type: ignore[arg-type]


def held(memory: Memory, **info: int) -> tuple[Bytes, float] | None:
    return asyncio.run(memory.held(1, msgspec.structs.replace(info_of("m"), **info)))


def test_a_given_budget_is_the_budget() -> None:
    memory = Memory(5 * GIB, 2 * GIB, host=lambda: HostMemory(1, 1))
    assert memory.budget(0) == Budget(Bytes(5 * GIB, 2 * GIB), Bytes(5 * GIB, 2 * GIB))


def test_the_machine_less_a_reserve() -> None:
    def budget(total: int | None, available: int | None, own: float = 0) -> Budget:
        return Memory(host=lambda: HostMemory(total, available)).budget(own)

    assert budget(100 * GIB, None) == Budget(Bytes(90 * GIB, math.inf), Bytes(90 * GIB, math.inf))
    assert budget(4 * GIB, None).most.ram == 3 * GIB
    assert budget(100 * GIB, 20 * GIB).now.ram == 19.5 * GIB
    assert budget(100 * GIB, 20 * GIB, own=10 * GIB).now.ram == 29.5 * GIB
    assert budget(100 * GIB, 99 * GIB).now.ram == 90 * GIB
    assert budget(None, None).now.ram == math.inf


def test_a_gpu_shows_with_the_first_load(tmp_path: Path) -> None:
    one = entry(tmp_path)
    memory = Memory(gpus=True, host=HostMemory, measure=lambda _: ProcessMemory(own=50 * MIB, files=0))
    assert cost(memory, one) is None
    on_cpu = cost(memory, one, n_gpu_layers=0)
    assert on_cpu is not None
    assert on_cpu.gpu_share == 0
    assert cost(memory, one, devices=["CPU"]) is not None
    assert held(memory, n_gpu_layers=3, vram_total=10 * GIB, vram_bytes=GIB) == (Bytes(50 * MIB, GIB), 50 * MIB)
    found = cost(memory, one)
    assert found is not None
    assert found.gpu_share == 1
    assert memory.budget(0).most.vram == 9.5 * GIB
    part = cost(memory, one, n_gpu_layers=1)
    assert part is not None
    assert part.gpu_share == 1 / 3


def test_a_build_that_uses_no_gpu_shows_with_the_first_load(tmp_path: Path) -> None:
    memory = Memory(gpus=True, host=HostMemory, measure=lambda _: None)
    assert held(memory) is None
    found = cost(memory, entry(tmp_path))
    assert found is not None
    assert found.gpu_share == 0


def test_what_a_process_takes_is_learned(tmp_path: Path) -> None:
    one, memory = entry(tmp_path), Memory()
    first = cost(memory, one)
    assert first is not None
    need = first.bytes(4096)
    memory.learn("m", need, need + Bytes(7 * MIB))
    second = cost(memory, one)
    assert second is not None
    assert second.bytes(4096) == need + Bytes(7 * MIB)
    memory.learn("m", need, need + Bytes(GIB))
    bounded = cost(memory, one)
    assert bounded is not None
    assert bounded.process == 2 * PROCESS_BYTES


def test_a_model_larger_than_the_gpu_is_split_where_that_is_allowed() -> None:
    large = ModelCost(
        weights=40 * GIB, cell=1e5, compute=GIB, compute_cell=0, n_ctx=4096, n_ctx_train=4096, gpu_share=1.0
    )
    budget = Budget(Bytes(64 * GIB, 24 * GIB), Bytes(64 * GIB, 24 * GIB))
    spec = LoadSpec(name="m", path="m.gguf")
    placement = place(large, spec, [], budget)
    assert isinstance(placement, Placement)
    assert placement.need.vram == 23 * GIB
    assert placement.need.ram > 17 * GIB
    everything = msgspec.structs.replace(spec, model={"n_gpu_layers": -2})
    assert isinstance(place(large, everything, [], budget), Refusal)
