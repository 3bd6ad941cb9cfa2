"""What does tuning give over llama-bench's defaults? `shimmy tune`'s search, then interleaved runs of both.

    python bench/tune.py bench/models/0.6b-q4_k_m.gguf --rounds 3

Prompt of 512 tokens and decoding of 64, from an empty cache and behind 4,096 tokens, each side in a fresh process:
whole greedy requests of our engine with the settings that were found, without speculation, and llama-bench with none
but the sizes. Prints medians, the median of the rounds' ratios (ours / llama-bench) and its 95 % bootstrap interval;
raw numbers, those of the search too, go to bench/results/. Nothing is put into the user's store.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

from limits import cpus
from peers import build_peers
from ratios import estimate, paired_ratios
from table import shown

PROMPT, DECODE = 512, 64


def tests(depth: int) -> list[str]:
    return [f"{kind} @ {at}" for at in (0, depth) for kind in (f"prefill {PROMPT}", f"decode {DECODE}")]


def run_llama_bench(program: Path, model: Path, depth: int) -> dict[str, float]:
    """Tokens per second of one llama-bench run at its defaults (it warms up by itself)."""
    sizes = ["-p", str(PROMPT), "-n", str(DECODE), "-d", f"0,{depth}"]
    done = subprocess.run(
        [str(program), "-m", str(model), *sizes, "-r", "1", "-o", "json"], capture_output=True, text=True, check=True
    )
    rows = json.loads(done.stdout)
    named = {(bool(row["n_prompt"]), row["n_depth"]): float(row["avg_ts"]) for row in rows}
    return dict(zip(tests(depth), [named[kind, at] for at in (0, depth) for kind in (True, False)], strict=True))


def run_ours(model: Path, depth: int, setup: dict[str, Any]) -> dict[str, float]:
    """Tokens per second of our engine in a fresh process."""
    command = [sys.executable, __file__, str(model), "--depth", str(depth), "--one", json.dumps(setup)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return dict(json.loads(done.stdout))


def measure_ours(model: Path, depth: int, setup: dict[str, Any]) -> dict[str, float]:
    """One warm-up and one measured request of each kind, in this process. The tokens before the deep ones come from the
    prefix cache, so only what is behind them is timed.
    """
    import msgspec

    from shimmy import LLM, LoadSpec
    from shimmy.tuning.apply import with_setup
    from shimmy.tuning.setup import Setup

    spec = LoadSpec(
        name="bench", path=str(model), context={"n_ctx": depth + 2048}, engine={"max_draft": 0, "cache_ram_mib": 0}
    )
    with LLM(with_setup(spec, msgspec.convert(setup, Setup))) as llm:
        draw = random.Random(1)

        def tokens(n: int) -> list[int]:
            return [draw.randrange(llm.info.n_vocab) for _ in range(n)]

        def rates(before: list[int]) -> tuple[float, float]:
            usage = llm.generate([*before, *tokens(PROMPT)], max_tokens=1, temperature=0, ignore_eos=True).usage
            prefill = (usage.prompt_tokens - usage.cached_tokens) / usage.prefill_seconds
            prompt = [*before, *tokens(1)]
            usage = llm.generate(prompt, max_tokens=DECODE + 1, temperature=0, ignore_eos=True).usage
            return prefill, DECODE / usage.decode_seconds

        rates([])
        short = rates([])
        prefix = tokens(depth)
        llm.generate(prefix, max_tokens=8, temperature=0, ignore_eos=True)
        return dict(zip(tests(depth), (*short, *rates(prefix)), strict=True))


def search(model: Path, depth: int, seconds: float, *, long: bool) -> dict[str, Any]:
    """The winner, as JSON, found in a process of its own."""
    command = [sys.executable, __file__, str(model), "--depth", str(depth), "--seconds", str(seconds), "--search"]
    command += ["--long"] if long else []
    return dict(json.loads(subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout))


def print_winner(model: Path, depth: int, seconds: float, *, long: bool) -> None:
    import msgspec

    from shimmy import LoadSpec
    from shimmy.tuning.tuner import tune

    winner = tune(LoadSpec(name=model.stem, path=str(model)), seconds=seconds, depth=depth, long=long)
    print(msgspec.json.encode(winner).decode())


def compare(model: Path, program: Path, options: argparse.Namespace) -> None:
    winner = search(model, options.depth, options.seconds, long=options.long)
    setup = winner["setup"]
    print(f"{model.stem}: {setup} in {winner['seconds']} s, others had {winner['busy']:.0%}", file=sys.stderr)
    for trial in winner["trials"]:
        gains = {name: gain["median"] for name, gain in trial.get("gains", {}).items()}
        told = trial["outcome"], trial.get("reason", ""), trial.get("rounds", 0), gains
        print(f"  {trial['group']}: {trial['name']}:", *told, file=sys.stderr)
    runs: dict[str, list[dict[str, float]]] = {"llama-bench": [], "tuned": []}
    for number in range(options.rounds):
        pair = [
            lambda: runs["llama-bench"].append(run_llama_bench(program, model, options.depth)),
            lambda: runs["tuned"].append(run_ours(model, options.depth, setup)),
        ]
        for run in pair if number % 2 == 0 else reversed(pair):
            run()
        print(f"round {number + 1}: {runs['llama-bench'][-1]}, tuned {runs['tuned'][-1]}", file=sys.stderr)

    print(
        f"| {model.stem}: {setup or 'defaults'} | llama-bench tok/s | tuned tok/s | ratio [95 %] |\n|---|---|---|---|"
    )
    for test in tests(options.depth):
        theirs, ours = ([run[test] for run in runs[name]] for name in ("llama-bench", "tuned"))
        medians = " | ".join(f"{statistics.median(values):.1f}" for values in (theirs, ours))
        print(f"| {test} | {medians} | {shown(estimate(paired_ratios(ours, theirs)), 3)} |", flush=True)
    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    raw = {"model": model.name, "cpus": cpus(), "depth": options.depth, "winner": winner, "runs": runs}
    (results / f"tune{'-long' if options.long else ''}-{model.stem}.json").write_text(json.dumps(raw, indent=1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--depth", type=int, default=4096)
    parser.add_argument("--seconds", type=float, default=45.0, help="for the search")
    parser.add_argument("--long", action="store_true", help="let the search count only speed at depth")
    parser.add_argument("--peer-dir", type=Path, help="folder with llama-bench; default: build it")
    parser.add_argument("--one", type=json.loads, help=argparse.SUPPRESS)
    parser.add_argument("--search", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one is not None:
        print(json.dumps(measure_ours(options.models[0], options.depth, options.one)))
        return
    if options.search:
        print_winner(options.models[0], options.depth, options.seconds, long=options.long)
        return
    if options.rounds < 1 or options.depth < 1:
        parser.error("--rounds and --depth must be 1 or more")
    missing = [str(model) for model in options.models if not model.is_file()]
    if missing:
        parser.error(f"no file: {', '.join(missing)}")
    program = (options.peer_dir or build_peers(["llama-bench"])["llama-bench"].parent) / "llama-bench"
    for model in options.models:
        compare(model, program, options)


if __name__ == "__main__":
    main()
