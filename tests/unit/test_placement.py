"""Which devices a placement means, and what the runtime is told of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.errors import ModelLoadError
from shimmy.model_info import LoadSpec
from shimmy.placement import GPU_BACKENDS, Placement, choose_devices, margin_within
from shimmy.settings import Settings


class Found(NamedTuple):
    name: str
    backend: str


CPU = Found("CPU", "CPU")
MIXED = [Found("CUDA0", "CUDA"), Found("CUDA1", "CUDA"), Found("Vulkan0", "Vulkan"), CPU]
NAMES = ["CUDA", "Vulkan", "OpenCL", "CPU"]


class TestChoice:
    @pytest.mark.parametrize("backend", [None, "auto", "cpu"])
    def test_nothing_is_forced_on_who_asks_for_nothing(self, backend: str | None) -> None:
        assert choose_devices(backend, [], MIXED, NAMES) == []
        assert choose_devices(backend, ["Vulkan0"], MIXED, NAMES) == ["Vulkan0"]

    def test_a_backend_is_its_devices(self) -> None:
        assert choose_devices("cuda", [], MIXED, NAMES) == ["CUDA0", "CUDA1"]
        assert choose_devices("cuda", ["CUDA1"], MIXED, NAMES) == ["CUDA1"]
        assert choose_devices("vulkan", [], MIXED, NAMES) == ["Vulkan0"]

    @pytest.mark.parametrize(
        ("backend", "own"), [("hip", "ROCm"), ("metal", "MTL"), ("rpc", "RPC"), ("opencl", "OpenCL")]
    )
    def test_names_of_llama_cpp(self, backend: str, own: str) -> None:
        assert backend in GPU_BACKENDS
        assert choose_devices(backend, [], [Found("X0", own), CPU], [own, "CPU"]) == ["X0"]

    @pytest.mark.parametrize(
        ("backend", "asked", "words"),
        [
            ("metal", [], r"metal is not in this build, which has CUDA, Vulkan, OpenCL, CPU; .*SHIMMY_METAL=ON"),
            ("opencl", [], "opencl finds no device on this machine: no ICD; use"),
            ("auto", ["CUDA7"], "no device called CUDA7; this build and machine offer CUDA0, CUDA1, Vulkan0, CPU"),
            ("cuda", ["Vulkan0"], "Vulkan0 is no device of gpu backend cuda, which offers CUDA0, CUDA1"),
        ],
    )
    def test_what_is_not_there_is_an_error_with_the_reason(self, backend: str, asked: list[str], words: str) -> None:
        with pytest.raises(ModelLoadError, match=words):
            choose_devices(backend, asked, MIXED, NAMES, ["no ICD"])

    def test_rpc_without_servers(self) -> None:
        with pytest.raises(ModelLoadError, match="--rpc HOST:PORT"):
            choose_devices("rpc", [], [CPU], ["RPC", "CPU"])


class TestOptions:
    def test_what_was_not_set_is_not_passed_on(self) -> None:
        assert Placement().model_options() == {}
        assert Placement().context_options() == {}
        assert Settings().model_options() == {}

    @pytest.mark.parametrize(
        ("options", "told"),
        [
            ({"gpu_layers": "auto"}, {"n_gpu_layers": -1}),
            ({"gpu_layers": "all"}, {"n_gpu_layers": -2}),
            ({"gpu_layers": 0}, {"n_gpu_layers": 0}),
            ({"cpu_moe": True}, {"n_cpu_moe": -1}),
            ({"cpu_moe": True, "n_cpu_moe": 3}, {"n_cpu_moe": -1}),
            ({"cpu_moe": False, "n_cpu_moe": 3}, {"n_cpu_moe": 3}),
            ({"rpc": ("h:1",)}, {"rpc_servers": ["h:1"]}),
            ({"gpu_backend": "cpu", "rpc": ("h:1",)}, {"devices": ["CPU"], "n_gpu_layers": 0}),
        ],
    )
    def test_words_of_the_runtime(self, options: dict[str, Any], told: dict[str, Any]) -> None:
        assert Placement(**options).model_options() == told

    def test_onto_a_spec(self) -> None:
        spec = LoadSpec(name="m", path="m.gguf", context={"n_ctx": 64})
        placed = Placement(gpu_backend="cuda", kv_offload=False, cache_type_k="q8_0").onto(spec)
        assert placed.gpu_backend == "cuda"
        assert placed.context == {"n_ctx": 64, "offload_kqv": False, "type_k": "q8_0"}
        assert spec.context == {"n_ctx": 64}


class TestOver:
    def over(self, below: Settings, **options: Any) -> Settings:
        return msgspec.structs.replace(below, **Placement(**options).over(below))

    def test_what_a_model_says_comes_first(self) -> None:
        settings = self.over(Settings(gpu_layers=5, flash_attn="on"), gpu_layers="all")
        assert (settings.gpu_layers, settings.flash_attn) == ("all", "on")

    def test_another_backend_does_not_keep_the_devices(self) -> None:
        below = Settings(gpu_backend="cuda", devices=("CUDA0",))
        assert self.over(below, gpu_backend="vulkan").devices == ()
        assert self.over(below, gpu_backend="vulkan", devices=("Vulkan0",)).devices == ("Vulkan0",)
        assert self.over(below, gpu_layers=3).devices == ("CUDA0",)

    def test_a_number_of_experts_is_not_all_of_them(self) -> None:
        assert self.over(Settings(cpu_moe=True), n_cpu_moe=4).model_options() == {"n_cpu_moe": 4}


@given(st.lists(st.integers(0, 1 << 40), max_size=4), st.integers(0, 1 << 42))
def test_no_more_than_the_limit_is_left_and_little_less(free: list[int], limit: int) -> None:
    margin = margin_within(limit, free)
    left = sum(max(0, one - margin) for one in free)
    assert left <= limit
    assert margin == 0 or left > limit - len(free)
