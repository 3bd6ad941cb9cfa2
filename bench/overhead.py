"""Is our engine as fast as the kernels under it? Interleaved runs of llama-bench and our engine on the same model.

    python bench/overhead.py bench/models/0.6b-q4_k_m.gguf --rounds 5

Single stream: prefill of 512 tokens and decoding of 128, from an empty cache. llama-bench computes without sampling or
detokenising; ours is a whole request, greedy. Prints medians, the median of the rounds' ratios (ours / llama-bench) and
its 95 % bootstrap interval; raw numbers go to bench/results/.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
from pathlib import Path

from peers import build_peers
from ratios import interval

PREFILL, DECODE = 512, 128


def run_llama_bench(program: Path, model: Path, threads: int) -> dict[str, float]:
    """Tokens per second of one llama-bench run (it warms up by itself)."""
    command = [str(program), "-m", str(model), "-p", str(PREFILL), "-n", str(DECODE), "-t", str(threads)]
    done = subprocess.run([*command, "-r", "1", "-o", "json"], capture_output=True, text=True, check=True)
    rows = json.loads(done.stdout)
    return {
        "prefill": next(row["avg_ts"] for row in rows if row["n_prompt"]),
        "decode": next(row["avg_ts"] for row in rows if row["n_gen"]),
    }


def run_ours(model: Path, threads: int, poll: int | None) -> dict[str, float]:
    """Tokens per second of our engine in a fresh process."""
    command = [sys.executable, __file__, str(model), "--one", "--threads", str(threads)]
    if poll is not None:
        command += ["--poll", str(poll)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def measure_ours(model: Path, threads: int, poll: int | None) -> dict[str, float]:
    """One warm-up and one measured request of each kind, in this process."""
    from shimmy import LLM, LoadSpec

    context = {"n_ctx": 2048, "n_threads": threads, **({} if poll is None else {"poll": poll})}
    with LLM(LoadSpec(name="bench", path=str(model), context=context, engine={"prefix_cache": False})) as llm:
        draw = random.Random(1)
        n_vocab = llm.info.n_vocab

        def request(n_prompt: int, n_new: int):  # type: ignore[no-untyped-def]
            tokens = [draw.randrange(n_vocab) for _ in range(n_prompt)]
            options = {"max_tokens": n_new, "temperature": 0, "ignore_eos": True, "speculation": False}
            return llm.generate(tokens, **options).usage

        request(PREFILL, 1)
        prefill = request(PREFILL, 1)
        request(1, 8)
        before = llm.stats()
        decode = request(1, DECODE + 1)
        after = llm.stats()
        steps = after.step_seconds - before.step_seconds
        return {
            "prefill": PREFILL / prefill.prefill_seconds,
            "decode": DECODE / decode.decode_seconds,
            "outside_decode": 1 - (after.decode_seconds - before.decode_seconds) / steps,
        }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--poll", type=int, help="polling level of our threads, 0 to 100")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_ours(options.model, options.threads, options.poll)))
        return

    program = build_peers(["llama-bench"])["llama-bench"]
    theirs: list[dict[str, float]] = []
    ours: list[dict[str, float]] = []
    for round_number in range(options.rounds):
        pair = [lambda: theirs.append(run_llama_bench(program, options.model, options.threads))]
        pair.append(lambda: ours.append(run_ours(options.model, options.threads, options.poll)))
        for run in pair if round_number % 2 == 0 else reversed(pair):
            run()
        print(f"round {round_number + 1}: llama-bench {theirs[-1]}, shimmy {ours[-1]}", file=sys.stderr)

    print(f"| {options.model.stem} | llama-bench tok/s | shimmy tok/s | ratio [95 %] |\n|---|---|---|---|")
    for kind, label in (("prefill", f"prefill {PREFILL}"), ("decode", f"decode {DECODE}")):
        ratios = [mine[kind] / peer[kind] for mine, peer in zip(ours, theirs, strict=True)]
        low, high = interval(ratios)
        medians = [statistics.median(run[kind] for run in runs) for runs in (theirs, ours)]
        ratio = statistics.median(ratios)
        print(f"| {label} | {medians[0]:.1f} | {medians[1]:.1f} | {ratio:.3f} [{low:.3f}, {high:.3f}] |")
    share = statistics.median(run["outside_decode"] for run in ours)
    print(f"\nStep time outside llama_decode while decoding: {share:.2%}")

    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    raw = {"model": options.model.name, "threads": options.threads, "llama_bench": theirs, "shimmy": ours}
    (results / f"overhead-{options.model.stem}.json").write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
