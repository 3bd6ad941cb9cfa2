"""The application that `shimmy init --template fastapi` writes, in front of the real server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import ServerProcess

QUESTION = {"text": "What is the capital of France?"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("init") / "front"
    command = [sys.executable, "-m", "shimmy", "init", "--template", "fastapi", "--output", str(folder)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return folder


def ask(folder: Path, url: str) -> list[str]:
    """The status and text of /ask and /stream, from the application in a process of its own."""
    program = (
        "from fastapi.testclient import TestClient\n"
        "from main import app\n"
        "with TestClient(app) as client:\n"
        "    for path in ('/ask', '/stream'):\n"
        f"        answer = client.post(path, json={QUESTION!r})\n"
        "        print(answer.status_code, answer.text)\n"
    )
    environment = {**os.environ, "SHIMMY_URL": f"{url}/v1"}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_it_answers(server: ServerProcess, folder: Path) -> None:
    whole, streamed = ask(folder, server.url)
    assert whole.startswith('200 {"text":"')
    assert "Paris" in whole
    assert streamed.startswith("200 ")
    assert "Paris" in streamed


def test_without_shimmy(folder: Path) -> None:
    whole, streamed = ask(folder, "http://127.0.0.1:9")
    for answer in (whole, streamed):
        assert answer.startswith("503 ")
        assert "is `shimmy serve` running?" in answer
