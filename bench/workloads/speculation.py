"""P10: answers that repeat their prompt, and answers that do not, with and without speculation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Answer, Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.workload import Metric, Results, Workload

_CODE = """```python
def collect(items, limit):
    result = []
    for item in items:
        if item > limit:
            result.append(item)
        else:
            result.append(limit)
    total = 0
    for item in result:
        total = total + item
    return total
```"""

_PASSAGE = (
    "The old lamp stands on the table near the window. The green door leads to the garden. "
    "The small dog sleeps under the chair. The boat waits at the river until the morning."
)

KINDS: dict[str, tuple[str, ...]] = {
    "code edit": (
        f"Rename the variable total to amount in this code:\n{_CODE}",
        f"Rename the function collect to gather in this code:\n{_CODE}",
        f"Rename the variable limit to bound:\n{_CODE}",
    ),
    "quote": (
        f"Repeat this text: {_PASSAGE}",
        f'Say "{_PASSAGE}"',
    ),
    "other text": (
        "Write a short story about a dog and a boat.",
        "What can you do?",
        "Tell me about the sea.",
    ),
}


@dataclass(frozen=True)
class Speculation(Workload):
    """Greedy, one stream. The embedded model is trained to edit and to repeat, so what it accepts means something."""

    id = "P10"
    title = "speculation on code edits, quotes and other text"
    models = ("embedded",)
    subject = "shimmy engine, speculation"
    contenders = (
        "shimmy engine, speculation",
        "shimmy engine, no speculation",
        "shimmy engine",
        "llama-server",
        "llama-server --spec-default",
        "llama-server ngram-simple",
    )
    tiny: ClassVar = {"max_tokens": 24, "repeats": 1}

    max_tokens: int = 192
    repeats: int = 3

    @property
    def metrics(self) -> dict[str, Metric]:
        speeds = {f"{kind}": Metric("tok/s", "higher") for kind in KINDS}
        return speeds | {f"{kind}, drafts accepted": Metric("%", "higher") for kind in KINDS}

    @property
    def n_ctx(self) -> int:
        return 2048

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """Of decoding token by token, which speculation is there to pass."""
        return {kind: cost.decode_limit(machine, 256) for kind in KINDS}

    def _request(self, kind: str, question: str) -> Request:
        # Other text goes on to max_tokens: the model's own answers are too short to time.
        messages = ({"role": "user", "content": question},)
        return Request(max_tokens=self.max_tokens, messages=messages, ignore_eos=kind == "other text")

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        await target.generate(self._request("other text", "Hello"))

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        for kind, questions in KINDS.items():
            answers: list[Answer] = []
            for _ in range(self.repeats):
                answers += [await target.generate(self._request(kind, question)) for question in questions]
            tokens = sum(answer.completion_tokens - 1 for answer in answers)
            results[kind] = tokens / sum(answer.ended - answer.started - answer.ttft for answer in answers)
            drafted = sum(answer.drafted or 0 for answer in answers)
            if drafted:
                results[f"{kind}, drafts accepted"] = 100 * sum(answer.accepted or 0 for answer in answers) / drafted
        return results
