"""P1 and P2: one stream against the kernels alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Kernels, Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.workload import Metric, Results, Workload


@dataclass(frozen=True)
class Decode(Workload):
    id = "P1"
    title = "decode, one stream"
    models = ("0.6b-q4_k_m", "1b-q8_0")
    subject = "shimmy engine"
    contenders = ("shimmy engine", "llama-bench")
    tiny: ClassVar = {"depths": (0, 64), "n_gen": 16}

    depths: tuple[int, ...] = (0, 4096)
    n_gen: int = 128

    def _name(self, depth: int) -> str:
        return f"tg{self.n_gen}" + (f" @ {depth}" if depth else "")

    @property
    def metrics(self) -> dict[str, Metric]:
        return {self._name(depth): Metric("tok/s", "higher") for depth in self.depths}

    @property
    def n_ctx(self) -> int:
        return max(self.depths) + self.n_gen + 64

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        return {self._name(depth): cost.decode_limit(machine, depth + self.n_gen / 2) for depth in self.depths}

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results = {}
        for depth in self.depths:
            # One token more: the first one comes out of the prefill.
            request = Request(max_tokens=self.n_gen + 1, prompt=prompts.tokens(max(depth, 1)))
            answer = await target.generate(request)
            seconds = answer.decode_seconds
            if seconds is None:
                seconds = answer.ended - answer.times[0]
            results[self._name(depth)] = (answer.completion_tokens - 1) / seconds
        return results

    async def run_kernels(self, kernels: Kernels, prompts: Prompts) -> Results:
        return {
            self._name(depth): await kernels.tokens_per_second(n_gen=self.n_gen, depth=depth) for depth in self.depths
        }


@dataclass(frozen=True)
class Prefill(Workload):
    id = "P2"
    title = "prefill, one prompt"
    models = ("0.6b-q4_k_m", "1b-q8_0")
    subject = "shimmy engine"
    contenders = ("shimmy engine", "llama-bench")
    tiny: ClassVar = {"lengths": (32, 128)}

    lengths: tuple[int, ...] = (128, 512, 2048)

    @property
    def metrics(self) -> dict[str, Metric]:
        return {f"pp{length}": Metric("tok/s", "higher") for length in self.lengths}

    @property
    def n_ctx(self) -> int:
        return 2 * max(self.lengths)

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        return {f"pp{length}": cost.prefill_yardstick(machine) for length in self.lengths}

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        await target.generate(Request(max_tokens=1, prompt=prompts.tokens(max(self.lengths) // 4)))

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results = {}
        for length in self.lengths:
            answer = await target.generate(Request(max_tokens=1, prompt=prompts.tokens(length)))
            seconds = answer.ttft if answer.prefill_seconds is None else answer.prefill_seconds
            results[f"pp{length}"] = (answer.prompt_tokens - answer.cached_tokens) / seconds
        return results

    async def run_kernels(self, kernels: Kernels, prompts: Prompts) -> Results:
        return {f"pp{length}": await kernels.tokens_per_second(n_prompt=length) for length in self.lengths}
