"""P6: many requests with one long beginning arrive at the same moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from ratios import percentile
from workloads.workload import Metric, Results, Workload, at_once, makespan


@dataclass(frozen=True)
class SharedPrefix(Workload):
    """Cold: every K has a prefix that nobody has seen."""

    id = "P6"
    title = "one shared prefix, K requests at once, cold"
    tiny: ClassVar = {"fan_out": (2,), "n_prefix": 64, "n_unique": 8, "n_new": 4}

    fan_out: tuple[int, ...] = (2, 4, 8)
    n_prefix: int = 1024
    n_unique: int = 32
    n_new: int = 16

    @property
    def metrics(self) -> dict[str, Metric]:
        kinds = {
            "makespan": Metric("s", "lower"),
            "TTFT p95": Metric("s", "lower"),
            "computed": Metric("prompt tokens", "lower"),
        }
        return {f"{name}, K={k}": metric for name, metric in kinds.items() for k in self.fan_out}

    @property
    def n_ctx(self) -> int:
        """Room for every request to have its own copy, and for the kept prefixes of the rounds before."""
        return (max(self.fan_out) + len(self.fan_out)) * (self.n_prefix + self.n_unique + self.n_new + 32)

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """The prefix once at the prefill yardstick, then decoding at the memory's speed."""
        limits: dict[str, float] = {}
        for k in self.fan_out:
            computed = self.n_prefix + k * self.n_unique
            decode = cost.decode_limit(machine, self.n_prefix + self.n_unique + self.n_new / 2, k)
            limits[f"computed, K={k}"] = computed
            limits[f"TTFT p95, K={k}"] = computed / cost.prefill_yardstick(machine)
            limits[f"makespan, K={k}"] = computed / cost.prefill_yardstick(machine) + k * self.n_new / decode
        return limits

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        for k in self.fan_out:
            prefix = prompts.text(self.n_prefix)
            requests = [Request(max_tokens=self.n_new, prompt=prefix + prompts.text(self.n_unique)) for _ in range(k)]
            answers = await at_once(target, requests)
            results[f"makespan, K={k}"] = makespan(answers)
            results[f"TTFT p95, K={k}"] = percentile([answer.ttft for answer in answers], 95)
            if any(answer.prompt_tokens for answer in answers):  # some servers stream no usage
                computed = sum(answer.prompt_tokens - answer.cached_tokens for answer in answers)
                results[f"computed, K={k}"] = computed
        return results
