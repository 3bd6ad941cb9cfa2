"""How much of a model goes onto GPUs that a machine may not have: devices and their measuring are scripted."""

from __future__ import annotations

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from shimmy import LLM, LoadSpec, _core, demo_model_path, device_choice
from shimmy.errors import ModelLoadError
from shimmy.model_info import DeviceUse
from shimmy.tuning.apply import place
from shimmy.tuning.setup import Setup

MIB = 1 << 20
GIB = 1 << 30
LAYERS = 32
LAYER_MIB = 256


class Machine:
    """GPUs with so many MiB free, and a model whose layers take LAYER_MIB each, half of it on each of two. A token of a
    micro-batch beyond 512 takes 1 MiB of each.
    """

    def __init__(self, *free: int) -> None:
        self.free = free
        self.asked: list[_core.ModelParams] = []
        self.whole_context = 0  # MiB of room that it needs

    def devices(self, servers: list[str]) -> list[SimpleNamespace]:
        gpus = [
            SimpleNamespace(
                name=f"CUDA{i}", backend="CUDA", type="gpu", memory_free=free * MIB, memory_total=free * MIB
            )
            for i, free in enumerate(self.free)
        ]
        return [*gpus, SimpleNamespace(name="CPU", backend="CPU", type="cpu", memory_free=64 * GIB)]

    def fit_engine(self, path: str, model: _core.ModelParams, context: Any, engine: Any) -> SimpleNamespace:
        self.asked.append(model)
        used = {f"CUDA{i}": free for i, free in enumerate(self.free)}
        used = {name: free for name, free in used.items() if name in (model.devices or used)}
        kept = model.gpu_margin_mib + max(0, context.n_ubatch - 512)
        room = [max(0, free - kept) for free in used.values()]
        layers = min(LAYERS + 1, min(room) * len(room) // LAYER_MIB)
        filled = list(used)[model.main_gpu :][:1] if model.split_mode == "none" else list(used)
        memory = [
            SimpleNamespace(
                name=name,
                type="gpu",
                description="",
                backend="CUDA",
                weights=layers * LAYER_MIB * MIB // len(used) if name in filled else 0,
                kv_cache=0,
                compute=0,
                memory_free=free * MIB,
                memory_total=free * MIB,
            )
            for name, free in used.items()
        ]
        n_ctx = 4096 if min(room) >= self.whole_context else 2048
        return SimpleNamespace(
            n_gpu_layers=layers, n_layer=LAYERS, n_cpu_moe=0, n_ctx=n_ctx, fits=layers > 0, memory=memory
        )


def machine(monkeypatch: pytest.MonkeyPatch, *free: int) -> Machine:
    scripted = Machine(*free)
    monkeypatch.setattr(_core, "devices", scripted.devices)
    monkeypatch.setattr(_core, "fit_engine", scripted.fit_engine)
    monkeypatch.setattr(
        _core, "build_info", lambda: {"backends": ["CUDA", "CPU"], "backend_errors": [], "llama_cpp_commit": ""}
    )
    return scripted


def layers(limit: int | None, **fields: Any) -> int:
    spec = LoadSpec(name="m", path="m.gguf", vram_limit=limit, **fields)
    return int(device_choice.choose(spec).model["n_gpu_layers"])


def test_fewer_layers_where_the_budget_is_less_than_what_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    machine(monkeypatch, 24 * 1024)
    assert layers(None) == LAYERS + 1
    assert layers(40 * GIB) == LAYERS + 1
    assert not caplog.records
    assert layers(4 * GIB) == 16
    assert "16 of 33 layers of m fit on CUDA0" in caplog.text
    assert "4096 MiB left of the VRAM budget" in caplog.text


def test_a_budget_is_for_all_gpus_together(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 24 * 1024, 24 * 1024)
    assert layers(4 * GIB) == 16
    assert layers(4 * GIB, model={"split_mode": "none", "main_gpu": 1}) == 32  # of the script's two, each to 4 GiB


def test_the_margin_is_kept_too(monkeypatch: pytest.MonkeyPatch) -> None:
    machine(monkeypatch, 5 * 1024)
    assert layers(8 * GIB) == 16
    assert layers(2 * GIB) == 8


def test_adapters_are_left_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    adapter = tmp_path / "a.gguf"
    adapter.write_bytes(b"\0" * (256 * MIB - 1))
    scripted = machine(monkeypatch, 24 * 1024)
    assert layers(4 * GIB, adapters={"a": str(adapter), "gone": str(tmp_path / "gone.gguf")}) == 15
    assert scripted.asked[0].gpu_margin_mib == 20 * 1024 + 256


def test_nothing_left(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    machine(monkeypatch, 24 * 1024)
    chosen = device_choice.choose(LoadSpec(name="m", path="m.gguf", vram_limit=0))
    assert chosen.model == {"devices": ["CPU"], "n_gpu_layers": 0}
    assert "0 MiB left of the VRAM budget: it runs on the CPU" in caplog.text
    with pytest.raises(ModelLoadError, match=r"not one layer of m fits on CUDA0 .*, 0 MiB left of the VRAM budget;"):
        device_choice.choose(LoadSpec(name="m", path="m.gguf", vram_limit=0, model={"devices": ["CUDA0"]}))


def test_a_gpu_without_room_for_its_driver_is_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It tells neither what it has nor what is free."""
    machine(monkeypatch, 0)
    chosen = device_choice.choose(LoadSpec(name="m", path="m.gguf"))
    assert chosen.model == {"devices": ["CPU"], "n_gpu_layers": 0}
    assert "m is not put on CUDA0: less memory is free than the driver takes" in caplog.text
    with pytest.raises(ModelLoadError, match="m cannot be loaded on CUDA0: less memory is free than the driver takes"):
        device_choice.choose(LoadSpec(name="m", path="m.gguf", gpu_backend="cuda"))
    machine(monkeypatch, 0, 24 * 1024)
    chosen = device_choice.choose(LoadSpec(name="m", path="m.gguf"))
    assert chosen.model["devices"] == ["CUDA1"]
    assert chosen.model["n_gpu_layers"] > 0


def test_layers_that_were_asked_for_are_refused_beyond_the_budget() -> None:
    gpu = DeviceUse(name="CUDA0", type="gpu", weights=3 * GIB, kv_cache=GIB)
    host = DeviceUse(name="CPU", weights=40 * GIB)
    device_choice.check_limit(LoadSpec(name="m", path="m.gguf"), [gpu, host])
    device_choice.check_limit(LoadSpec(name="m", path="m.gguf", vram_limit=4 * GIB), [gpu, host])
    words = r"m takes 4\.0 GiB of GPU memory \(CUDA0 4\.0 GiB\), and 3\.5 GiB are left of the budget; .*--vram-budget"
    with pytest.raises(ModelLoadError, match=words):
        device_choice.check_limit(LoadSpec(name="m", path="m.gguf", vram_limit=7 * GIB // 2), [gpu, host])


def test_memory_that_others_gave_back_meanwhile_does_not_count(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted = machine(monkeypatch, 12000)
    asked = scripted.fit_engine

    def later(*given: Any) -> SimpleNamespace:
        scripted.free = (16000,)
        return asked(*given)

    monkeypatch.setattr(_core, "fit_engine", later)
    limit = 10 * LAYER_MIB * MIB
    chosen = device_choice.choose(LoadSpec(name="m", path="m.gguf", vram_limit=limit))
    assert chosen.model["n_gpu_layers"] == 10
    assert len(scripted.asked) == 2


def test_larger_micro_batches_cost_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned, left = Setup(n_ubatch=2048, flash_attn="on"), Setup(flash_attn="on")

    def placed(free_mib: int, whole_context_mib: int = 0, **fields: Any) -> tuple[Setup, dict[str, Any]]:
        scripted = machine(monkeypatch, free_mib)
        scripted.whole_context = whole_context_mib
        setup, chosen = place(LoadSpec(name="m", path="m.gguf", **fields), tuned)
        scripted.whole_context = 0
        assert chosen.model["n_gpu_layers"] == layers(fields.get("vram_limit"), model=fields.get("model", {}))
        assert ("n_ubatch" in chosen.context) == (setup == tuned)
        return setup, chosen.context

    margin = _core.ModelParams().gpu_margin_mib
    whole = (LAYERS + 1) * LAYER_MIB + margin
    assert placed(whole + 1536) == (tuned, {"flash_attn": "on", "n_ubatch": 2048, "n_ctx": 4096})
    assert placed(whole + 1535) == (left, {"flash_attn": "on", "n_ctx": 4096})
    assert placed(whole - 1)[0] == left
    assert placed(40 * 1024, vram_limit=(whole - margin + 1536) * MIB)[0] == tuned
    assert placed(40 * 1024, vram_limit=(whole - margin + 1535) * MIB)[0] == left
    assert placed(whole + 9000, whole_context_mib=whole - margin + 9000 - 1536)[0] == tuned
    assert placed(whole + 9000, whole_context_mib=whole - margin + 9000 - 1535) == (
        left,
        {"flash_attn": "on", "n_ctx": 4096},
    )
    assert placed(40 * 1024, model={"n_gpu_layers": 20}) == (left, {"flash_attn": "on"})
    assert placed(40 * 1024, context={"n_batch": 1024})[0] == left

    smaller = Setup(n_ubatch=256)
    assert place(LoadSpec(name="m", path="m.gguf"), smaller)[0] == smaller


def test_a_load_asks_for_the_check(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    # Not on a GPU, whose free memory other tests change meanwhile.
    spec = LoadSpec(name="m", path=str(demo_model_path()), vram_limit=1, gpu_backend="cpu", context={"n_ctx": 256})
    on_cpu = device_choice.uses_of
    with LLM(spec) as llm:
        assert llm.info.vram_limit == 1
    monkeypatch.setattr(
        "shimmy.loaded_model.uses_of",
        lambda memory: [DeviceUse(name="CUDA0", type="gpu", weights=MIB), *on_cpu(memory)],
    )
    with pytest.raises(ModelLoadError, match=r"1\.0 MiB of GPU memory"):
        LLM(spec)
