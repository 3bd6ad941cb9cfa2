"""The examples of the pages in docs run as they stand there, against the real server and the real model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ServerProcess

DOCS = Path(__file__).parents[2] / "docs"
PUBLISHED = "http://127.0.0.1:11435"
EXPECTED = {
    "agents.md": [
        ["bash", r'"session_id":"tour"', r'"session_id":"tour"', r'"id":"tour".*"message_count":4'],
        ["bash", r'"name":"calculator"', r'"value":18446744073709551615'],
        ["python", r"\['Moby-Dick'\]"],
        ["python", r"^True The capital of France is Paris\. 6$"],
        ["bash", r'{"status":"queued"}', r'"training_active":false', r'"queue_length":\d+,"total_weight":\d+\.0'],
    ],
    "requests.md": [
        ["bash", r'"id":"cmpl-\w+-0"', r'"state":"finished"', r'"n_tokens":8'],
        ["python", r"^cancelled cancelled True stop$"],
        ["python", r"^True True$", r"^True finished$"],
        ["python", r"^response\.queued response\.completed The capital of France is Paris\.$"],
    ],
}


def blocks(page: str) -> list[tuple[str, str]]:
    return re.findall(r"```(sh|python)\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


@pytest.mark.parametrize("page", EXPECTED)
def test_every_example_is_run(page: str) -> None:
    assert [language.replace("sh", "bash") for language, _ in blocks(page)] == [name for name, *_ in EXPECTED[page]]


@pytest.mark.parametrize(("page", "number"), [(page, n) for page in EXPECTED for n in range(len(EXPECTED[page]))])
def test_example(server: ServerProcess, page: str, number: int) -> None:
    language, *patterns = EXPECTED[page][number]
    interpreter = "bash" if language == "bash" else sys.executable
    program = blocks(page)[number][1].replace(PUBLISHED, server.url)
    done = subprocess.run([interpreter, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(".*".join(patterns), done.stdout, re.DOTALL | re.MULTILINE), done.stdout
