"""Puts a LoadSpec onto the devices of this machine, and says what it took of them."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from shimmy import _core
from shimmy.byte_size import size_text
from shimmy.errors import ModelLoadError
from shimmy.model_info import DeviceUse, LoadSpec
from shimmy.placement import choose_devices, margin_within

logger = logging.getLogger("shimmy.devices")

_CPU_ONLY = ["CPU"]
_GPUS = ("gpu", "igpu")
_FIT = -1
_ALL = -2
_DRAFT_MIB = 256
"""What a draft model takes besides its weights, roughly."""
_MARGIN_MIB = _core.ModelParams().gpu_margin_mib
_TELLING = ("CUDA", "ROCm")
"""Backends whose devices tell no memory only where less is free than their driver takes for a process."""


class Chosen(NamedTuple):
    """Fields of `_core.ModelParams`, for the model and its draft, and of `_core.ContextParams`."""

    model: dict[str, Any]
    draft: dict[str, Any]
    context: dict[str, Any]


def choose(spec: LoadSpec, n_ubatch: int | None = None) -> Chosen:
    """Resolve the backend to devices, and layers that nobody chose to as many as fit.

    What fits stays within the spec's `vram_limit` too; whether layers that were asked for do, `check_limit` tells.
    Micro-batches of `n_ubatch` tokens are taken where with them, too, all layers fit on GPUs, and as long a context.

    Raises ModelLoadError, with reason and numbers, for a backend or device that is not there, and when one was asked
    for and not a single layer fits; InvalidRequestError (options).
    """
    model, context = dict(spec.model), dict(spec.context)
    servers = model.get("rpc_servers", [])
    if servers:
        logger.warning(
            "RPC servers get prompts and weights without encryption and ask for no key: use them in networks that you "
            "trust (%s)",
            ", ".join(servers),
        )
    found = _core.devices(servers)
    build = _core.build_info()
    asked = model.get("devices", [])
    devices = choose_devices(spec.gpu_backend, asked, found, build["backends"], build["backend_errors"])
    if devices:
        model["devices"] = devices
    gpus = [device for device in found if device.type in _GPUS and device.name in (devices or [device.name])]
    if not gpus:
        if build["backend_errors"] and asked != _CPU_ONLY:
            logger.warning("%s runs on the CPU: %s", spec.name, "; ".join(build["backend_errors"]))
    elif model.get("n_gpu_layers", _FIT) == _FIT:
        if crowded := [gpu.name for gpu in gpus if gpu.backend in _TELLING and not gpu.memory_total]:
            gpus = _without(crowded, spec, model, gpus, chosen=bool(devices))
        if gpus:
            _fit(spec, model, context, gpus, chosen=bool(devices), n_ubatch=n_ubatch)
    return Chosen(model, _draft_options(spec, model), context)


def check_limit(spec: LoadSpec, memory: list[DeviceUse]) -> None:
    """Raises ModelLoadError when a model, loaded as `memory` says, takes more of GPUs than `spec` allows."""
    if spec.vram_limit is None:
        return
    uses = [use for use in memory if use.type != "cpu"]
    if sum(use.used for use in uses) > spec.vram_limit:
        taken = ", ".join(f"{use.name} {size_text(use.used)}" for use in uses)
        raise ModelLoadError(
            f"{spec.name} takes {size_text(sum(use.used for use in uses))} of GPU memory ({taken}), and "
            f"{size_text(spec.vram_limit)} are left of the budget; use --gpu-layers auto, a smaller context or a "
            "larger --vram-budget"
        )


def _fit(
    spec: LoadSpec,
    model: dict[str, Any],
    context: dict[str, Any],
    gpus: list[_core.Device],
    *,
    chosen: bool,
    n_ubatch: int | None,
) -> None:
    """Replace "as many layers as fit" by their number in `model`, and the context in `context` by its size."""
    margin = model.get("gpu_margin_mib", _MARGIN_MIB)
    if spec.vram_limit is not None:
        used = gpus[model.get("main_gpu", 0) :][:1] if model.get("split_mode") == "none" else gpus
        within = margin_within(spec.vram_limit, [gpu.memory_free for gpu in used])
        margin = max(margin, -(-within >> 20))
    margin += _mib_of(spec.adapters.values())
    if spec.draft is not None:
        margin += _DRAFT_MIB + _mib_of([spec.draft])
    for _ in range(3):
        fit, over = _measured(spec, model, context, margin)
        if not fit.fits or over <= 0:
            break
        margin += -(-over >> 20)  # others gave memory back since it was asked for
    if not fit.memory:
        return
    if not fit.fits:
        told = f"not one layer of {spec.name} fits on {_room(spec, fit, margin)}"
        if chosen:
            raise ModelLoadError(f"{told}; free memory, lower the context or use --gpu-backend cpu")
        logger.warning("%s: it runs on the CPU", told)
        model |= {"devices": _CPU_ONLY, "n_gpu_layers": 0}
        return
    whole = fit.n_gpu_layers > fit.n_layer and fit.n_cpu_moe in (0, model.get("n_cpu_moe", 0))
    if not whole:
        experts = f", the experts of {fit.n_cpu_moe} of them not" if fit.n_cpu_moe > 0 else ""
        experts = ", their experts not" if fit.n_cpu_moe < 0 else experts
        logger.warning(
            "%d of %d layers of %s fit on %s%s",
            fit.n_gpu_layers,
            fit.n_layer + 1,
            spec.name,
            _room(spec, fit, margin),
            experts,
        )
    elif n_ubatch is not None and all(gpu.memory_total for gpu in gpus):
        larger, over = _measured(spec, model, {**context, "n_ubatch": n_ubatch}, margin)
        if over <= 0 and (larger.n_gpu_layers, larger.n_cpu_moe, larger.n_ctx) == (
            fit.n_gpu_layers,
            fit.n_cpu_moe,
            fit.n_ctx,
        ):
            context["n_ubatch"] = n_ubatch
    model |= {"n_gpu_layers": fit.n_gpu_layers, "n_cpu_moe": fit.n_cpu_moe}
    context["n_ctx"] = fit.n_ctx


def _measured(
    spec: LoadSpec, model: dict[str, Any], context: dict[str, Any], margin: int
) -> tuple[_core.EngineFit, int]:
    """What fits with `margin` MiB of each GPU left free, and by how many bytes it is over the spec's limit."""
    wanted = _core.ModelParams(**{**model, "gpu_margin_mib": margin})
    fit = _core.fit_engine(spec.path, wanted, _core.ContextParams(**context), _core.EngineParams(**spec.engine))
    if spec.vram_limit is None:
        return fit, 0
    return fit, sum(use.used for use in uses_of(fit.memory) if use.type != "cpu") - spec.vram_limit


def _without(
    crowded: list[str], spec: LoadSpec, model: dict[str, Any], gpus: list[_core.Device], *, chosen: bool
) -> list[_core.Device]:
    """The GPUs that a process can use at all, which `model` is told; with none of them, the CPU."""
    told = f"{', '.join(crowded)}: less memory is free than the driver takes for a process"
    if chosen:
        raise ModelLoadError(f"{spec.name} cannot be loaded on {told}; free memory, or use --gpu-backend cpu")
    left = [gpu for gpu in gpus if gpu.name not in crowded]
    logger.warning("%s is not put on %s", spec.name, told)
    model |= {"devices": [gpu.name for gpu in left]} if left else {"devices": _CPU_ONLY, "n_gpu_layers": 0}
    return left


def _mib_of(paths: Iterable[str]) -> int:
    """Of files, rounded up; one that is not there is an error of the load."""
    return sum((Path(path).stat().st_size >> 20) + 1 for path in paths if Path(path).is_file())


def _room(spec: LoadSpec, fit: _core.EngineFit, margin: int) -> str:
    free = [
        f"{use.name} ({use.memory_free >> 20} of {use.memory_total >> 20} MiB free)"
        for use in fit.memory
        if use.type != "cpu"
    ]
    limit = "" if spec.vram_limit is None else f", {spec.vram_limit >> 20} MiB left of the VRAM budget"
    return f"{', '.join(free)}, {margin} MiB of each kept free{limit}"


def _draft_options(spec: LoadSpec, model: dict[str, Any]) -> dict[str, Any]:
    """The draft goes to the same devices, all of it unless a number was asked for."""
    options = {name: value for name, value in model.items() if name not in ("n_cpu_moe", "tensor_overrides")}
    if spec.model.get("n_gpu_layers", _FIT) == _FIT and model.get("n_gpu_layers") != 0:
        options["n_gpu_layers"] = _ALL
    return options


def uses_of(memory: list[_core.DeviceMemory]) -> list[DeviceUse]:
    """As plain values."""
    return [
        DeviceUse(
            name=use.name,
            description=use.description,
            type=use.type,
            backend=use.backend,
            weights=use.weights,
            kv_cache=use.kv_cache,
            compute=use.compute,
            memory_free=use.memory_free,
            memory_total=use.memory_total,
        )
        for use in memory
    ]
