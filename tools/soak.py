"""Runs the long fault tests with the counts that are claimed, and sums up what they said: `scripts/soak`.

    scripts/soak                                                       # what is claimed; about half an hour
    scripts/soak --kills 2 --races 10 --cycles 4 --requests 500        # does everything run?

Exits with 1 when a test failed. The log, with every figure, and the results as JUnit's XML stay in the folder that it
names.
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

TESTS = Path(__file__).resolve().parents[1] / "tests"
FILES = (
    "e2e/test_continued_answers.py",
    "e2e/test_residency_faults.py",
    "e2e/test_cache_dir_faults.py",
    "e2e/test_prefixes_on_disk.py",
    "e2e/test_soak.py",
)
FIGURES = re.compile(r"test\.(?:residency|soak):\S+ (.*)")
"""Lines of the log in which a test says what it measured."""


def counts(options: argparse.Namespace) -> dict[str, str]:
    """Variables that the tests look at."""
    return {
        "SHIMMY_FAULT_ROUNDS": str(options.kills),
        "SHIMMY_RACE_ROUNDS": str(options.races),
        "SHIMMY_LOAD_CYCLES": str(options.cycles),
        "SHIMMY_SOAK_REQUESTS": str(options.requests),
    }


def run(folder: Path, variables: dict[str, str], files: Sequence[str] = FILES) -> int:
    """Pytest's exit code. Its output goes to the terminal, results.xml and log.txt to `folder`."""
    command = [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", "--show-capture=no"]
    command += [str(TESTS / file) for file in files]
    command += [f"--junitxml={folder / 'results.xml'}", f"--log-file={folder / 'log.txt'}", "--log-file-level=INFO"]
    command += ["--log-file-format=%(name)s:%(levelname)s %(message)s"]
    return subprocess.run(command, cwd=TESTS.parent, env={**os.environ, **variables}, check=False).returncode


def summary(folder: Path) -> list[str]:
    """A line for each test, and the figures."""
    lines = ["| test | outcome | seconds |", "|---|---|---|"]
    for case in ET.parse(folder / "results.xml").iter("testcase"):
        wrong = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        file = case.get("classname", "").rpartition(".")[2]
        lines.append(f"| {file}: {case.get('name')} | {wrong} | {float(case.get('time', 0)):.0f} |")
    log = folder / "log.txt"
    figures = FIGURES.findall(log.read_text()) if log.exists() else []
    return [*lines, "", *(f"- {figure}" for figure in figures)]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50, help="of each way for a process to die, under eight streams")
    parser.add_argument("--races", type=int, default=200, help="loads and unloads while requests run")
    parser.add_argument("--cycles", type=int, default=50, help="loads and unloads after which memory is compared")
    parser.add_argument("--requests", type=int, default=20_000, help="short ones, over which memory has to stay flat")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="shimmy-soak-"))
    began = time.monotonic()
    code = run(folder, counts(options))
    minutes = (time.monotonic() - began) / 60
    asked = f"{options.kills} kills, {options.races} races, {options.cycles} cycles, {options.requests} requests"
    told = [f"{asked}: {minutes:.0f} minutes, {os.cpu_count()} CPUs, Python {platform.python_version()}", ""]
    told += summary(folder) if (folder / "results.xml").exists() else ["pytest did not get as far as its results"]
    print("\n".join(["", *told, "", f"everything: {folder}"]))
    return min(code, 1)


if __name__ == "__main__":
    sys.exit(main())
