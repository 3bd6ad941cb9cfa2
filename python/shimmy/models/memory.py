"""The memory that loaded models share: how much there is of it, what one will take, and what it took."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence

import msgspec

from shimmy.byte_size import size_text
from shimmy.model_info import DeviceUse, LoadSpec, ModelInfo
from shimmy.models.entry import ModelEntry
from shimmy.models.host_memory import HostMemory, ProcessMemory, host_memory, process_memory
from shimmy.models.model_cost import DRIVER_BYTES, GPU_PROCESS_BYTES, PROCESS_BYTES, ModelCost, cost_of
from shimmy.models.residency import Budget, Bytes, Refusal, Resident, make_room, total

_LEAST_RESERVE = 1 << 30
_UNLIMITED = float("inf")
_MOST_OF_GPU_PROCESS = 1 << 31
_MOST_OVERESTIMATED = 0.1
"""Share of an estimate that a measurement below it is believed in: pages that were not touched yet come later."""

logger = logging.getLogger("shimmy.models")


class Placement(msgspec.Struct, frozen=True):
    """How a model can be loaded now."""

    need: Bytes
    spec: LoadSpec
    evict: tuple[str, ...] = ()
    """Who has to be unloaded first."""
    spilled: bool = False
    """GPUs hold only a part of it: which one, its engine decides."""


class Estimate(msgspec.Struct, frozen=True, kw_only=True):
    """What a load was thought to take, and of what."""

    need: Bytes
    mtime: float
    """Of the model's file."""
    asked: LoadSpec
    """As its settings say."""
    cost: ModelCost
    spilled: bool = False


class _Loaded(msgspec.Struct, frozen=True):
    """What a model took besides what its file tells, when it was loaded from a file of this time, as asked here."""

    mtime: float
    asked: LoadSpec
    process: float
    untold: float

    def tells(self, mtime: float, asked: LoadSpec) -> bool:
        return (self.mtime, self.asked) == (mtime, asked)


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
        self._gpu_process: float = GPU_PROCESS_BYTES
        self._driver: float = DRIVER_BYTES  # of each GPU
        self._n_gpus = 1  # that a model is put on when nothing is said
        self._loaded: dict[str, _Loaded] = {}  # by name: the last load
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
        if cost is None:
            return None
        last = self._loaded.get(entry.engine)
        if last is not None and last.tells(entry.model.mtime, spec):
            cost = msgspec.structs.replace(cost, process=last.process, untold=last.untold)
        else:
            cost = msgspec.structs.replace(cost, process=self._gpu_process if cost.gpu_share else self._process)
        if not cost.gpu_share:
            return cost
        driver = self._driver * (len(spec.model.get("devices", [])) or self._n_gpus)
        return msgspec.structs.replace(cost, driver=driver)

    def limited(self, spec: LoadSpec, others: Bytes) -> LoadSpec:
        """`spec`, held to what `others` leave of the budget for GPUs: of a model whose cost cannot be told. GPUs of
        other machines are in a budget that was given only.
        """
        if self._vram is None and spec.model.get("rpc_servers"):
            return spec
        most = self.budget(0).most.vram
        return _limited(spec, most - others.vram - self._driver * self._n_gpus)

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
        uses = [use for use in info.memory if use.type != "cpu"]
        taken = max(info.vram_bytes, sum(use.used for use in uses))
        if self._vram is None:
            taken -= sum(use.used for use in uses if use.backend == "RPC")  # it is not this machine's
        drivers = self._driver * (len(_own_gpus(uses)) or 1) if taken else 0.0
        return Bytes(measured.own + measured.files, taken + drivers), measured.own

    def learn_drivers(self, infos: Sequence[ModelInfo]) -> None:
        """From what GPUs had left when the last of these models, which are all that are loaded, had come. What they
        lack besides the models is their drivers' for each process, or other programs': it is at most that.
        """
        last = _own_gpus(infos[-1].memory)
        self._n_gpus = len(last) or 1
        for gpu in last:
            here = [use for info in infos for use in info.memory if use.name == gpu.name]
            besides = gpu.memory_total - gpu.memory_free - sum(use.used for use in here)
            self._driver = min(self._driver, max(0, besides) / len(here))

    def learn(self, name: str, estimate: Estimate, held: Bytes) -> None:
        """Log what was estimated beside what was measured after the load. What the process takes besides what the file
        tells is corrected by the difference: wholly for the next load of the same, and within bounds for other models,
        since most of it depends on the machine.
        """
        need, cost = estimate.need, estimate.cost
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
        if held.ram <= 0 or estimate.spilled:
            return
        known = self._loaded.get(name)
        self._loaded[name] = _Loaded(
            estimate.mtime,
            estimate.asked,
            cost.process + max(held.ram - need.ram, -_MOST_OVERESTIMATED * need.ram),
            cost.untold + max(held.vram - need.vram, -_MOST_OVERESTIMATED * need.vram) if held.vram else cost.untold,
        )
        if known is not None and known.tells(estimate.mtime, estimate.asked):
            return  # its error is that model's alone
        if need.vram:
            self._learn_gpu_process(cost, held.ram - need.ram)
        else:
            corrected = cost.process + held.ram - need.ram
            self._process = min(max(corrected, PROCESS_BYTES / 2), PROCESS_BYTES * 2)

    async def learn_first(self, entry: ModelEntry, spec: LoadSpec, info: ModelInfo, held: Bytes) -> None:
        """What a process with a GPU takes, from a load that could not be estimated: the first of all, which showed that
        there is a GPU. Only of models that lie there whole, whose RAM their context does not change.
        """
        cost = await self.cost(entry, spec)
        if cost is None or cost.gpu_share < 1 or info.n_gpu_layers <= info.n_layer or info.n_partial_layers:
            return
        self._learn_gpu_process(cost, held.ram - cost.bytes(cost.least_context).ram)

    def _learn_gpu_process(self, cost: ModelCost, error: float) -> None:
        self._gpu_process = min(max(cost.process + error, PROCESS_BYTES), _MOST_OF_GPU_PROCESS)


def place(cost: ModelCost, spec: LoadSpec, residents: list[Resident], budget: Budget) -> Placement | Refusal:
    """Where and how it fits: with the context that it is given, else with the longest that needs nobody to go, but at
    least `cost.least_context` for which others have to. What no GPU could ever hold is split between it and the CPU,
    unless the settings forbid that. However it is estimated, its engine is held to what is left of the GPUs' budget.
    """
    most = (budget.most - total(one for one in residents if one.pinned)).vram
    spilled = _spills(spec) and cost.bytes(cost.least_context if cost.n_ctx is None else cost.n_ctx).vram > most
    if spilled:
        cost = msgspec.structs.replace(cost, gpu_most=max(0.0, most))
    placement = _place(cost, spec, residents, budget)
    if isinstance(placement, Refusal):
        return placement
    left = budget.now - total(one for one in residents if one.name not in placement.evict)
    spec = _limited(placement.spec, left.vram - cost.driver)
    return msgspec.structs.replace(placement, spec=spec, spilled=spilled)


def _place(cost: ModelCost, spec: LoadSpec, residents: list[Resident], budget: Budget) -> Placement | Refusal:
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


def _limited(spec: LoadSpec, vram: float) -> LoadSpec:
    return spec if vram == _UNLIMITED else msgspec.structs.replace(spec, vram_limit=int(max(0.0, vram)))


def _own_gpus(uses: Iterable[DeviceUse]) -> list[DeviceUse]:
    """Those with a driver in this machine that tell how much memory they have."""
    return [use for use in uses if use.type != "cpu" and use.backend != "RPC" and use.memory_total]


def _spills(spec: LoadSpec) -> bool:
    """Whether what the GPUs do not hold is left with the CPU."""
    model = spec.model
    return model.get("n_gpu_layers", -1) == -1 or bool(model.get("n_cpu_moe") or model.get("tensor_overrides"))


def _cpu_only(spec: LoadSpec) -> bool:
    devices = spec.model.get("devices", [])
    return bool(devices) and all(device == "CPU" for device in devices)
