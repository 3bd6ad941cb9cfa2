"""How much speed is left when another process keeps a core busy? Our engine, and llama-bench with two threads and one.

    python bench/contention.py bench/models/0.6b-q4_k_m.gguf --rounds 5 --cpus 2

Decoding of one stream, each contender quiet and beside a spinning process on the same cores, interleaved. Prints
medians and the median of the rounds' busy / quiet ratios with its 95 % bootstrap interval; raw numbers go to
bench/results/. With one busy process beside n threads on n cores, a fair share is (n - 1 + 0.5) / n of the cores.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.table import Table

from contenders.llama_bench import LlamaBenchKernels
from contenders.shimmy_engine import ShimmyEngine
from contenders.target import Request, Setup
from limits import cpus
from peers import build_peers
from process import Process
from prompts import Prompts
from ratios import estimate, paired_ratios
from rounds import turn_order
from table import shown

OURS = "shimmy engine"


@contextmanager
def spinner() -> Iterator[None]:
    """A process that does nothing, as fast as it can."""
    command = [sys.executable, "-c", "while True: pass"]
    with tempfile.TemporaryDirectory() as folder, Process(command, Path(folder) / "log"):
        time.sleep(0.2)  # until it spins
        yield


async def decode_ours(model: Path, n_gen: int) -> float:
    """Tokens per second of our engine in this process, with the threads that it chooses."""
    with tempfile.TemporaryDirectory() as folder:
        setup = Setup(model=model, n_ctx=n_gen + 256, threads=0, log=Path(folder) / "log", drafts=False)
        prompts = Prompts(model, "contention")
        async with ShimmyEngine().open(setup) as target:
            await target.generate(Request(max_tokens=8, prompt=prompts.tokens(8)))
            answer = await target.generate(Request(max_tokens=n_gen + 1, prompt=prompts.tokens(8)))
            if not answer.decode_seconds:
                raise RuntimeError("the engine tells no decode_seconds")
            return (answer.completion_tokens - 1) / answer.decode_seconds


def measure(name: str, model: Path, n_gen: int, program: Path) -> float:
    """One run in a fresh process. Raises CalledProcessError or LlamaBenchError."""
    if name == OURS:
        command = [sys.executable, __file__, str(model), "--one", "--n-gen", str(n_gen)]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        return float(done.stdout)
    threads = int(name.rpartition(" ")[2])
    return asyncio.run(LlamaBenchKernels(program, model, threads).tokens_per_second(n_gen=n_gen))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--n-gen", type=int, default=128)
    parser.add_argument("--cpus", type=int, help="use only so many cores, for all (Linux); default: those there are")
    parser.add_argument("--peer-dir", type=Path, help="folder with llama-bench; default: build it")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(asyncio.run(decode_ours(options.model, options.n_gen)))
        return
    if options.rounds < 1 or options.n_gen < 1:
        parser.error("--rounds and --n-gen must be 1 or more")
    if not options.model.is_file():
        parser.error(f"{options.model} is no file")
    if options.cpus is not None:
        if not hasattr(os, "sched_setaffinity") or not 1 <= options.cpus <= cpus():
            parser.error(f"--cpus {options.cpus}: this process may use 1 to {cpus()} cores, and only Linux can choose")
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cpus])
    folder = options.peer_dir or build_peers(["llama-bench"])["llama-bench"].parent

    # So that ending this process ends the spinner.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = [OURS, *(f"llama-bench -t {threads}" for threads in sorted({cpus(), 1}, reverse=True))]
    runs: dict[str, dict[str, list[float]]] = {name: {"quiet": [], "busy": []} for name in names}
    for number in range(options.rounds):
        for name in turn_order(names, number):
            for state in ("quiet", "busy") if number % 2 == 0 else ("busy", "quiet"):
                if state == "busy":
                    with spinner():
                        speed = measure(name, options.model, options.n_gen, folder / "llama-bench")
                else:
                    speed = measure(name, options.model, options.n_gen, folder / "llama-bench")
                runs[name][state].append(speed)
                print(f"round {number + 1}, {name}, {state}: {speed:.1f} tok/s", file=sys.stderr)

    table = Table(title=f"{options.model.stem}, decode {options.n_gen}, {cpus()} CPUs, tok/s", title_justify="left")
    for head in ("contender", "quiet [95 %]", "beside a busy process [95 %]", "busy / quiet [95 %]"):
        table.add_column(head)
    for name, states in runs.items():
        ratio = estimate(paired_ratios(states["busy"], states["quiet"]))
        table.add_row(name, shown(estimate(states["quiet"])), shown(estimate(states["busy"])), shown(ratio, 3))
    Console(width=None if sys.stdout.isatty() else 140).print(table)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    raw = {"model": options.model.name, "cpus": cpus(), "n_gen": options.n_gen, "runs": runs}
    (results / f"contention-{options.model.stem}.json").write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
