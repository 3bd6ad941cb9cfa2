"""The examples of the README run as they stand there, against the real server and the real model."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ServerProcess

README = Path(__file__).parents[2] / "README.md"
PUBLISHED = "http://127.0.0.1:11435"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)


def test_there_are_the_promised_examples() -> None:
    assert len(blocks("python")) == 5
    assert sum(block.startswith("curl ") for block in blocks("sh")) == 1


@pytest.mark.parametrize(
    ("number", "expected"), [(0, "Shimmy Mini"), (1, "Shimmy Mini"), (2, ","), (3, '"name"'), (4, "0.")]
)
def test_python(server: ServerProcess, number: int, expected: str) -> None:
    program = blocks("python")[number].replace(PUBLISHED, server.url)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert expected in done.stdout


def test_curl(server: ServerProcess) -> None:
    command = next(block for block in blocks("sh") if block.startswith("curl ")).replace(PUBLISHED, server.url)
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "Paris" in done.stdout
    assert done.stdout.rstrip().endswith("data: [DONE]")
