"""P7: users who take turns in conversations that grow."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Request, Target
from prompts import Prompts
from ratios import percentile
from workloads.workload import Metric, Results, Workload


@dataclass(frozen=True)
class Conversations(Workload):
    """4 users × 4 turns, one request at a time, users interleaved. A turn's prompt is all before it and new text."""

    id = "P7"
    title = "conversations of 4 users, interleaved; all fit the KV cache"
    tiny: ClassVar = {"users": 2, "turns": 2, "n_text": 24, "n_new": 4}

    users: int = 4
    turns: int = 4
    n_text: int = 128
    n_new: int = 32
    fits: float = 2.0
    """KV cells, as a multiple of what all conversations take at their ends."""

    @property
    def metrics(self) -> dict[str, Metric]:
        return {
            "TTFT p50, later turns": Metric("ms", "lower"),
            "TTFT p95, later turns": Metric("ms", "lower"),
            "prompt tokens cached": Metric("%", "higher"),
        }

    @property
    def _length(self) -> int:
        return self.turns * (self.n_text + self.n_new)

    @property
    def n_ctx(self) -> int:
        # Random text can take more tokens when it comes back as a prompt: a quarter of room for that.
        return max(256, int(self.users * self._length * self.fits * 1.25))

    def limits(self, machine: object, cost: object) -> dict[str, float]:
        """What the later turns can find in a cache that forgets nothing."""
        new = [self.n_text for _ in range(1, self.turns)]
        total = [turn * (self.n_text + self.n_new) + self.n_text for turn in range(1, self.turns)]
        return {"prompt tokens cached": 100 * (1 - sum(new) / sum(total))}

    async def run(self, target: Target, prompts: Prompts) -> Results:
        texts = [""] * self.users
        times, prompt, cached = [], 0, 0
        for turn in range(self.turns):
            for user in range(self.users):
                texts[user] += prompts.text(self.n_text)
                answer = await target.generate(Request(max_tokens=self.n_new, prompt=texts[user]))
                texts[user] += answer.text
                if turn:
                    times.append(answer.ttft * 1000)
                    prompt += answer.prompt_tokens
                    cached += answer.cached_tokens
        results = {
            "TTFT p50, later turns": statistics.median(times),
            "TTFT p95, later turns": percentile(times, 95),
        }
        if prompt:
            results["prompt tokens cached"] = 100 * cached / prompt
        return results


@dataclass(frozen=True)
class CrowdedConversations(Conversations):
    id = "P7-crowded"
    title = "conversations of 4 users, interleaved; half of them fit the KV cache"

    fits: float = 0.5
