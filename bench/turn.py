"""One turn: start one contender, warm it up, measure one workload, end it. compare.py runs each as a process.

    python bench/turn.py '{"workload": "P5", "contender": "shimmy", "model": ..., ...}'

Prints one line of JSON: an Outcome.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import signal
import sys
import tempfile
import traceback
from dataclasses import dataclass
from pathlib import Path

from contenders import CONTENDERS
from contenders.target import Kernels, NotSupportedError, Setup
from limits import cpus
from prompts import Prompts
from workloads import WORKLOADS


@dataclass(frozen=True)
class Job:
    """What to do, as it travels to the turn's process."""

    workload: str
    contender: str
    model: str
    round: int
    log: str
    peer_dir: str | None = None
    tiny: bool = False


@dataclass(frozen=True)
class Outcome:
    """What came of it: `metrics`, or why there are none."""

    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    peak_mib: float | None = None
    not_supported: str | None = None
    error: str | None = None


def has_random_weights(model: Path) -> bool:
    """Whether make_model.py wrote it: the name, at the beginning of the file, says so."""
    with model.open("rb") as file:
        return b"(random weights)" in file.read(4096)


async def run_turn(job: Job) -> Outcome:
    """Raises what the contender or the workload raises, but NotSupportedError."""
    workload = WORKLOADS[job.workload]
    if job.tiny:
        workload = workload.shrunk()
    model = Path(job.model)
    peer_dir = None if job.peer_dir is None else Path(job.peer_dir)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "unused.log"
        drafts = not has_random_weights(model)
        setup = Setup(model=model, n_ctx=0, threads=cpus(), log=log, peer_dir=peer_dir, drafts=drafts)
        setup = dataclasses.replace(workload.setup(setup), log=Path(job.log))
        prompts = Prompts(model, f"{workload.id} {job.round}")
        try:
            async with CONTENDERS[job.contender].open(setup) as target:
                if isinstance(target, Kernels):
                    return Outcome(await workload.run_kernels(target, prompts))
                await workload.warm_up(target, prompts)
                metrics = await workload.run(target, prompts)
                return Outcome(metrics, target.peak_mib())
        except NotSupportedError as reason:
            return Outcome(not_supported=str(reason))


def main() -> int:
    job = Job(**json.loads(sys.argv[1]))
    # So that ending this process runs the blocks that end the contender.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        outcome = asyncio.run(run_turn(job))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the turn's result
        traceback.print_exc()
        outcome = Outcome(error=f"{type(error).__name__}: {error}")
    print(json.dumps(dataclasses.asdict(outcome)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
