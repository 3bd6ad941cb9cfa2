"""Compare shimmy with its peers: start all, ask all the same, in interleaved rounds, and say how sure the result is.

    python bench/compare.py                                  # the whole matrix: hours
    python bench/compare.py --workload P5 --workload P6 --rounds 5
    python bench/compare.py --workload P1 --model 1b-q8_0 --contender "shimmy engine" --contender llama-bench
    python bench/compare.py --tiny --rounds 1                # does everything run? (embedded model, tiny sizes)
    python bench/compare.py --client-check                   # is our own client fast enough?

Every turn is a fresh process: start, warm-up (discarded), measurement, end. Raw numbers, tables and plots go to
bench/results/, the output of contenders that failed too. Contenders that are not installed, and features that one
lacks, are named with the reason and left out.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import signal
import sys
import time
from pathlib import Path

from rich.console import Console

from contenders import CONTENDERS
from echo import client_rates
from limits import Machine, cpus, measure_machine, model_cost
from peers import PeerBuildError, build_peers
from plots import plot_ratios, plot_workload
from rounds import Comparison, run_rounds
from table import markdown_table, notes, terminal_table
from turn import Job
from workloads import WORKLOADS
from workloads.workload import Workload

HERE = Path(__file__).resolve().parent
EMBEDDED = "embedded"


class UsageError(Exception):
    """The command line asks for what there is not; the message says what to do."""


def model_path(name: str) -> Path:
    """The file of "embedded", of a model in bench/models, or at a path. Raises UsageError."""
    if name == EMBEDDED:
        from shimmy import demo_model_path

        return demo_model_path()
    for path in (HERE / "models" / f"{name}.gguf", Path(name)):
        if path.is_file():
            return path.resolve()
    shape, _, kind = name.partition("-")
    raise UsageError(
        f"there is no model {name}: make it with bench/make_model.py --shape {shape} --type {kind or 'q8_0'} "
        f"--out bench/models/{name}.gguf, or give --model a GGUF file"
    )


def peer_folder(given: Path | None, contenders: set[str]) -> Path | None:
    """Where the peers' programs are, built if no folder is given and someone needs them; None when that fails."""
    if given is not None:
        if not given.is_dir():
            raise UsageError(f"--peer-dir {given} is no folder")
        return given.resolve()
    programs = sorted({program for name in contenders for program in CONTENDERS[name].programs})
    if not programs:
        return None
    print(f"building {', '.join(programs)} (give --peer-dir to use others) ...", file=sys.stderr)
    try:
        return next(iter(build_peers(programs).values())).parent
    except PeerBuildError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return None


def compare(
    workload: Workload, model: str, machine: Machine, options: argparse.Namespace, results: Path, peer_dir: Path | None
) -> Comparison:
    """All rounds of one workload on one model."""
    path = model_path(model)
    chosen = [name for name in workload.contenders if not options.contender or name in options.contender]
    comparison = Comparison(workload.id, path.stem, options.rounds)
    for name in chosen:
        if (reason := CONTENDERS[name].missing(peer_dir)) is not None:
            comparison.skipped[name] = reason
    comparison.limits = workload.limits(machine, model_cost(path))

    def job(name: str, number: int) -> Job:
        log = results / "logs" / f"{workload.id}-{path.stem}-{name.replace(' ', '_')}-{number + 1}.log"
        return Job(
            workload=workload.id,
            contender=name,
            model=str(path),
            round=number,
            log=str(log),
            peer_dir=None if peer_dir is None else str(peer_dir),
            tiny=options.tiny,
        )

    print(f"{workload.id} {workload.title}: {path.stem}", file=sys.stderr)
    run_rounds(comparison, chosen, job, options.timeout)
    return comparison


def save(
    measured: list[tuple[Workload, Comparison]], machine: Machine, options: argparse.Namespace, results: Path
) -> None:
    """Raw numbers, Markdown and plots; called after each workload, so that an interrupted run leaves what it has."""
    raw = {
        "machine": dataclasses.asdict(machine),
        "options": {key: str(value) for key, value in vars(options).items()},
        "comparisons": [{**dataclasses.asdict(one), "sizes": dataclasses.asdict(kind)} for kind, one in measured],
    }
    (results / "raw.json").write_text(json.dumps(raw, indent=1))
    (results / "tables.md").write_text("\n".join(markdown_table(kind, one) for kind, one in measured))
    workload, latest = measured[-1]
    plot_workload(workload, latest, results / f"{workload.id}-{latest.model}.png")
    plot_ratios(workload, latest, results / f"{workload.id}-{latest.model}-ratios.png")


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workload", action="append", choices=WORKLOADS, metavar="ID", help=", ".join(WORKLOADS))
    parser.add_argument("--contender", action="append", choices=CONTENDERS, metavar="NAME", help=", ".join(CONTENDERS))
    parser.add_argument("--model", action="append", help="embedded, a name in bench/models, or a GGUF file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--peer-dir", type=Path, help="folder with llama-bench and llama-server; default: build them")
    parser.add_argument("--timeout", type=float, default=1800, help="seconds for one turn")
    parser.add_argument("--tiny", action="store_true", help="smoke run: tiny sizes on the embedded model")
    parser.add_argument("--client-check", action="store_true", help="measure our HTTP client alone, and end")
    return parser


def main() -> int:
    parser = arguments()
    options = parser.parse_args()
    if options.rounds < 1:
        parser.error(f"--rounds {options.rounds}: must be 1 or more")
    # So that ending this process runs the blocks that end the turns.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else 160)
    if options.client_check:
        for streams, rate in client_rates().items():
            console.print(f"{streams} streams: {rate:,.0f} tok/s")
        return 0
    results = HERE / "results" / time.strftime("compare-%Y%m%d-%H%M%S")
    measured: list[tuple[Workload, Comparison]] = []
    try:
        workloads = [WORKLOADS[name] for name in options.workload or WORKLOADS]
        plan = [
            (workload.shrunk() if options.tiny else workload, model)
            for workload in workloads
            for model in options.model or ([EMBEDDED] if options.tiny else workload.models)
        ]
        for _, model in plan:
            model_path(model)
        wanted = {name for workload, _ in plan for name in workload.contenders}
        peer_dir = peer_folder(options.peer_dir, wanted & set(options.contender or wanted))
        results.mkdir(parents=True)
        machine = measure_machine(cpus(), 32 if options.tiny else 256)
        console.print(
            f"{machine.cpu}, {machine.threads} CPUs, {machine.memory_gib:.0f} GiB; "
            f"memory read {machine.read_gb_s:.1f}, copy {machine.copy_gb_s:.1f} GB/s; "
            f"fp32 matrix product {machine.gemm_gflop_s:.0f} GFLOP/s"
        )
        for workload, model in plan:
            comparison = compare(workload, model, machine, options, results, peer_dir)
            measured.append((workload, comparison))
            console.print(terminal_table(workload, comparison))
            for note in notes(workload, comparison):
                console.print(f"  {note}", markup=False, highlight=False)
            save(measured, machine, options, results)
    except UsageError as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"interrupted; what is measured is in {results}", file=sys.stderr)
        return 130
    console.print(f"raw numbers, tables and plots: {results}", highlight=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
