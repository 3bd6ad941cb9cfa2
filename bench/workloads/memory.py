"""P14: memory, before and after use."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.workload import EVERYONE, Metric, Results, Workload, at_once


@dataclass(frozen=True)
class Memory(Workload):
    """Resident memory of all processes; mapped pages of the model's file count, in each process that maps them."""

    id = "P14"
    title = "resident memory"
    contenders = EVERYONE
    tiny: ClassVar = {"streams": 2, "n_prefix": 64}

    streams: int = 8
    n_prefix: int = 1024

    @property
    def metrics(self) -> dict[str, Metric]:
        return {name: Metric("MiB", "lower") for name in ("loaded", self._shared, "peak")}

    @property
    def _shared(self) -> str:
        return f"after {self.streams} × {self.n_prefix} shared"

    @property
    def n_ctx(self) -> int:
        return (self.streams + 1) * (self.n_prefix + 64)

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """The weights that decoding reads, and the KV cells of the context."""
        return {"loaded": (cost.bytes_per_token + self.n_ctx * cost.kv_bytes_per_token) / 2**20}

    async def run(self, target: Target, prompts: Prompts) -> Results:
        loaded = target.memory_mib()
        prefix = prompts.text(self.n_prefix)
        await at_once(target, [Request(max_tokens=8, prompt=prefix + prompts.text(16)) for _ in range(self.streams)])
        return {"loaded": loaded, self._shared: target.memory_mib(), "peak": target.peak_mib()}
