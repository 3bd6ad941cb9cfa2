"""The memory that loaded models share: how much there is of it, what one will take, and what it took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import msgspec

from shimmy.byte_size import size_text
from shimmy.model_info import LoadSpec, ModelInfo
from shimmy.models.entry import ModelEntry
from shimmy.models.host_memory import HostMemory, ProcessMemory, host_memory, process_memory
from shimmy.models.model_cost import PROCESS_BYTES, ModelCost, cost_of
from shimmy.models.residency import Budget, Bytes, Refusal, Resident, make_room, total

_LEAST_RESERVE = 1 << 30
_UNLIMITED = float("inf")

logger = logging.getLogger("shimmy.models")


class Placement(msgspec.Struct, frozen=True):
    """How a model can be loaded now."""

    need: Bytes
    spec: LoadSpec
    evict: tuple[str, ...] = ()
    """Who has to be unloaded first."""


class Memory:
    """Budgets are in bytes; None: what the machine has, less a tenth and at least 1 GiB for everything else; of GPUs a
    twentieth less than they have, once a model runs on one. `gpus`: whether this machine may have some.
    """

    def __init__(
        self,
        ram: int | None = None,
        vram: int | None = None,
        *,
        gpus: bool = False,
        host: Callable[[], HostMemory] = host_memory,
        measure: Callable[[int], ProcessMemory | None] = process_memory,
    ) -> None:
        self._process: float = PROCESS_BYTES
        self._ram = ram
        self._vram = vram
        self._host = host
        self._measure = measure
        self._gpu_bytes: int | None = None if gpus else 0  # of the GPUs in use; 0: none are; None: not known yet

    async def cost(self, entry: ModelEntry, spec: LoadSpec) -> ModelCost | None:
        """What loading it as `spec` says will take. None where that cannot be told: of a file that says too little, and
        on a machine with a GPU until the first load has shown whether it is used.
        """
        if spec.model.get("rpc_servers"):
            return None  # what lies on other machines cannot be told
        on_cpu = spec.model.get("n_gpu_layers", -1) == 0 or _cpu_only(spec)
        if self._gpu_bytes is None and not on_cpu:
            return None
        cost = await asyncio.to_thread(cost_of, entry.model, spec, gpu=bool(self._gpu_bytes) and not on_cpu)
        return None if cost is None else msgspec.structs.replace(cost, process=self._process)

    def budget(self, own: float) -> Budget:
        """What there is now for all models together, of whose memory `own` bytes are no pages of files."""
        vram: float = _UNLIMITED if not self._gpu_bytes else self._gpu_bytes - self._gpu_bytes // 20
        vram = vram if self._vram is None else self._vram
        if self._ram is not None:
            return Budget(Bytes(self._ram, vram), Bytes(self._ram, vram))
        host = self._host()
        if host.total is None:
            return Budget(Bytes(_UNLIMITED, vram), Bytes(_UNLIMITED, vram))
        most = host.total - max(_LEAST_RESERVE, host.total // 10)
        # Available are also the pages of files that our models map, which count as held.
        now = most if host.available is None else min(most, host.available + own - _LEAST_RESERVE // 2)
        return Budget(Bytes(most, vram), Bytes(now, vram))

    async def held(self, pid: int, info: ModelInfo) -> tuple[Bytes, float] | None:
        """What a loaded model takes, and how much of its RAM is no pages of files. None: the system does not tell."""
        if self._gpu_bytes is None or info.vram_total:
            self._gpu_bytes = info.vram_total
        measured = await asyncio.to_thread(self._measure, pid)
        if measured is None:
            return None
        return Bytes(measured.own + measured.files, info.vram_bytes), measured.own

    def learn(self, name: str, need: Bytes, held: Bytes) -> None:
        """Log what was estimated beside what was measured after the load. What a process takes besides its model is
        corrected by the difference, within bounds: it depends on the machine, and is the same for all models.
        """
        for kind, estimated, measured in (("memory", need.ram, held.ram), ("GPU memory", need.vram, held.vram)):
            if estimated > 0 and measured > 0:
                logger.info(
                    "%s takes %s of %s; %s were estimated (%+.1f %%)",
                    name,
                    size_text(measured),
                    kind,
                    size_text(estimated),
                    100 * (estimated - measured) / measured,
                )
        if need.ram > 0 and held.ram > 0 and not need.vram:
            corrected = self._process + held.ram - need.ram
            self._process = min(max(corrected, PROCESS_BYTES / 2), PROCESS_BYTES * 2)


def place(cost: ModelCost, spec: LoadSpec, residents: list[Resident], budget: Budget) -> Placement | Refusal:
    """Where and how it fits: with the context that it is given, else with the longest that needs nobody to go, but at
    least `cost.least_context` for which others have to. What no GPU could ever hold is split between it and the CPU,
    unless the settings forbid that.
    """
    most = (budget.most - total(one for one in residents if one.pinned)).vram
    if _spills(spec) and cost.bytes(cost.least_context if cost.n_ctx is None else cost.n_ctx).vram > most:
        margin = spec.model.get("gpu_margin_mib", 1024) << 20
        cost = msgspec.structs.replace(cost, gpu_most=max(0.0, most - margin))
    if cost.n_ctx is not None:
        going = make_room(cost.bytes(cost.n_ctx), residents, budget)
        return going if isinstance(going, Refusal) else Placement(cost.bytes(cost.n_ctx), spec, going)
    evict: tuple[str, ...] = ()
    n_ctx = cost.context_within(budget.now - total(residents))
    if n_ctx is None:
        going = make_room(cost.bytes(cost.least_context), residents, budget)
        if isinstance(going, Refusal):
            return going
        evict = going
        room = budget.now - total(one for one in residents if one.name not in evict)
        n_ctx = cost.context_within(room) or cost.least_context
    if n_ctx < cost.n_ctx_train:
        spec = msgspec.structs.replace(spec, context={**spec.context, "n_ctx": n_ctx})
    return Placement(cost.bytes(n_ctx), spec, evict)


def _spills(spec: LoadSpec) -> bool:
    """Whether what the GPUs do not hold is left with the CPU."""
    model = spec.model
    return model.get("n_gpu_layers", -1) == -1 or bool(model.get("n_cpu_moe") or model.get("tensor_overrides"))


def _cpu_only(spec: LoadSpec) -> bool:
    devices = spec.model.get("devices", [])
    return bool(devices) and all(device == "CPU" for device in devices)
