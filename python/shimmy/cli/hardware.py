"""What this build and this machine can run models on."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import msgspec

from shimmy.errors import ShimmyError
from shimmy.settings import Settings, SettingsError

_REGISTRY_NAMES = {"metal": {"metal", "mtl"}}
_CHILD_SECONDS = 60


class HardwareError(ShimmyError):
    """The native extension cannot be used, so nothing can run and nothing is known about the hardware."""


def without_extension(error: ImportError) -> HardwareError:
    """What to tell when the native extension cannot be imported."""
    return HardwareError(f"the native extension cannot be imported ({error}); build it with pip install .")


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


def inspect_hardware() -> Hardware:
    """Ask the native extension, in this process. Raises HardwareError when it cannot be imported."""
    try:
        from shimmy import build_info, devices
    except ImportError as error:
        raise without_extension(error) from error
    build = build_info()
    found = [msgspec.convert(device, Device, from_attributes=True) for device in devices()]
    return Hardware(list(build["backends"]), found, build)


def inspect_in_child() -> Hardware:
    """Ask the native extension in a child process, so that this one never loads it. Raises HardwareError."""
    command = [sys.executable, "-m", "shimmy", "gpu-info", "--json"]
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
    return bool(settings.devices) or settings.gpu_backend not in ("auto", "cpu")


def with_backend(settings: Settings, hardware: Hardware) -> Settings:
    """`settings` with the devices of the backend that was asked for.

    Raises SettingsError when that backend is not built or finds no device, or a device does not exist.
    """
    unknown = set(settings.devices) - {device.name for device in hardware.devices}
    if unknown:
        known = ", ".join(device.name for device in hardware.devices)
        raise SettingsError(f"no device called {', '.join(sorted(unknown))}; this build and machine offer {known}")
    wanted = settings.gpu_backend
    if wanted in ("auto", "cpu"):
        return settings
    names = _REGISTRY_NAMES.get(wanted, {wanted})
    if not any(backend.lower() in names for backend in hardware.backends):
        raise SettingsError(
            f"gpu backend {wanted} is not in this build, which has {', '.join(hardware.backends)}; build with "
            f"pip install . -C cmake.define.SHIMMY_{wanted.upper()}=ON or use --gpu-backend auto"
        )
    devices = tuple(device.name for device in hardware.devices if device.backend.lower() in names)
    if not devices:
        raise SettingsError(f"gpu backend {wanted} finds no device on this machine; use --gpu-backend auto or cpu")
    return settings if settings.devices else msgspec.structs.replace(settings, devices=devices)
