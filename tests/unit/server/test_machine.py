"""What is read of the machine."""

from __future__ import annotations

import platform
from pathlib import Path

import pytest

from shimmy.machine_memory import MachineMemory
from shimmy.server import machine
from shimmy.server.machine import Memory, gpu_vendors, memory, os_name


def test_memory_is_told_in_mib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "machine_memory", lambda: MachineMemory(16 << 30, None, (8 << 30) + 1))
    assert memory() == Memory(16 << 10, None, 8 << 10)


@pytest.fixture
def linux(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Linux")


def put(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


@pytest.mark.usefixtures("linux")
def test_gpus(tmp_path: Path) -> None:
    assert gpu_vendors(tmp_path) == []
    put(tmp_path / "sys/class/drm/card0/device/vendor", "0x8086\n")
    put(tmp_path / "sys/class/drm/card1/device/vendor", "0x1a03\n")
    (tmp_path / "sys/class/drm/card2/device/vendor").mkdir(parents=True)
    assert gpu_vendors(tmp_path) == ["intel"]
    put(tmp_path / "proc/driver/nvidia/version")
    put(tmp_path / "sys/class/drm/card3/device/vendor", "0x10de\n")
    assert gpu_vendors(tmp_path) == ["nvidia", "intel"]


def test_apple(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(platform, "system", lambda: "Darwin")
    monkeypatch.setattr(platform, "machine", lambda: "arm64")
    assert (gpu_vendors(tmp_path), os_name()) == (["apple"], "macos")
