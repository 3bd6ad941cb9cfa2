"""The examples of docs/agents.md run as they stand there, against the real server and the real model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ServerProcess

PAGE = Path(__file__).parents[2] / "docs" / "agents.md"
PUBLISHED = "http://127.0.0.1:11435"
EXPECTED = [
    ["bash", r'"session_id":"tour"', r'"session_id":"tour"', r'"id":"tour".*"message_count":4'],
    ["bash", r'"name":"calculator"', r'"value":18446744073709551615'],
    ["python", r"\['Moby-Dick'\]"],
    ["python", r"^True The capital of France is Paris\. 6$"],
    ["bash", r'{"status":"queued"}', r'"training_active":false', r'"queue_length":\d+,"total_weight":\d+\.0'],
]


def blocks() -> list[tuple[str, str]]:
    return re.findall(r"```(sh|python)\n(.*?)```", PAGE.read_text(), re.DOTALL)


def test_every_example_is_run() -> None:
    assert [language.replace("sh", "bash") for language, _ in blocks()] == [name for name, *_ in EXPECTED]


@pytest.mark.parametrize("number", range(len(EXPECTED)))
def test_example(server: ServerProcess, number: int) -> None:
    language, *patterns = EXPECTED[number]
    interpreter = "bash" if language == "bash" else sys.executable
    program = blocks()[number][1].replace(PUBLISHED, server.url)
    done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(".*".join(patterns), done.stdout, re.DOTALL | re.MULTILINE), done.stdout
