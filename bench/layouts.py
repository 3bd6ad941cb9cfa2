"""How fast are steps of n tokens with weights repacked, as in the file, and with both there to choose from?

    python bench/layouts.py bench/models/0.6b-q4_k_m.gguf --rounds 7

One prompt of n tokens from an empty cache, the three in turn, in one process. Prints medians in milliseconds, and the
median of the rounds' ratios (repacked / both).
"""

from __future__ import annotations

import argparse
import statistics
import time

from shimmy._core import Batch, Context, ContextParams, DecodeStatus, Model, ModelParams

SIZES = (1, 4, 8, 16, 24, 32, 48, 64, 128, 512)
LAYOUTS = {"repacked": {"both_layouts": False}, "as in the file": {"use_extra_bufts": False}, "both": {}}


def open_context(path: str, **params: bool) -> Context:
    return Context(Model(path, ModelParams(**params)), ContextParams(n_ctx=1024))


def milliseconds(context: Context, n_tokens: int) -> float:
    context.kv_cache.clear()
    batch = Batch()
    for pos in range(n_tokens):
        batch.add(100 + pos * 3, pos, [0], pos == n_tokens - 1)
    start = time.perf_counter()
    if context.decode(batch) != DecodeStatus.OK:
        raise SystemExit(f"a step of {n_tokens} tokens failed")
    context.logits()
    return 1000 * (time.perf_counter() - start)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="a GGUF file with Q4_K weights")
    parser.add_argument("--rounds", type=int, default=7)
    args = parser.parse_args()

    contexts = {name: open_context(args.model, **params) for name, params in LAYOUTS.items()}
    print("| tokens | " + " | ".join(f"{name}, ms" for name in contexts) + " | repacked / both |")
    print("|---" * (len(contexts) + 2) + "|")
    for size in SIZES:
        rounds = [
            {name: milliseconds(context, size) for name, context in contexts.items()} for _ in range(args.rounds + 1)
        ][1:]
        medians = [statistics.median(times[name] for times in rounds) for name in contexts]
        ratio = statistics.median(times["repacked"] / times["both"] for times in rounds)
        print(f"| {size} | " + " | ".join(f"{value:.1f}" for value in medians) + f" | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
