"""What a process for each model costs: our engine in this process against the same engine behind a runner's pipe.

    python bench/isolation.py                      # 7 rounds on the embedded demo model, whose steps are small
    python bench/isolation.py --model bench/models/0.6b-q4_k_m.gguf --rounds 5

Chats with a cached prompt, greedy, 1 and 8 at once, each round begins with the other one. Added time to first token is
the difference of the medians of a round, lost throughput the quotient.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import statistics
from pathlib import Path

from engine_turn import Load, StreamTimes, Turn, run_process
from ratios import estimate
from rounds import turn_order
from table import shown

LOADS = [Load(1, 60, 32), Load(1, 16, 200), Load(8, 10, 200)]
KINDS = ("engine", "runner")
N_CTX = 8192


def report(rounds: list[dict[str, list[StreamTimes]]], loads: list[Load]) -> list[str]:
    """Medians over the rounds, with their 95 % intervals."""
    lines = [
        "| streams × tokens | TTFT p50, added ms | TPOT p50, added µs | throughput, runner / engine |",
        "|---|---|---|---|",
    ]
    for at, load in enumerate(loads):
        pairs = [(one["engine"][at], one["runner"][at]) for one in rounds]
        ttft = [1e3 * (statistics.median(b.ttft) - statistics.median(a.ttft)) for a, b in pairs]
        tpot = [1e6 * (statistics.median(b.tpot) - statistics.median(a.tpot)) for a, b in pairs]
        speed = [(b.tokens / b.seconds) / (a.tokens / a.seconds) for a, b in pairs]
        cells = (shown(estimate(values), 3) for values in (ttft, tpot, speed))
        lines.append(f"| {load.streams} × {load.max_tokens} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--tokens", type=int, help="of each answer, for models that need long for one")
    options = parser.parse_args()
    from shimmy import demo_model_path

    model = options.model or demo_model_path()
    loads = [dataclasses.replace(load, max_tokens=options.tokens or load.max_tokens) for load in LOADS]
    rounds = []
    for at in range(options.rounds):
        rounds.append({kind: run_process(Turn(kind, str(model), N_CTX, loads)) for kind in turn_order(KINDS, at)})
    print("\n".join(report(rounds, loads)))
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    raw = [{kind: [dataclasses.asdict(times) for times in found] for kind, found in one.items()} for one in rounds]
    (folder / f"isolation-{model.stem}.json").write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
