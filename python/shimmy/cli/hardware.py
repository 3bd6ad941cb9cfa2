"""What this build and this machine can run models on."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import msgspec

from shimmy.errors import ModelLoadError, ShimmyError
from shimmy.placement import choose_devices
from shimmy.settings import Settings, SettingsError

_CHILD_SECONDS = 60
_DRIVERS = {
    "libcuda.": "NVIDIA's driver",
    "libamdhip64": "AMD's ROCm runtime",
    "libvulkan": "the Vulkan loader (libvulkan1)",
    "libOpenCL": "an OpenCL loader (ocl-icd-libopencl1)",
}
"""What to install for a library that the extension is linked to."""


class HardwareError(ShimmyError):
    """The native extension cannot be used, so nothing can run and nothing is known about the hardware."""


def without_extension(error: ImportError) -> HardwareError:
    """What to tell when the native extension cannot be imported."""
    missing = [driver for library, driver in _DRIVERS.items() if library in str(error)]
    cure = f"this build needs {missing[0]}" if missing else "build it with pip install ."
    return HardwareError(f"the native extension cannot be imported ({error}); {cure}")


class Device(msgspec.Struct, frozen=True):
    """One device that can hold a model. Memory is in bytes."""

    name: str
    description: str
    type: str
    backend: str
    memory_free: int
    memory_total: int


class Hardware(msgspec.Struct, frozen=True):
    """The build's backends and the machine's devices."""

    backends: list[str]
    devices: list[Device]
    build: dict[str, Any]


def inspect_hardware(rpc: Sequence[str] = ()) -> Hardware:
    """Ask the native extension, in this process, with the devices of RPC servers.

    Raises HardwareError when it cannot be imported, ModelLoadError for a server that does not answer.
    """
    try:
        from shimmy import build_info, devices
    except ImportError as error:
        raise without_extension(error) from error
    build = build_info()
    found = [msgspec.convert(device, Device, from_attributes=True) for device in devices(list(rpc))]
    return Hardware(list(build["backends"]), found, build)


def inspect_in_child(rpc: Sequence[str] = ()) -> Hardware:
    """Ask the native extension in a child process, so that this one never loads it. Raises HardwareError."""
    command = [sys.executable, "-m", "shimmy", "gpu-info", "--json", *(["--rpc", ",".join(rpc)] if rpc else [])]
    try:
        answer = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=_CHILD_SECONDS)
    except subprocess.TimeoutExpired:
        raise HardwareError(f"looking for devices took more than {_CHILD_SECONDS} seconds") from None
    if answer.returncode != 0:
        reason = answer.stderr.decode(errors="replace").strip().removeprefix("error: ")
        raise HardwareError(reason or f"looking for devices ended with code {answer.returncode}")
    return msgspec.json.decode(answer.stdout, type=Hardware)


def needs_check(settings: Settings) -> bool:
    """True when the settings ask for a backend or devices that may not be there."""
    return bool(settings.devices or settings.rpc) or settings.gpu_backend not in ("auto", "cpu")


def with_backend(settings: Settings, hardware: Hardware) -> Settings:
    """`settings` with the devices of the backend that was asked for.

    Raises SettingsError when that backend is not built or finds no device, or a device does not exist.
    """
    troubles = hardware.build.get("backend_errors", [])
    try:
        devices = choose_devices(settings.gpu_backend, settings.devices, hardware.devices, hardware.backends, troubles)
    except ModelLoadError as error:
        raise SettingsError(error.message) from error
    return msgspec.structs.replace(settings, devices=tuple(devices))
