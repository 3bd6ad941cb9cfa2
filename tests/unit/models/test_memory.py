"""Budgets, GPUs that show up, and what is learned from measuring."""

from __future__ import annotations

import asyncio
import dataclasses
import math
from pathlib import Path

import msgspec
import pytest
from fake_registry import FakeEntry
from hypothesis import given
from hypothesis import strategies as st
from scripted_engine import info_of
from tiny_gguf import write_model

from shimmy.model_info import DeviceUse, LoadSpec, ModelInfo
from shimmy.models.host_memory import HostMemory, ProcessMemory
from shimmy.models.memory import Estimate, Memory, Placement, place
from shimmy.models.model_cost import DRIVER_BYTES, GPU_PROCESS_BYTES, PROCESS_BYTES, ModelCost
from shimmy.models.residency import Budget, Bytes, Refusal, Resident

GIB = 1 << 30
MIB = 1 << 20


def entry(folder: Path, name: str = "m") -> FakeEntry:
    shape = {
        "llama.block_count": 2,
        "llama.embedding_length": 64,
        "llama.attention.head_count": 4,
        "llama.context_length": 4096,
    }
    return FakeEntry(name, str(write_model(folder / "m.gguf", shape)), size_bytes=100 * MIB)


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
    assert held(memory, n_gpu_layers=3, vram_total=10 * GIB, vram_bytes=GIB) == (
        Bytes(50 * MIB, GIB + DRIVER_BYTES),
        50 * MIB,
    )
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


def estimate(memory: Memory, one: FakeEntry, **model: object) -> Estimate:
    asked = LoadSpec(name="m", path=one.path, model=dict(model))
    found = asyncio.run(memory.cost(one, asked))  # type: ignore[arg-type]
    assert found is not None
    return Estimate(need=found.bytes(4096), mtime=one.created, asked=asked, cost=found)


def test_what_a_process_takes_is_learned(tmp_path: Path) -> None:
    one, other, memory = entry(tmp_path), entry(tmp_path, "other"), Memory()
    first = estimate(memory, one)
    memory.learn("m", first, first.need + Bytes(7 * MIB))
    assert estimate(memory, other).need == first.need + Bytes(7 * MIB)
    memory.learn("other", estimate(memory, other), first.need + Bytes(GIB))
    assert estimate(memory, entry(tmp_path, "third")).cost.process == 2 * PROCESS_BYTES


def test_what_the_same_load_took_before_is_what_it_will_take(tmp_path: Path) -> None:
    one, memory = entry(tmp_path), Memory()
    first = estimate(memory, one)
    memory.learn("m", first, first.need + Bytes(GIB))
    second = estimate(memory, one)
    assert second.need == first.need + Bytes(GIB)
    memory.learn("m", second, second.need + Bytes(MIB))
    assert estimate(memory, one).need == first.need + Bytes(GIB + MIB)
    assert estimate(memory, entry(tmp_path, "other")).cost.process == 2 * PROCESS_BYTES  # as of the first load only
    assert estimate(memory, one, use_mmap=False).cost.process == 2 * PROCESS_BYTES
    assert estimate(memory, dataclasses.replace(one, created=1)).cost.process == 2 * PROCESS_BYTES


def test_what_it_has_not_touched_yet_counts(tmp_path: Path) -> None:
    one, memory = entry(tmp_path), Memory()
    first = estimate(memory, one)
    memory.learn("m", first, Bytes(MIB))
    assert estimate(memory, one).need.ram == pytest.approx(0.9 * first.need.ram)


def gpu(name: str, *, used: int, free: int, backend: str = "CUDA") -> DeviceUse:
    return DeviceUse(name=name, type="gpu", backend=backend, weights=used, memory_free=free, memory_total=24 * GIB)


def info(*uses: DeviceUse) -> ModelInfo:
    taken = sum(use.used for use in uses)
    return msgspec.structs.replace(info_of("m"), n_gpu_layers=3, vram_total=24 * GIB, vram_bytes=taken, memory=[*uses])


class TestDrivers:
    """What they take of GPUs for each process is in no number of llama.cpp's."""

    memory: Memory

    @pytest.fixture(autouse=True)
    def one_gpu(self) -> None:
        self.memory = Memory(gpus=True, host=HostMemory, measure=lambda _: ProcessMemory(own=2 * GIB, files=0))

    def held(self, *uses: DeviceUse) -> float:
        found = asyncio.run(self.memory.held(1, info(*uses)))
        assert found is not None
        return found[0].vram

    def test_they_count(self, tmp_path: Path) -> None:
        assert self.held(gpu("CUDA0", used=GIB, free=20 * GIB)) == GIB + DRIVER_BYTES
        assert self.held(gpu("CUDA0", used=GIB, free=0), gpu("CUDA1", used=0, free=0)) == GIB + 2 * DRIVER_BYTES
        found = estimate(self.memory, entry(tmp_path))
        assert found.cost.driver == DRIVER_BYTES
        assert found.need.vram > 100 * MIB + DRIVER_BYTES
        assert found.need.ram >= GPU_PROCESS_BYTES

    def test_they_take_no_more_than_what_is_missing(self) -> None:
        """Two processes, one GPU; other programs would make it more only."""
        first, second = gpu("CUDA0", used=GIB, free=22 * GIB), gpu("CUDA0", used=2 * GIB, free=20 * GIB + 200 * MIB)
        self.memory.learn_drivers([info(first)])
        assert self.held(first) == GIB + DRIVER_BYTES
        self.memory.learn_drivers([info(first), info(second)])
        assert self.held(first) == GIB + 412 * MIB
        self.memory.learn_drivers([info(gpu("CUDA0", used=GIB, free=2 * GIB))])
        assert self.held(first) == GIB + 412 * MIB

    def test_others_machines_have_their_own(self) -> None:
        remote = gpu("RPC0", used=GIB, free=GIB, backend="RPC")
        self.memory.learn_drivers([info(remote)])
        assert self.held(remote, gpu("CUDA0", used=GIB, free=GIB)) == GIB + DRIVER_BYTES
        given = Memory(None, 8 * GIB, gpus=True, host=HostMemory, measure=lambda _: ProcessMemory(own=1, files=0))
        found = asyncio.run(given.held(1, info(remote)))
        assert found is not None
        assert found[0].vram == GIB + DRIVER_BYTES
        spec = LoadSpec(name="m", path="m.gguf", model={"rpc_servers": ["host:1"]})
        assert self.memory.limited(spec, Bytes()).vram_limit is None
        assert given.limited(spec, Bytes()).vram_limit is not None

    def test_the_next_load_is_told_by_the_last(self, tmp_path: Path) -> None:
        self.held(gpu("CUDA0", used=GIB, free=20 * GIB))
        one = entry(tmp_path)
        first = estimate(self.memory, one)
        self.memory.learn("m", first, first.need + Bytes(3 * GIB, GIB))
        second = estimate(self.memory, one)
        assert second.need == first.need + Bytes(3 * GIB, GIB)
        placement = place(second.cost, second.asked, [], Budget(Bytes(64 * GIB, 8 * GIB), Bytes(64 * GIB, 8 * GIB)))
        assert isinstance(placement, Placement)
        assert placement.spec.vram_limit == 8 * GIB - DRIVER_BYTES  # an error of the estimate takes nothing of it
        other = estimate(self.memory, entry(tmp_path, "other"))
        assert other.cost.process == 2 * GIB
        assert other.need.vram == first.need.vram

    @pytest.mark.parametrize(
        ("layers", "partial", "process"),
        [(3, 0, 250 * MIB), (2, 0, GPU_PROCESS_BYTES), (3, 1, GPU_PROCESS_BYTES), (0, 0, GPU_PROCESS_BYTES)],
    )
    def test_the_first_load_tells_of_processes_where_a_model_is_on_gpus_whole(
        self, layers: int, partial: int, process: float, tmp_path: Path
    ) -> None:
        one, spec = entry(tmp_path), LoadSpec(name="m", path="m.gguf")
        first = msgspec.structs.replace(
            info(gpu("CUDA0", used=GIB, free=20 * GIB)), n_layer=2, n_gpu_layers=layers, n_partial_layers=partial
        )
        assert asyncio.run(self.memory.cost(one, spec)) is None  # type: ignore[arg-type]
        asyncio.run(self.memory.held(1, first))
        told = estimate(self.memory, one).cost
        taken = Bytes(250 * MIB + told.embeddings + told.outputs, GIB)
        asyncio.run(self.memory.learn_first(one, spec, first, taken))  # type: ignore[arg-type]
        assert estimate(self.memory, one).cost.process == pytest.approx(process)


def test_a_model_larger_than_the_gpu_is_split_where_that_is_allowed() -> None:
    large = ModelCost(
        weights=40 * GIB, cell=1e5, compute=GIB, compute_cell=0, n_ctx=4096, n_ctx_train=4096, gpu_share=1.0
    )
    budget = Budget(Bytes(64 * GIB, 24 * GIB), Bytes(64 * GIB, 24 * GIB))
    spec = LoadSpec(name="m", path="m.gguf")
    placement = place(large, spec, [], budget)
    assert isinstance(placement, Placement)
    assert placement.spilled
    assert placement.need.vram == placement.spec.vram_limit == 24 * GIB
    assert placement.need.ram > 16 * GIB
    everything = msgspec.structs.replace(spec, model={"n_gpu_layers": -2})
    refused = place(large, everything, [], budget)
    assert isinstance(refused, Refusal)
    assert refused.lacks_gpu_memory
    assert refused.describe() == "it needs 41.4 GiB of GPU memory and the budget is 24.0 GiB"


def test_engines_are_held_to_what_others_leave_of_the_budget() -> None:
    """Also those that were thought to fit, and after those that make way have gone."""
    small = ModelCost(
        weights=4 * GIB, cell=0, compute=GIB, compute_cell=0, n_ctx=4096, n_ctx_train=4096, gpu_share=1.0, driver=GIB
    )
    budget = Budget(Bytes(64 * GIB, 12 * GIB), Bytes(64 * GIB, 12 * GIB))
    spec = LoadSpec(name="m", path="m.gguf", model={"n_gpu_layers": -2})
    busy = Resident(name="busy", holds=Bytes(GIB, 5 * GIB), last_used=1, busy="in use")
    idle = Resident(name="idle", holds=Bytes(GIB, 2 * GIB), last_used=2)

    def limit(*residents: Resident) -> tuple[tuple[str, ...], int | None]:
        placement = place(small, spec, list(residents), budget)
        assert isinstance(placement, Placement)
        assert not placement.spilled
        return placement.evict, placement.spec.vram_limit

    assert limit() == ((), 11 * GIB)
    assert limit(busy) == ((), 6 * GIB)
    assert limit(busy, idle) == (("idle",), 6 * GIB)
    unlimited = place(small, spec, [], Budget())
    assert isinstance(unlimited, Placement)
    assert unlimited.spec.vram_limit is None


gib = st.integers(0, 64 * GIB)
residents_of = st.lists(
    st.builds(
        Resident,
        name=st.text("abcdefgh", min_size=1, max_size=8),
        holds=st.builds(Bytes, gib, gib),
        last_used=st.floats(0, 9),
        busy=st.sampled_from(["", "in use"]),
        pinned=st.booleans(),
    ),
    max_size=4,
    unique_by=lambda one: one.name,
)


@given(gib, gib, st.sampled_from([-2, -1, 5]), st.sampled_from([0.5, 1.0]), residents_of, gib)
def test_no_load_may_take_more_than_the_budget(
    weights: int, driver: int, layers: int, share: float, residents: list[Resident], vram: int
) -> None:
    """With whatever stays; and it reserves no more than that."""
    cost = ModelCost(
        weights=weights,
        cell=1e5,
        compute=1e8,
        compute_cell=0,
        n_ctx=4096,
        n_ctx_train=4096,
        gpu_share=share,
        driver=driver,
    )
    budget = Budget(Bytes(math.inf, vram), Bytes(math.inf, vram))
    spec = LoadSpec(name="m", path="m.gguf", model={"n_gpu_layers": layers})
    found = place(cost, spec, residents, budget)
    if isinstance(found, Refusal):
        return
    stay = sum(one.holds.vram for one in residents if one.name not in found.evict)
    assert found.spec.vram_limit is not None
    assert found.need.vram + stay <= vram
    assert found.spec.vram_limit == 0 or found.spec.vram_limit + driver + stay <= vram
    assert all(one.movable for one in residents if one.name in found.evict)


def test_a_budget_holds_models_whose_cost_cannot_be_told() -> None:
    spec = LoadSpec(name="m", path="m.gguf")
    memory = Memory(None, 8 * GIB, gpus=True, host=HostMemory)
    assert memory.limited(spec, Bytes(0, 3 * GIB)).vram_limit == 5 * GIB - DRIVER_BYTES
    assert memory.limited(spec, Bytes(0, 8 * GIB)).vram_limit == 0
    assert Memory(gpus=True, host=HostMemory).limited(spec, Bytes()) == spec
