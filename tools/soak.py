"""Runs the long fault tests with the counts that are claimed, and sums up what they said: `scripts/soak`.

    scripts/soak                                # all that is claimed
    scripts/soak --part races --part cycles     # some of it: kills, races, cycles, requests, disk
    scripts/soak --kills 2 --races 10 --cycles 4 --requests 500        # does everything run?

Each part is a pytest of its own, and its line is printed when it has ended. Exits with 1 when a test failed. The logs,
with every figure, and the results as JUnit's XML stay in the folder that it names.
"""

from __future__ import annotations

import argparse
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

TESTS = Path(__file__).resolve().parents[1] / "tests"
RESIDENCY = "e2e/test_residency_faults.py::"


class Part(NamedTuple):
    """Tests, how many rounds of each, and the variable that tells them."""

    tests: tuple[str, ...]
    rounds: int = 0
    """As claimed; 0: they have no number."""
    variable: str = ""
    help: str = ""


PARTS = {
    "kills": Part(
        ("e2e/test_continued_answers.py", f"{RESIDENCY}test_a_killed_model_is_not_noticed_by_another"),
        50,
        "SHIMMY_FAULT_ROUNDS",
        "of each way for a process to die, under eight streams",
    ),
    "races": Part(
        (
            f"{RESIDENCY}test_loads_and_unloads_race_with_requests",
            f"{RESIDENCY}test_two_models_take_turns_where_one_fits",
        ),
        200,
        "SHIMMY_RACE_ROUNDS",
        "loads and unloads while requests run",
    ),
    "cycles": Part(
        (f"{RESIDENCY}test_memory_comes_back", f"{RESIDENCY}test_estimates_are_close_to_what_is_measured"),
        50,
        "SHIMMY_LOAD_CYCLES",
        "loads and unloads after which memory is compared",
    ),
    "requests": Part(
        ("e2e/test_soak.py",), 20_000, "SHIMMY_SOAK_REQUESTS", "short ones, over which memory has to stay flat"
    ),
    "disk": Part(("e2e/test_cache_dir_faults.py", "e2e/test_prefixes_on_disk.py")),
}
FIGURES = re.compile(r"test\.(?:residency|soak):\S+ (.*)")
"""Lines of the log in which a test says what it measured."""


class Outcome(NamedTuple):
    """Of one part."""

    part: str
    rounds: int
    seconds: float
    cases: list[tuple[str, str, float]]
    """Test, outcome, seconds."""
    figures: list[str]

    @property
    def failed(self) -> bool:
        return not self.cases or any(outcome in ("failure", "error") for _, outcome, _ in self.cases)

    def line(self) -> str:
        """A row of the table of parts."""
        counts = {kind: sum(outcome == kind for _, outcome, _ in self.cases) for kind in ("passed", "skipped")}
        n_failed = len(self.cases) - sum(counts.values())
        told = (
            f"{counts['passed']} passed, {n_failed} failed, {counts['skipped']} skipped" if self.cases else "no result"
        )
        figures = "; ".join(self.figures)
        return f"| {self.part} | {self.rounds or '-'} | {told} | {self.seconds / 60:.1f} | {figures} |"


def run(folder: Path, name: str, rounds: int) -> Outcome:
    """Pytest's output goes to the terminal, PART.xml and PART.log to `folder`."""
    part = PARTS[name]
    results, log = folder / f"{name}.xml", folder / f"{name}.log"
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--show-capture=no"]
    command += [str(TESTS / test) for test in part.tests]
    command += [f"--junitxml={results}", f"--log-file={log}", "--log-file-level=INFO"]
    command += ["--log-file-format=%(name)s:%(levelname)s %(message)s"]
    variables = {part.variable: str(rounds)} if part.variable else {}
    began = time.monotonic()
    subprocess.run(command, cwd=TESTS.parent, env={**os.environ, **variables}, check=False)
    seconds = time.monotonic() - began
    figures = FIGURES.findall(log.read_text()) if log.exists() else []
    return Outcome(name, rounds, seconds, cases(results) if results.exists() else [], figures)


def cases(results: Path) -> list[tuple[str, str, float]]:
    """Test, outcome and seconds of each in a file of JUnit's."""
    found = []
    for case in ET.parse(results).iter("testcase"):
        outcome = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        file = case.get("classname", "").rpartition(".")[2]
        found.append((f"{file}: {case.get('name')}", outcome, float(case.get("time", 0))))
    return found


def summary(outcomes: Sequence[Outcome]) -> list[str]:
    """Two tables: a line for each part, and one for each test."""
    lines = ["| part | rounds | tests | minutes | measured |", "|---|---|---|---|---|"]
    lines += [outcome.line() for outcome in outcomes]
    lines += ["", "| test | outcome | seconds |", "|---|---|---|"]
    return [*lines, *(f"| {test} | {said} | {took:.0f} |" for one in outcomes for test, said, took in one.cases)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this one; may be repeated")
    for name, part in PARTS.items():
        if part.variable:
            parser.add_argument(f"--{name}", type=int, default=part.rounds, help=f"{part.help} ({part.rounds})")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shimmy-soak-"))
    outcomes = []
    for name in options.part or PARTS:
        outcomes.append(run(folder, name, getattr(options, name, 0)))
        print(f"\n{outcomes[-1].line()}\n", flush=True)
    minutes = sum(outcome.seconds for outcome in outcomes) / 60
    told = f"{minutes:.0f} minutes, {os.cpu_count()} CPUs, Python {platform.python_version()}"
    print("\n".join(["", told, "", *summary(outcomes), "", f"everything: {folder}"]))
    return int(any(outcome.failed for outcome in outcomes))


if __name__ == "__main__":
    sys.exit(main())
