"""How far do other batches and a cache hit move log-probabilities, and how many greedy answers do they change?

    python bench/noise.py [bench/models/0.6b-q4_k_m.gguf ...] --prompts 24

The reference is each prompt alone, without a cache. Off against off is the floor: the same sums in another order.
Without models: the embedded one, and bench/models/0.6b-q4_k_m.gguf where it is. Half of the prompts are questions, half
are random words, of which no model is sure. Prints a table.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

from prompts import Prompts
from shimmy import _core, demo_model_path
from workloads.copied_texts import CopiedTexts

LIKELY = -12.0
"""Nats; of less likely tokens nothing is asked."""
N_TOP = 20
N_TOKENS = 16
STORED = Path(__file__).parent / "models" / "0.6b-q4_k_m.gguf"

Scores: TypeAlias = "Sequence[tuple[float, Sequence[tuple[int, float]]]]"
"""Of each token of a greedy answer: its log-probability, and (token, log-probability) of the likeliest, best first."""


@dataclass
class Noise:
    """How far the log-probabilities of pairs of greedy answers differ, up to where their tokens part. In nats."""

    differences: list[float] = field(default_factory=list)
    n_answers: int = 0
    gaps: list[float] = field(default_factory=list)
    """For each answer that changed: by how much the first answer's likeliest token there was ahead of its second."""

    def compare(self, one: Scores, other: Scores) -> None:
        self.n_answers += 1
        for (_, top), (_, other_top) in zip(one, other, strict=False):
            theirs = dict(other_top)
            for token, value in top:
                if max(value, theirs.get(token, LIKELY)) > LIKELY and token in theirs:
                    self.differences.append(abs(value - theirs[token]))
            if top[0][0] != other_top[0][0]:
                self.gaps.append(top[0][1] - top[1][1])
                return

    @property
    def most(self) -> float:
        return max(self.differences)

    @property
    def rms(self) -> float:
        """Root of the mean square: the size of a usual difference, less a matter of chance than the largest."""
        return math.sqrt(sum(value * value for value in self.differences) / len(self.differences))

    def quantile(self, share: float) -> float:
        return sorted(self.differences)[min(int(share * len(self.differences)), len(self.differences) - 1)]


@contextmanager
def open_engine(model: _core.Model, *, prefix_cache: bool, n_batch: int = 512) -> Iterator[_core.Engine]:
    context = _core.ContextParams(n_ctx=4096, n_batch=n_batch, n_ubatch=n_batch)
    params = _core.EngineParams(
        max_num_seqs=8, prefix_cache=prefix_cache, max_draft=0, adaptive_threads=False, prefill_budget=n_batch
    )
    engine = _core.Engine(model, context, params)
    try:
        yield engine
    finally:
        engine.shutdown()


def ask(engine: _core.Engine, prompts: list[list[int]], n_tokens: int = N_TOKENS) -> list[Scores]:
    """Greedy answers to all prompts at once."""
    greedy = _core.SamplingParams(temperature=0.0)
    scores: dict[int, list[tuple[float, list[tuple[int, float]]]]] = {}
    for prompt in prompts:
        scores[engine.add_request(prompt, greedy, max_tokens=n_tokens, logprobs=N_TOP, ignore_eos=True)] = []
    while engine.step():
        for output in engine.wait(0.0):
            scores[output.id] += output.logprobs
    for output in engine.wait(0.0):
        scores[output.id] += output.logprobs
    return list(scores.values())


def alone(engine: _core.Engine, prompts: list[list[int]]) -> list[Scores]:
    return [ask(engine, [prompt])[0] for prompt in prompts]


def again(engine: _core.Engine, prompts: list[list[int]]) -> list[Scores]:
    return [[ask(engine, [prompt]), ask(engine, [prompt])][1][0] for prompt in prompts]


def continued(engine: _core.Engine, prompts: list[list[int]]) -> list[Scores]:
    """From the middle of each prompt on."""
    found = []
    for prompt in prompts:
        ask(engine, [prompt[: len(prompt) // 2]], 1)
        found += ask(engine, [prompt])
    return found


def batched_again(engine: _core.Engine, prompts: list[list[int]]) -> list[Scores]:
    ask(engine, prompts)
    return ask(engine, prompts)


Way = Callable[[_core.Engine, list[list[int]]], "list[Scores]"]
WAYS: dict[str, tuple[bool, int, Way]] = {
    "off, 8 at once": (False, 512, ask),
    "off, chunks of 64": (False, 64, alone),
    "off, chunks of 64, 8 at once": (False, 64, ask),
    "on, the same prompt again": (True, 512, again),
    "on, from the middle of a prompt": (True, 512, continued),
    "on, the same prompts again, 8 at once": (True, 512, batched_again),
}
"""What is compared with each prompt alone and no cache: with a cache, tokens per chunk, how they are asked."""


def prompts_of(path: Path, n: int) -> list[list[int]]:
    tokenizer = _core.Tokenizer(_core.Model(path, _core.ModelParams(vocab_only=True)))
    words = Prompts(path, "noise")
    turn = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
    questions = [tokenizer.encode(turn.format(question.text)) for question in CopiedTexts("noise").others(n // 2)]
    return [*questions, *(words.tokens(40 + 20 * i) for i in range(n - len(questions)))]


def measure(path: Path, n_prompts: int) -> None:
    model = _core.Model(path)
    prompts = prompts_of(path, n_prompts)
    with open_engine(model, prefix_cache=False) as engine:
        reference = alone(engine, prompts)
    for name, (prefix_cache, n_batch, way) in WAYS.items():
        noise = Noise()
        with open_engine(model, prefix_cache=prefix_cache, n_batch=n_batch) as engine:
            for one, other in zip(reference, way(engine, prompts), strict=True):
                noise.compare(one, other)
        numbers = (noise.quantile(0.5), noise.rms, noise.quantile(0.99), noise.most)
        print(
            f"| {path.stem} | {name} | {len(noise.differences)} | "
            + " | ".join(f"{value:.3f}" for value in numbers)
            + f" | {len(noise.gaps)} of {noise.n_answers} | {max(noise.gaps, default=0):.3f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path, help="GGUF files")
    parser.add_argument("--prompts", type=int, default=24)
    args = parser.parse_args()
    columns = (
        "model",
        "against alone, off",
        "compared",
        "median",
        "rms",
        "p99",
        "most",
        "answers changed",
        "by a gap of",
    )
    print("| " + " | ".join(columns) + " |")
    print("|---" * len(columns) + "|")
    for path in args.models or [demo_model_path(), *([STORED] if STORED.exists() else [])]:
        measure(path, args.prompts)


if __name__ == "__main__":
    main()
