"""P9: answers that must follow a JSON schema."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

import jsonschema

from contenders.target import Answer, Request, Target
from limits import Machine, ModelCost
from prompts import Prompts
from workloads.schemas import SCHEMAS
from workloads.workload import Metric, Results, Workload, at_once, completion_tokens, makespan


def is_valid(text: str, schema: dict[str, Any]) -> bool:
    """Whether `text` is one JSON document that follows `schema`, by an independent validator."""
    try:
        jsonschema.validate(json.loads(text), schema)
    except (ValueError, jsonschema.ValidationError):
        return False
    return True


@dataclass(frozen=True)
class Structured(Workload):
    id = "P9"
    title = "JSON schema"
    models = ("embedded",)
    contenders = ("shimmy", "shimmy engine", "llama-server", "llama-server tuned", "llama-cpp-python", "xllamacpp")
    tiny: ClassVar = {"streams": (1, 2), "documents": 1, "max_tokens": 48}

    streams: tuple[int, ...] = (1, 4)
    documents: int = 3
    """Of each stream and schema."""
    max_tokens: int = 1024
    """Enough for every document of these schemas, whose strings, numbers and arrays are bounded, to end."""

    @property
    def metrics(self) -> dict[str, Metric]:
        kinds = {
            "throughput": Metric("tok/s", "higher"),
            "document": Metric("ms", "lower"),
            "valid": Metric("%", "higher"),
        }
        return {
            f"{kind}, {name}, c={c}": metric for kind, metric in kinds.items() for name in SCHEMAS for c in self.streams
        }

    @property
    def n_ctx(self) -> int:
        return (max(self.streams) + 1) * (self.max_tokens + 256)

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """Of decoding token by token; tokens that the schema forces need no step of their own."""
        return {
            f"throughput, {name}, c={c}": cost.decode_limit(machine, 128, c) for name in SCHEMAS for c in self.streams
        }

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        for name in SCHEMAS:
            await target.generate(self._request(name, 0))

    def _request(self, name: str, number: int) -> Request:
        schema, question = SCHEMAS[name]
        messages = ({"role": "user", "content": f"{question} Number {number}."},)
        return Request(max_tokens=self.max_tokens, messages=messages, schema=schema, ignore_eos=False)

    async def run(self, target: Target, prompts: Prompts) -> Results:
        results: Results = {}
        for name, (schema, _) in SCHEMAS.items():
            for c in self.streams:
                answers: list[Answer] = []
                seconds = 0.0
                for round_number in range(self.documents):
                    batch = await at_once(target, [self._request(name, 1 + round_number * c + i) for i in range(c)])
                    answers += batch
                    seconds += makespan(batch)
                valid = sum(is_valid(answer.text, schema) for answer in answers)
                results[f"throughput, {name}, c={c}"] = completion_tokens(answers) / seconds
                results[f"document, {name}, c={c}"] = 1000 * sum(answer.seconds for answer in answers) / len(answers)
                results[f"valid, {name}, c={c}"] = 100 * valid / len(answers)
        return results


@dataclass(frozen=True)
class ManyStructured(Structured):
    """For GPUs: what the grammars of many streams cost beside a step that is short. Random weights fill the schemas'
    strings with noise, which says nothing about what a model would want to write, and the longer documents do not end.
    """

    id = "P9-many"
    title = "JSON schema, 32 streams"
    models = ("0.6b-q4_k_m",)
    contenders = ("shimmy", "shimmy --no-kv-unified", "llama-server 64 slots")
    subject = "shimmy"

    streams: tuple[int, ...] = (32,)
    documents: int = 1
    max_tokens: int = 512

    @property
    def n_ctx(self) -> int:
        """For 64 sequences, as those who divide the context between them have."""
        return 65 * (self.max_tokens + 256)
