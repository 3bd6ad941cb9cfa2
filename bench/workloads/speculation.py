"""P10: answers that repeat their prompt, and answers that do not, with and without speculation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from contenders.target import Answer, Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.copied_texts import CopiedTexts, Question
from workloads.workload import Metric, Results, Workload

KINDS = ("code edit", "quote", "other text")


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
    tiny: ClassVar = {"max_tokens": 24, "edits": 2, "quotes": 2, "others": 2}

    max_tokens: int = 192
    edits: int = 60
    quotes: int = 30
    others: int = 20

    @property
    def metrics(self) -> dict[str, Metric]:
        speeds = {kind: Metric("tok/s", "higher") for kind in KINDS}
        drafts = {f"{kind}, drafts accepted": Metric("%", "higher") for kind in KINDS}
        return speeds | drafts | {f"{kind}, right": Metric("%", "higher") for kind in KINDS[:2]}

    @property
    def n_ctx(self) -> int:
        return 2048

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """Of decoding token by token, which speculation is there to pass."""
        return {kind: cost.decode_limit(machine, 256) for kind in KINDS}

    def _request(self, question: Question) -> Request:
        messages = ({"role": "user", "content": question.text},)
        return Request(max_tokens=self.max_tokens, messages=messages, ignore_eos=False)

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        for question in CopiedTexts("warm-up").edits(10):
            await target.generate(self._request(question))

    async def run(self, target: Target, prompts: Prompts) -> Results:
        texts = CopiedTexts(prompts.text(8))
        questions = (texts.edits(self.edits), texts.quotes(self.quotes), texts.others(self.others))
        results: Results = {}
        for kind, asked in zip(KINDS, questions, strict=True):
            answers: list[Answer] = [await target.generate(self._request(question)) for question in asked]
            tokens = sum(answer.completion_tokens - 1 for answer in answers)
            results[kind] = tokens / sum(answer.ended - answer.started - answer.ttft for answer in answers)
            drafted = sum(answer.drafted or 0 for answer in answers)
            if drafted:
                results[f"{kind}, drafts accepted"] = 100 * sum(answer.accepted or 0 for answer in answers) / drafted
            if kind != "other text":
                right = sum(answer.text == question.answer for question, answer in zip(asked, answers, strict=True))
                results[f"{kind}, right"] = 100 * right / len(asked)
        return results
