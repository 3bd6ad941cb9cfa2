"""Backends and devices, and what serve makes of them."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from tiny_gguf import write_model
from typer.testing import Result

import shimmy.cli.hardware as hardware
from shimmy.cli.hardware import Device, Hardware, HardwareError, inspect_in_child, needs_check, with_backend
from shimmy.cli.serve import banner_text
from shimmy.model_info import DeviceUse, ModelInfo
from shimmy.models.registry import Registry
from shimmy.server.serve import Started
from shimmy.settings import Settings, SettingsError

Run = Callable[..., Result]


def device(name: str, backend: str, kind: str = "gpu") -> Device:
    return Device(name, f"{name} hardware", kind, backend, 1, 2)


CPU_ONLY = Hardware(["CPU"], [device("CPU", "CPU", "cpu")], {})
CUDA = Hardware(["CUDA", "CPU"], [device("CUDA0", "CUDA"), device("CUDA1", "CUDA"), *CPU_ONLY.devices], {})


class TestBackend:
    @pytest.mark.parametrize("backend", ["auto", "cpu"])
    def test_always_there(self, backend: Any) -> None:
        settings = Settings(gpu_backend=backend)
        assert not needs_check(settings)
        assert with_backend(settings, CPU_ONLY) == settings

    def test_its_devices_are_chosen(self) -> None:
        settings = Settings(gpu_backend="cuda")
        assert needs_check(settings)
        assert with_backend(settings, CUDA).devices == ("CUDA0", "CUDA1")
        assert with_backend(Settings(gpu_backend="cuda", devices=("CUDA1",)), CUDA).devices == ("CUDA1",)

    def test_metal_goes_by_two_names(self) -> None:
        metal = Hardware(["MTL", "CPU"], [device("MTL0", "MTL")], {})
        assert with_backend(Settings(gpu_backend="metal"), metal).devices == ("MTL0",)

    def test_not_built(self) -> None:
        with pytest.raises(SettingsError, match="SHIMMY_CUDA=ON"):
            with_backend(Settings(gpu_backend="cuda"), CPU_ONLY)

    def test_not_present(self) -> None:
        with pytest.raises(SettingsError, match="finds no device"):
            with_backend(Settings(gpu_backend="vulkan"), Hardware(["Vulkan", "CPU"], CPU_ONLY.devices, {}))

    def test_the_reason_is_told(self) -> None:
        build = {"backend_errors": ["failed to initialize CUDA: CUDA driver version is insufficient"]}
        with pytest.raises(
            SettingsError, match="finds no device on this machine: failed to initialize CUDA: CUDA driver"
        ):
            with_backend(Settings(gpu_backend="cuda"), Hardware(["CUDA", "CPU"], CPU_ONLY.devices, build))

    def test_unknown_device(self) -> None:
        with pytest.raises(
            SettingsError, match="no device called CUDA7; this build and machine offer CUDA0, CUDA1, CPU"
        ):
            with_backend(Settings(devices=("CUDA7",)), CUDA)

    def test_the_command_line_refuses(self, run: Run) -> None:
        result = run("generate", "shimmy-mini", "-p", "x", "--gpu-backend", "CUDA")
        assert result.exit_code == 1
        assert "gpu backend cuda is not in this build, which has CPU" in result.stderr


class TestInChild:
    def answer(self, monkeypatch: pytest.MonkeyPatch, code: int, out: bytes = b"", err: bytes = b"") -> None:
        monkeypatch.setattr(subprocess, "run", lambda *_, **__: subprocess.CompletedProcess([], code, out, err))

    def test_answer(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, 0, msgspec.json.encode(CUDA))
        assert inspect_in_child() == CUDA

    def test_failure(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer(monkeypatch, 2, err=b"error: the native extension cannot be imported\n")
        with pytest.raises(HardwareError, match=r"^the native extension cannot be imported$"):
            inspect_in_child()
        self.answer(monkeypatch, -11)
        with pytest.raises(HardwareError, match="ended with code -11"):
            inspect_in_child()

    def test_devices_of_rpc_servers_are_asked_for(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commands: list[list[str]] = []

        def run(command: list[str], **_: object) -> subprocess.CompletedProcess[bytes]:
            commands.append(command)
            return subprocess.CompletedProcess([], 0, msgspec.json.encode(CUDA), b"")

        monkeypatch.setattr(subprocess, "run", run)
        inspect_in_child(["a:1", "b:2"])
        assert commands[0][-2:] == ["--rpc", "a:1,b:2"]

    def test_a_missing_driver_is_named(self) -> None:
        error = ImportError("libcuda.so.1: cannot open shared object file: No such file or directory")
        assert "this build needs NVIDIA's driver" in hardware.without_extension(error).message
        assert "build it with pip" in hardware.without_extension(ImportError("no module")).message

    def test_hang(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def run(*_: object, **__: object) -> None:
            raise subprocess.TimeoutExpired("shimmy", 60)

        monkeypatch.setattr(subprocess, "run", run)
        with pytest.raises(HardwareError, match="more than 60 seconds"):
            inspect_in_child()


class TestServe:
    @pytest.fixture
    def served(self, run: Run, monkeypatch: pytest.MonkeyPatch) -> list[tuple[Settings, Registry, str | None]]:
        calls: list[tuple[Settings, Registry, str | None]] = []
        monkeypatch.setenv("SHIMMY_LOG_LEVEL", "")

        def serve(
            settings: Settings,
            registry: Registry,
            *,
            preload: str | None,
            banner: Callable[..., None],
            load: Callable[[], Settings],
        ) -> None:
            calls.append((settings, registry, preload))
            assert load() == settings
            banner(Started(url="http://127.0.0.1:1"))

        monkeypatch.setattr("shimmy.server.serve.serve", serve)
        return calls

    def test_the_demo_model(self, run: Run, served: list[Any]) -> None:
        result = run("serve", "--bind", "127.0.0.1:0")
        assert result.exit_code == 0
        assert "serves http://127.0.0.1:1 " in result.stdout
        settings, registry, preload = served[0]
        assert (settings.bind, settings.log_level, preload) == ("127.0.0.1:0", "info", "shimmy-mini")
        assert registry.names() == ["shimmy-mini"]

    def test_processes_that_run_models_log_at_the_same_level(self, run: Run, served: list[Any]) -> None:
        run("serve", "--log-level", "error")
        assert served[0][0].log_level == os.environ["SHIMMY_LOG_LEVEL"] == "error"

    def test_a_model_given_is_loaded_at_once(self, run: Run, served: list[Any], tmp_path: Path) -> None:
        given = write_model(tmp_path / "g" / "given.gguf")
        write_model(tmp_path / "models" / "another.gguf")
        run("serve", "--model-path", given)
        assert served[0][2] == "given"

    def test_of_many_none_is_loaded(self, run: Run, served: list[Any], tmp_path: Path) -> None:
        write_model(tmp_path / "models" / "one.gguf")
        write_model(tmp_path / "models" / "two.gguf")
        result = run("serve")
        assert served[0][2] is None
        assert "models  one, two (loaded when first asked for)" in result.stdout

    def test_a_missing_backend_stops_it(self, run: Run, served: list[Any], monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(hardware, "inspect_in_child", lambda rpc: CPU_ONLY)
        result = run("serve", "--gpu-backend", "cuda")
        assert (result.exit_code, served) == (1, [])


def test_the_banner_names_model_and_device() -> None:
    info = ModelInfo(
        name="m",
        path="m.gguf",
        architecture="llama",
        description="llama 1B Q8_0",
        n_params=1,
        size_bytes=1,
        n_ctx_train=1,
        n_ctx=4096,
        n_seq_max=1,
        n_vocab=1,
        devices=["CUDA0"],
        backend="CUDA",
        n_layer=16,
        n_gpu_layers=17,
        n_partial_layers=4,
        memory=[
            DeviceUse(
                name="CUDA0",
                description="A GPU",
                type="gpu",
                backend="CUDA",
                weights=3 << 30,
                kv_cache=1 << 30,
                memory_free=4 << 30,
                memory_total=8 << 30,
            ),
            DeviceUse(name="CPU", description="A CPU", compute=1 << 20),
        ],
    )
    text = banner_text(Started(url="http://h:1", model=info), ["m", "n"])
    assert text.splitlines()[1:] == [
        "  model   m: llama 1B Q8_0, context 4096 tokens",
        "  device  CUDA0 (CUDA), 17 of 17 layers on a GPU, 4 of them in part",
        "          CUDA0 (A GPU): weights 3.0 GiB, KV cache 1.0 GiB; 4.0 GiB of 8.0 GiB free",
        "          CPU (A CPU): compute 1.0 MiB",
        "  also    n (loaded when first asked for)",
    ]
    limited = msgspec.structs.replace(info, vram_limit=2 << 30)
    assert "VRAM" not in banner_text(Started(url="http://h:1", model=limited), ["m"])
    limited = msgspec.structs.replace(limited, n_gpu_layers=9)
    assert "9 of 17 layers on a GPU, 2.0 GiB were left of the VRAM budget, 4" in banner_text(
        Started(url="http://h:1", model=limited), ["m"]
    )
    assert "it broke" in banner_text(Started(url="http://h:1", load_error="it broke"), ["m"])
