"""P13: from nothing to the first token."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Setup, Target
from prompts import Prompts
from workloads.workload import EVERYONE, Metric, Results, Workload


@dataclass(frozen=True)
class ColdStart(Workload):
    """No warm-up. `ready`: the start to /health (a server) or to the loaded model (in process, imports included);
    shimmy answers /health while it loads, so compare the first token."""

    id = "P13"
    title = "start to first token, file in the page cache"
    models = ("embedded", "0.6b-q4_k_m")
    contenders = (*EVERYONE, "shimmy engine")
    cached: ClassVar[bool] = True

    @property
    def metrics(self) -> dict[str, Metric]:
        return {"ready": Metric("s", "lower"), "first token": Metric("s", "lower")}

    @property
    def n_ctx(self) -> int:
        return 2048

    def setup(self, setup: Setup) -> Setup:
        with setup.model.open("rb") as file:
            if self.cached:
                while file.read(1 << 24):
                    pass
            elif hasattr(os, "posix_fadvise"):
                # Drops the clean pages that no process has mapped.
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        return super().setup(setup)

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        return None

    async def run(self, target: Target, prompts: Prompts) -> Results:
        answer = await target.generate(Request(max_tokens=1, prompt="The capital of France is"))
        first = answer.times[0] if answer.times else answer.ended
        return {"ready": target.ready - target.spawned, "first token": first - target.spawned}


@dataclass(frozen=True)
class DiskStart(ColdStart):
    id = "P13-disk"
    title = "start to first token, file read from the disk"
    cached: ClassVar[bool] = False
