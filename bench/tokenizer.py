"""Seconds per MB of text, for every pre-tokenizer and long runs of every kind of character.

    python bench/tokenizer.py --sizes 10000 100000 1000000 10000000 --limit 10 [--only llama-bpe ...]

Small vocabularies with merges for the runs, so that they are cut and merged as in real ones. Each encoder has a process
of its own: one that crashes is a row that says so. A run is not tried at larger sizes once it took more than --limit
seconds. Prints the slowest runs, the slowest of each size, and how seconds per MB grow with the size; needs `gguf`.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

from shimmy import _core

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from vocabularies import ENCODERS, RUNS, run_of, write_vocabulary

TARGET = 1.0
"""Seconds per MB."""


@dataclass(frozen=True)
class Run:
    """One text: `size` characters of a pattern, `seconds` to make `tokens` of its `megabytes`."""

    encoder: str
    pattern: str
    size: int
    megabytes: float
    seconds: float
    tokens: int

    @property
    def cost(self) -> float:
        return self.seconds / self.megabytes


def measure(encoder: str, sizes: list[int], limit: float) -> list[Run]:
    """All runs of one encoder, in the process of the caller."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_vocabulary(Path(folder) / f"{encoder}.gguf", encoder)
        tokenizer = _core.Tokenizer(_core.Model(path, _core.ModelParams(vocab_only=True)))
    runs = []
    for pattern in RUNS:
        tokenizer.encode(run_of(pattern, 1000))
        for size in sorted(sizes):
            text = run_of(pattern, size)
            begin = time.process_time()
            tokens = len(tokenizer.encode(text))
            seconds = time.process_time() - begin
            runs.append(Run(encoder, pattern, size, len(text.encode()) / 1e6, seconds, tokens))
            if seconds > limit:
                break
    return runs


def measure_apart(encoder: str, sizes: list[int], limit: float) -> list[Run]:
    """The same in a process of its own. Raises BrokenProcessPool when that crashes."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(measure, encoder, sizes, limit).result()


def print_table(runs: list[Run], n_rows: int) -> None:
    print("| encoder | run | characters | MB | s | s per MB |")
    print("|---|---|---|---|---|---|")
    for run in sorted(runs, key=lambda run: run.cost, reverse=True)[:n_rows]:
        what = f"`{run.pattern!r}`"
        print(f"| {run.encoder} | {what} | {run.size:,} | {run.megabytes:.2f} | {run.seconds:.3f} | {run.cost:.3f} |")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", nargs="+", type=int, default=[10_000, 100_000, 1_000_000], help="characters")
    parser.add_argument("--limit", type=float, default=10.0, help="seconds of a run that ends its row")
    parser.add_argument("--only", nargs="+", choices=ENCODERS, default=ENCODERS, metavar="ENCODER")
    parser.add_argument("--rows", type=int, default=12)
    args = parser.parse_args()
    runs: list[Run] = []
    crashed = []
    for encoder in args.only:
        try:
            runs += measure_apart(encoder, args.sizes, args.limit)
        except BrokenProcessPool:
            crashed.append(encoder)
    print_table(runs, args.rows)
    print()
    for size in sorted(args.sizes):
        costs = sorted(run.cost for run in runs if run.size == size)
        if costs:
            slow = sum(cost > TARGET for cost in costs)
            print(
                f"{size:,} characters: median {costs[len(costs) // 2]:.3f}, worst {costs[-1]:.3f} s per MB; "
                f"{slow} of {len(costs)} runs above {TARGET:g}"
            )
    print(f"crashed: {', '.join(crashed) or 'none'}")
    return 1 if crashed else 0


if __name__ == "__main__":
    sys.exit(main())
