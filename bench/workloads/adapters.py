"""P12: requests with different LoRA adapters at the same time."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Setup, Target
from prompts import Prompts
from workloads.workload import Metric, Results, Workload, at_once, completion_tokens, copies, makespan


@dataclass(frozen=True)
class Adapters(Workload):
    """As many streams as adapters: all with the first one, then each with its own."""

    id = "P12"
    title = "LoRA adapters, mixed against a single one"
    models = ("embedded",)
    contenders = ("shimmy", "llama-server", "llama-server tuned")
    tiny: ClassVar = {"counts": (2,), "n_new": 8}

    counts: tuple[int, ...] = (2, 4)
    n_new: int = 96

    @property
    def metrics(self) -> dict[str, Metric]:
        kinds = {
            "single": Metric("tok/s", "higher"),
            "mixed": Metric("tok/s", "higher"),
            "mixed / single": Metric("×", "higher"),
        }
        return {f"{kind}, {n} streams": metric for kind, metric in kinds.items() for n in self.counts}

    @property
    def n_ctx(self) -> int:
        return 4096

    def setup(self, setup: Setup) -> Setup:
        from shimmy import demo_adapter_paths

        files = tuple(path for _, path in sorted(demo_adapter_paths().items()))
        adapters = copies(files, setup.log.parent, max(self.counts))
        return dataclasses.replace(setup, n_ctx=self.n_ctx, adapters=adapters)

    def _names(self) -> list[str]:
        kinds = ("shimmy-mini-pirate-lora", "shimmy-mini-terse-lora")
        return [f"{kinds[number % 2]}-{number}" for number in range(max(self.counts))]

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        for name in self._names():
            await target.generate(Request(max_tokens=4, prompt=prompts.text(16), adapter=name))

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        names = self._names()
        for n in self.counts:
            for kind, chosen in (("single", [names[0]] * n), ("mixed", names[:n])):
                requests = [Request(max_tokens=self.n_new, prompt=prompts.text(24), adapter=name) for name in chosen]
                answers = await at_once(target, requests)
                results[f"{kind}, {n} streams"] = completion_tokens(answers) / makespan(answers)
            mixed, single = results[f"mixed, {n} streams"], results[f"single, {n} streams"]
            results[f"mixed / single, {n} streams"] = mixed / single
        return results
