"""No call ends the process: each of fatal_calls.py is made in a child, which must raise the typed error and live on."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from arithmetic import ON_GPU
from fatal_calls import CALLS, FatalCall

SCRIPT = Path(__file__).with_name("fatal_calls.py")


@pytest.fixture(scope="module")
def answers() -> dict[str, tuple[str, str]]:
    """Outcome and message by call. A child that dies is blamed on the call it made, and replaced for those left."""
    found: dict[str, tuple[str, str]] = {}
    names = [call.name for call in CALLS]
    while len(found) < len(names):
        command = [sys.executable, str(SCRIPT), names[len(found)]]
        done = subprocess.run(
            command, capture_output=True, encoding="utf-8", errors="replace", timeout=100, check=False
        )
        for line in done.stdout.splitlines():
            if line.startswith("{"):
                answer = json.loads(line)
                found[answer["name"]] = (answer["outcome"], answer["message"])
        if len(found) < len(names):
            found[names[len(found)]] = ("died", f"exit {done.returncode}: {done.stderr[-1000:]}")
    return found


def test_names_are_unique() -> None:
    assert len({call.name for call in CALLS}) == len(CALLS)


@pytest.mark.parametrize("call", CALLS, ids=lambda call: call.name)
def test_it_is_refused(call: FatalCall, answers: dict[str, tuple[str, str]]) -> None:
    if ON_GPU and call.mentions == "this machine has":
        pytest.skip("a GPU's own allocation says what does not fit")
    outcome, message = answers[call.name]
    assert outcome == call.outcome, message
    assert call.mentions in message
