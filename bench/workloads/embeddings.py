"""P15: embeddings, one text and many in one request."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Setup, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.workload import Metric, Results, Workload


@dataclass(frozen=True)
class Embeddings(Workload):
    id = "P15"
    title = "embeddings of 128 tokens each"
    contenders = ("shimmy", "shimmy engine", "llama-server", "llama-cpp-python")
    subject = "shimmy engine"
    tiny: ClassVar = {"batches": (1, 2), "n_text": 16, "repeats": 1}

    batches: tuple[int, ...] = (1, 32)
    n_text: int = 128
    repeats: int = 3

    @property
    def metrics(self) -> dict[str, Metric]:
        return {f"batch {n}": Metric("texts/s", "higher") for n in self.batches}

    @property
    def n_ctx(self) -> int:
        return max(2048, max(self.batches) * (self.n_text + 8))

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        return {f"batch {n}": cost.prefill_yardstick(machine) / self.n_text for n in self.batches}

    def setup(self, setup: Setup) -> Setup:
        return dataclasses.replace(setup, n_ctx=self.n_ctx, embeddings=True)

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        await target.embed([prompts.text(self.n_text)])

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        for n in self.batches:
            seconds = 0.0
            for _ in range(self.repeats):
                texts = [prompts.text(self.n_text) for _ in range(n)]
                started = time.perf_counter()
                vectors = await target.embed(texts)
                seconds += time.perf_counter() - started
                if len(vectors) != n:
                    raise RuntimeError(f"{len(vectors)} embeddings came back for {n} texts")
            results[f"batch {n}"] = n * self.repeats / seconds
        return results
