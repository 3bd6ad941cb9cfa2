"""Where a model is put: backend, devices, how much of it, and what its KV cache is made of."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Annotated, Any, Literal, Protocol, get_args

import msgspec
from msgspec import Meta

from shimmy.errors import ModelLoadError
from shimmy.model_info import LoadSpec

GpuBackend = Literal["auto", "cpu", "cuda", "vulkan", "opencl", "metal", "hip", "rpc"]
SplitMode = Literal["none", "layer", "row", "tensor"]
Layers = Annotated[int, Meta(ge=0, le=1024)]
GpuLayers = Literal["auto", "all"] | Layers
CacheType = Literal["f32", "f16", "bf16", "q8_0", "q5_1", "q5_0", "q4_1", "q4_0", "iq4_nl"]
FlashAttention = Literal["auto", "on", "off"]
BackendSampling = Literal["auto", "on", "off"]
DeviceName = Annotated[str, Meta(min_length=1, max_length=512)]
Override = Annotated[str, Meta(min_length=3, max_length=1024)]

GPU_BACKENDS: tuple[str, ...] = get_args(GpuBackend)

_BACKEND_NAMES = {"metal": {"metal", "mtl"}, "hip": {"hip", "rocm"}}
"""What llama.cpp calls those that it calls otherwise."""
_LAYERS = {"auto": -1, "all": -2}


class Placement(msgspec.Struct, frozen=True, kw_only=True):
    """None leaves a choice to the runtime, or to whoever asks less specifically: a model's own settings come before
    those of the process.
    """

    gpu_backend: GpuBackend | None = None
    """The backend that must hold the layers; auto takes what there is, cpu no GPU at all."""
    devices: Annotated[tuple[DeviceName, ...], Meta(max_length=16)] | None = None
    """Devices to load on, by the names that gpu-info shows; none: as gpu_backend says."""
    main_gpu: Annotated[int, Meta(ge=0, le=15)] | None = None
    """Which of the devices takes everything with split_mode none, counted from 0."""
    split_mode: SplitMode | None = None
    """Over several GPUs: none, layer (whole layers, the default), row, tensor."""
    tensor_split: Annotated[tuple[Annotated[float, Meta(ge=0, le=1e6)], ...], Meta(max_length=16)] | None = None
    """Share of each GPU; by free memory when nothing is said."""
    gpu_layers: GpuLayers | None = None
    """Layers on GPUs: auto (as many as fit, the default), all, or a number; the output layer counts as one."""
    gpu_margin_mib: Annotated[int, Meta(ge=0, le=1 << 24)] | None = None
    """Memory of each GPU that auto leaves free; 1024 when nothing is said."""
    cpu_moe: bool | None = None
    """Keep the experts of all layers with the CPU."""
    n_cpu_moe: Layers | None = None
    """Keep the experts of the first so many layers with the CPU."""
    override_tensor: Annotated[tuple[Override, ...], Meta(max_length=256)] | None = None
    """PATTERN=BUFFER: weights whose names match the regular expression go to that device, for example CPU."""
    kv_offload: bool | None = None
    """False: the KV cache stays in the host's memory."""
    kv_unified: bool | None = None
    """False: each sequence has its own cells, an equal part of the context, instead of one pool for all."""
    max_num_seqs: Annotated[int, Meta(ge=1, le=256)] | None = None
    """Requests that are computed at once; 16 when nothing is said, 64 on GPUs with one pool of cells."""
    cache_type_k: CacheType | None = None
    """Type of the KV cache's keys; f16 when nothing is said."""
    cache_type_v: CacheType | None = None
    """Type of its values; f16 when nothing is said."""
    flash_attn: FlashAttention | None = None
    """Flash attention: auto, on or off. Quantised caches need it."""
    backend_sampling: BackendSampling | None = None
    """Tokens are chosen where the logits are computed: auto (on GPUs that gain by it), on or off."""
    rpc: Annotated[tuple[DeviceName, ...], Meta(max_length=16)] | None = None
    """HOST:PORT of RPC servers, whose devices are used too. The protocol has neither keys nor encryption."""

    def over(self, below: Placement) -> dict[str, Any]:
        """What this says, for `msgspec.structs.replace` of what `below` says."""
        said = {name: getattr(self, name) for name in Placement.__struct_fields__ if getattr(self, name) is not None}
        if self.gpu_backend is not None and self.devices is None and below.devices:
            said["devices"] = ()  # those of another backend
        if self.n_cpu_moe is not None and self.cpu_moe is None:
            said["cpu_moe"] = False
        return said

    def onto(self, spec: LoadSpec) -> LoadSpec:
        """`spec`, put where this says."""
        return msgspec.structs.replace(
            spec,
            gpu_backend=self.gpu_backend or "auto",
            model={**spec.model, **self.model_options()},
            context={**spec.context, **self.context_options()},
            engine={**spec.engine, **self.engine_options()},
        )

    def model_options(self) -> dict[str, Any]:
        """Fields of `_core.ModelParams`, only those that were set."""
        cpu_moe = -1 if self.cpu_moe else self.n_cpu_moe
        options = {
            "devices": list(self.devices or ()) or None,
            "rpc_servers": list(self.rpc or ()) or None,
            "main_gpu": self.main_gpu,
            "split_mode": self.split_mode,
            "tensor_split": None if self.tensor_split is None else list(self.tensor_split),
            "n_gpu_layers": _LAYERS[self.gpu_layers] if isinstance(self.gpu_layers, str) else self.gpu_layers,
            "gpu_margin_mib": self.gpu_margin_mib,
            "n_cpu_moe": cpu_moe,
            "tensor_overrides": None if self.override_tensor is None else list(self.override_tensor),
        }
        if self.gpu_backend == "cpu":
            options |= {"devices": ["CPU"], "n_gpu_layers": 0, "rpc_servers": None}
        return {name: value for name, value in options.items() if value is not None}

    def context_options(self) -> dict[str, Any]:
        """Fields of `_core.ContextParams`, only those that were set."""
        options = {
            "offload_kqv": self.kv_offload,
            "kv_unified": self.kv_unified,
            "type_k": self.cache_type_k,
            "type_v": self.cache_type_v,
            "flash_attn": self.flash_attn,
        }
        return {name: value for name, value in options.items() if value is not None}

    def engine_options(self) -> dict[str, Any]:
        """Fields of `_core.EngineParams`, only those that were set."""
        options = {"max_num_seqs": self.max_num_seqs, "backend_sampling": self.backend_sampling}
        return {name: value for name, value in options.items() if value is not None}


def margin_within(limit: int, free: Sequence[int]) -> int:
    """How many of its bytes `free` each of several GPUs has to keep, for no more than `limit` of all to be left."""
    left = sorted(free)
    while left:
        margin = -(-max(0, sum(left) - max(0, limit)) // len(left))  # if each of them gave
        if margin <= left[0]:
            return margin
        left.pop(0)  # it has less than that, so the others give more
    return 0


class FoundDevice(Protocol):
    """A device as the native extension, or a child process, tells it."""

    @property
    def name(self) -> str: ...
    @property
    def backend(self) -> str: ...


def choose_devices(
    backend: str | None,
    asked: Sequence[str],
    found: Sequence[FoundDevice],
    backends: Collection[str],
    troubles: Sequence[str] = (),
) -> list[str]:
    """Names of the devices that a backend and names ask for; empty: any. `backends` are those of the build, `troubles`
    what they complained about when they looked for devices.

    Raises ModelLoadError, with the reason, for what is not there.
    """
    offer = ", ".join(device.name for device in found)
    unknown = sorted(set(asked) - {device.name for device in found})
    if unknown:
        raise ModelLoadError(f"no device called {', '.join(unknown)}; this build and machine offer {offer}")
    if backend in (None, "auto", "cpu"):
        return list(asked)
    names = _BACKEND_NAMES.get(backend, {backend})
    if not any(name.lower() in names for name in backends):
        raise ModelLoadError(
            f"gpu backend {backend} is not in this build, which has {', '.join(backends)}; build with "
            f"pip install . -C cmake.define.SHIMMY_{backend.upper()}=ON or use --gpu-backend auto"
        )
    devices = [device.name for device in found if device.backend.lower() in names]
    if not devices:
        hint = " (name servers with --rpc HOST:PORT)" if backend == "rpc" else ""
        why = f": {'; '.join(troubles)}" if troubles else ""
        raise ModelLoadError(
            f"gpu backend {backend} finds no device on this machine{hint}{why}; use --gpu-backend auto or cpu"
        )
    foreign = [name for name in asked if name not in devices]
    if foreign:
        raise ModelLoadError(
            f"{', '.join(foreign)} is no device of gpu backend {backend}, which offers {', '.join(devices)}"
        )
    return list(asked) or devices
