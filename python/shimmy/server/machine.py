"""What the machine is, read from where its system tells it. Nothing here starts a process, or takes a millisecond."""

from __future__ import annotations

import platform
from collections.abc import Iterator
from pathlib import Path

import msgspec

from shimmy.machine_memory import machine_memory

_SYSTEMS = {"Darwin": "macos", "Linux": "linux", "Windows": "windows"}
_VENDORS = {"0x10de": "nvidia", "0x1002": "amd", "0x8086": "intel"}
"""Of PCI devices."""


class Memory(msgspec.Struct, frozen=True):
    """In MiB; None where the system does not tell."""

    total: int | None = None
    free: int | None = None
    available: int | None = None
    """What programs can still get: free, and taken by caches that make way."""


def os_name() -> str:
    """linux, macos, windows, or the system's own name for itself."""
    return _SYSTEMS.get(platform.system(), platform.system().lower())


def memory() -> Memory:
    """Of the machine, physical."""
    found = machine_memory()
    return Memory(*(None if n is None else n >> 20 for n in (found.total, found.free, found.available)))


def gpu_vendors(root: Path = Path("/")) -> list[str]:
    """Whose GPUs are in the machine, those with a driver for computing first: nvidia, amd, intel, apple."""
    if platform.system() == "Darwin" and platform.machine() == "arm64":
        return ["apple"]
    return list(dict.fromkeys(_vendors(root)))


def _vendors(root: Path) -> Iterator[str]:
    if (root / "proc/driver/nvidia/version").exists():
        yield "nvidia"
    if (root / "dev/kfd").exists():
        yield "amd"
    for file in sorted((root / "sys/class/drm").glob("card*/device/vendor")):
        try:
            vendor = _VENDORS.get(file.read_text().strip())
        except OSError:
            continue
        if vendor is not None:
            yield vendor
