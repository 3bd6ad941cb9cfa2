"""P3: what a server adds to the time to first token."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Target
from prompts import Prompts
from ratios import percentile
from workloads.workload import Metric, Results, Workload


@dataclass(frozen=True)
class HttpOverhead(Workload):
    """A one-token answer to a cached prompt over a kept connection. What HTTP adds is the server's time less the
    engine's of the same round; compare.py reports it as "over shimmy engine"."""

    id = "P3"
    title = "time to first token of a cached prompt"
    models = ("embedded", "0.6b-q4_k_m")
    contenders = ("shimmy", "shimmy engine", "llama-server", "llama-cpp-python", "xllamacpp")
    baseline: ClassVar[str] = "shimmy engine"
    tiny: ClassVar = {"requests": 5}

    requests: int = 200
    n_prompt: int = 64

    @property
    def metrics(self) -> dict[str, Metric]:
        return {name: Metric("ms", "lower") for name in ("TTFT p50", "TTFT p99")}

    @property
    def n_ctx(self) -> int:
        return 2048

    async def run(self, target: Target, prompts: Prompts) -> Results:
        request = Request(max_tokens=1, prompt=prompts.text(self.n_prompt))
        await target.generate(request)
        times = [(await target.generate(request)).ttft * 1000 for _ in range(self.requests)]
        return {"TTFT p50": statistics.median(times), "TTFT p99": percentile(times, 99)}
