"""P5: clients that each ask again as soon as they are answered, with nothing in common."""

from __future__ import annotations

import asyncio
import statistics
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Answer, Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from ratios import percentile
from workloads.workload import Metric, Results, Workload, completion_tokens, makespan


@dataclass(frozen=True)
class ClosedLoop(Workload):
    id = "P5"
    title = "closed loop, 128 in and 128 out, nothing shared"
    tiny: ClassVar = {"clients": (1, 2), "n_prompt": 16, "n_new": 8}

    clients: tuple[int, ...] = (1, 2, 4, 8)
    requests_each: int = 2
    n_prompt: int = 128
    n_new: int = 128

    @property
    def metrics(self) -> dict[str, Metric]:
        kinds = {
            "throughput": Metric("tok/s", "higher"),
            "TTFT p50": Metric("ms", "lower"),
            "TPOT p50": Metric("ms", "lower"),
            "ITL p99": Metric("ms", "lower"),
        }
        return {f"{name}, c={c}": metric for name, metric in kinds.items() for c in self.clients}

    @property
    def n_ctx(self) -> int:
        return max(2048, (max(self.clients) + 1) * (self.n_prompt + self.n_new + 32))

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """Of decoding; the prompts come on top."""
        depth = self.n_prompt + self.n_new / 2
        return {f"throughput, c={c}": cost.decode_limit(machine, depth, c) for c in self.clients}

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        for c in self.clients:
            texts = [[prompts.text(self.n_prompt) for _ in range(self.requests_each)] for _ in range(c)]
            answers = [
                answer for one in await asyncio.gather(*(self._client(target, t) for t in texts)) for answer in one
            ]
            gaps = [gap * 1000 for answer in answers for gap in answer.gaps] or [0.0]
            results[f"throughput, c={c}"] = completion_tokens(answers) / makespan(answers)
            results[f"TTFT p50, c={c}"] = statistics.median(answer.ttft * 1000 for answer in answers)
            results[f"TPOT p50, c={c}"] = statistics.median(answer.tpot * 1000 for answer in answers)
            results[f"ITL p99, c={c}"] = percentile(gaps, 99)
        return results

    async def _client(self, target: Target, texts: list[str]) -> list[Answer]:
        return [await target.generate(Request(max_tokens=self.n_new, prompt=text)) for text in texts]


@dataclass(frozen=True)
class ManyStreams(ClosedLoop):
    """For GPUs, where a step of many rows costs hardly more than one of a single row."""

    id = "P5-many"
    title = "closed loop of up to 64 clients, 128 in and 128 out, nothing shared"
    contenders = ("shimmy", "shimmy --no-kv-unified", "shimmy engine", "llama-server 64 slots")

    clients: tuple[int, ...] = (1, 8, 32, 64)
