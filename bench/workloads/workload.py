"""What a workload is: what it is run on, what it measures and how it is one turn of one contender."""

from __future__ import annotations

import asyncio
import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from contenders.target import Answer, Kernels, NotSupportedError, OnToken, Request, Setup, Target
from limits import Machine, ModelCost
from prompts import Prompts

Results = dict[str, float]
"""Metric -> value of one turn."""


@dataclass(frozen=True)
class Metric:
    """How to read one number."""

    unit: str
    better: Literal["higher", "lower"]


EVERYONE = (
    "shimmy",
    "llama-server",
    "llama-server tuned",
    "llama-cpp-python",
    "llama-cpp-python, in turn",
    "xllamacpp",
)
"""The servers."""


@dataclass(frozen=True)
class Workload(ABC):
    """One row of the benchmark matrix; its fields are its sizes. A turn is: start the contender, warm it up, measure
    it, end it. All contenders of a round get the same prompts, and each round new ones."""

    id: ClassVar[str]
    title: ClassVar[str]
    models: ClassVar[tuple[str, ...]] = ("0.6b-q4_k_m",)
    """Names of files below bench/models, or "embedded"."""
    subject: ClassVar[str] = "shimmy"
    """The contender whose ratio to each other one is reported."""
    contenders: ClassVar[tuple[str, ...]] = EVERYONE
    tiny: ClassVar[Mapping[str, Any]] = {}
    """Sizes for a smoke run."""

    def shrunk(self) -> Workload:
        """The smoke run's sizes."""
        return dataclasses.replace(self, **self.tiny)

    @property
    @abstractmethod
    def metrics(self) -> dict[str, Metric]:
        """Every metric that `run` may return, in the order to show them."""

    @property
    @abstractmethod
    def n_ctx(self) -> int:
        """KV cells that every contender gets."""

    def limits(self, machine: Machine, cost: ModelCost) -> dict[str, float]:
        """The machine's own limit of a metric, where there is one."""
        return {}

    def setup(self, setup: Setup) -> Setup:
        """What to start contenders with."""
        return dataclasses.replace(setup, n_ctx=self.n_ctx)

    async def warm_up(self, target: Target, prompts: Prompts) -> None:
        """What runs before the measurement and is discarded. Raises NotSupportedError for what the contender lacks."""
        await target.generate(Request(max_tokens=8, prompt=prompts.text(32)))

    @abstractmethod
    async def run(self, target: Target, prompts: Prompts) -> Results:
        """Measure once. Raises NotSupportedError."""

    async def run_kernels(self, kernels: Kernels, prompts: Prompts) -> Results:
        """The same for a contender that only computes."""
        raise NotSupportedError(f"{kernels.name} answers no requests")


async def at_once(target: Target, requests: list[Request], on_token: OnToken | None = None) -> list[Answer]:
    """Ask all at the same time."""
    return list(await asyncio.gather(*(target.generate(request, on_token) for request in requests)))


def makespan(answers: list[Answer]) -> float:
    """Seconds from the first question to the last answer's end."""
    return max(answer.ended for answer in answers) - min(answer.started for answer in answers)


def completion_tokens(answers: list[Answer]) -> int:
    return sum(answer.completion_tokens for answer in answers)


def copies(files: tuple[Path, ...], folder: Path, count: int) -> tuple[Path, ...]:
    """`count` files of different names in `folder`, copies of `files` in turn."""
    made = []
    for number in range(count):
        source = files[number % len(files)]
        made.append(folder / f"{source.stem}-{number}{source.suffix}")
        made[-1].write_bytes(source.read_bytes())
    return tuple(made)
