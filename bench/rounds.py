"""Interleaved rounds: in each, every contender has one turn, and each begins another round."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from process import end_group, end_with_parent
from turn import Job, Outcome

TURN = Path(__file__).with_name("turn.py")


@dataclass
class Comparison:
    """All that was measured of one workload on one model."""

    workload: str
    model: str
    rounds: int
    outcomes: dict[str, list[Outcome]] = field(default_factory=dict)
    """Contender -> one outcome per round."""
    skipped: dict[str, str] = field(default_factory=dict)
    """Contender -> why it had no turn, or lacks what the workload needs."""
    limits: dict[str, float] = field(default_factory=dict)

    def values(self, contender: str, metric: str) -> list[float | None]:
        """One per round; None where a turn failed or does not tell."""
        return [outcome.metrics.get(metric) for outcome in self.outcomes.get(contender, [])]

    def errors(self) -> dict[str, list[str]]:
        found = {
            name: [outcome.error for outcome in outcomes if outcome.error is not None]
            for name, outcomes in self.outcomes.items()
        }
        return {name: errors for name, errors in found.items() if errors}


def turn_order(contenders: Sequence[str], round_number: int) -> list[str]:
    """Each round begins with another one, so that none always follows the same idle or busy machine."""
    start = round_number % len(contenders) if contenders else 0
    return [*contenders[start:], *contenders[:start]]


def run_rounds(
    comparison: Comparison, contenders: Sequence[str], job: Callable[[str, int], Job], timeout: float
) -> None:
    """Fill `comparison.outcomes`. A contender that lacks the feature has one turn and is skipped from then on."""
    for round_number in range(comparison.rounds):
        for name in turn_order(contenders, round_number):
            if name in comparison.skipped:
                continue
            outcome = run_turn_process(job(name, round_number), timeout)
            if outcome.not_supported is not None:
                comparison.skipped[name] = f"not supported by {name}: {outcome.not_supported}"
                comparison.outcomes.pop(name, None)
                continue
            comparison.outcomes.setdefault(name, []).append(outcome)
            shown = outcome.error or ", ".join(f"{key} {value:.4g}" for key, value in outcome.metrics.items())
            print(f"  round {round_number + 1}, {name}: {shown}", file=sys.stderr)


def run_turn_process(job: Job, timeout: float) -> Outcome:
    """One turn in a process group of its own, which is gone when this returns or raises."""
    command = [sys.executable, str(TURN), json.dumps(dataclasses.asdict(job))]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=end_with_parent,
    )
    try:
        out, err = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        return Outcome(error=f"no result after {timeout:.0f} s")
    finally:
        end_group(process)
    lines = out.strip().splitlines()
    if process.returncode != 0 or not lines:
        return Outcome(error=f"the turn ended with {process.returncode}: {(err or out).strip()[-500:]}")
    outcome = Outcome(**json.loads(lines[-1]))
    if outcome.error is not None:
        log = Path(job.log)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("a") as file:
            file.write(f"\n--- the turn ---\n{err}")
    return outcome
