"""Is our engine as fast as the kernels under it? Interleaved runs of llama-bench and our engine on the same model.

    python bench/overhead.py bench/models/0.6b-q4_k_m.gguf --rounds 5
    python bench/overhead.py bench/models/8b-q4_k_m.gguf --prefill 128 512 4096 --repeats 10   # on a GPU

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

DECODE = 128
Rates = dict[str, float]  # by kind of work, tokens per second


def run_llama_bench(program: Path, options: argparse.Namespace) -> Rates:
    """Of one llama-bench run (it warms up by itself), means over the repetitions."""
    command = [str(program), "-m", str(options.model), "-p", ",".join(map(str, options.prefill)), "-n", str(DECODE)]
    command += ["-t", str(options.threads), "-r", str(options.repeats), "-o", "json"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return {
        f"prefill {row['n_prompt']}" if row["n_prompt"] else f"decode {row['n_gen']}": row["avg_ts"]
        for row in json.loads(done.stdout)
    }


def run_ours(options: argparse.Namespace) -> Rates:
    """Of our engine in a fresh process."""
    command = [sys.executable, __file__, str(options.model), "--one", "--threads", str(options.threads)]
    command += ["--repeats", str(options.repeats), "--prefill", *map(str, options.prefill)]
    if options.poll is not None:
        command += ["--poll", str(options.poll)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)


def measure_ours(options: argparse.Namespace) -> Rates:
    """A warm-up and `repeats` measured requests of each kind, in this process: means of tokens per second, as
    llama-bench reports them, and the share of a decoding step outside of llama_decode."""
    from shimmy import LLM, LoadSpec

    context = {"n_ctx": max(2048, *options.prefill) + DECODE, "n_threads": options.threads}
    if options.poll is not None:
        context["poll"] = options.poll
    with LLM(LoadSpec(name="bench", path=str(options.model), context=context, engine={"prefix_cache": False})) as llm:
        draw = random.Random(1)
        n_vocab = llm.info.n_vocab

        def request(n_prompt: int, n_new: int):  # type: ignore[no-untyped-def]
            tokens = [draw.randrange(n_vocab) for _ in range(n_prompt)]
            asked = {"max_tokens": n_new, "temperature": 0, "ignore_eos": True, "speculation": False}
            return llm.generate(tokens, **asked).usage

        rates: Rates = {}
        for length in options.prefill:
            request(length, 1)
            taken = [request(length, 1).prefill_seconds for _ in range(options.repeats)]
            rates[f"prefill {length}"] = statistics.fmean(length / seconds for seconds in taken)
        request(1, 8)
        before = llm.stats()
        taken = [request(1, DECODE + 1).decode_seconds for _ in range(options.repeats)]
        after = llm.stats()
        rates[f"decode {DECODE}"] = statistics.fmean(DECODE / seconds for seconds in taken)
        steps = after.step_seconds - before.step_seconds
        return rates | {"outside_decode": 1 - (after.decode_seconds - before.decode_seconds) / steps}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prefill", type=int, nargs="+", default=[512], metavar="TOKENS", help="lengths of prompts")
    parser.add_argument("--repeats", type=int, default=1, help="measured requests of each kind in one process")
    parser.add_argument("--peer-dir", type=Path, help="folder with llama-bench; default: build it")
    parser.add_argument("--poll", type=int, help="polling level of our threads, 0 to 100")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        print(json.dumps(measure_ours(options)))
        return

    program = options.peer_dir / "llama-bench" if options.peer_dir else build_peers(["llama-bench"])["llama-bench"]
    theirs: list[Rates] = []
    ours: list[Rates] = []
    for round_number in range(options.rounds):
        pair = [lambda: theirs.append(run_llama_bench(program, options))]
        pair.append(lambda: ours.append(run_ours(options)))
        for run in pair if round_number % 2 == 0 else reversed(pair):
            run()
        print(f"round {round_number + 1}: llama-bench {theirs[-1]}, shimmy {ours[-1]}", file=sys.stderr)

    print(f"| {options.model.stem} | llama-bench tok/s | shimmy tok/s | ratio [95 %] |\n|---|---|---|---|")
    for kind in theirs[0]:
        ratios = [mine[kind] / peer[kind] for mine, peer in zip(ours, theirs, strict=True)]
        low, high = interval(ratios)
        medians = [statistics.median(run[kind] for run in runs) for runs in (theirs, ours)]
        ratio = statistics.median(ratios)
        print(f"| {kind} | {medians[0]:.1f} | {medians[1]:.1f} | {ratio:.3f} [{low:.3f}, {high:.3f}] |")
    share = statistics.median(run["outside_decode"] for run in ours)
    print(f"\nStep time outside llama_decode while decoding: {share:.2%}")

    results = Path(__file__).parent / "results"
    results.mkdir(exist_ok=True)
    asked = {"model": options.model.name, "threads": options.threads, "repeats": options.repeats}
    raw = {**asked, "llama_bench": theirs, "shimmy": ours}
    (results / f"overhead-{options.model.stem}.json").write_text(json.dumps(raw, indent=1))


if __name__ == "__main__":
    main()
