"""SIGHUP to a real process: settings are read again, and no request notices."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
BODY = {"model": "shimmy-mini", "messages": QUESTION, "temperature": 0, "max_tokens": 8}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("reloaded")
    (home / ".config" / "shimmy").mkdir(parents=True)
    return home


@pytest.fixture(scope="module")
def server(home: Path, start_in: Callable[..., Any]) -> Iterator[Any]:
    with start_in(home) as process:
        yield process


def configure(home: Path, name: str, text: str) -> None:
    path = home / ".config" / "shimmy" / name
    path.with_suffix(".new").write_text(text)
    path.with_suffix(".new").rename(path)


def test_a_hundred_requests_during_ten_reloads(server: Any, home: Path) -> None:
    answers: list[httpx.Response] = []

    def ask() -> None:
        with httpx.Client(timeout=120) as http:
            answers.extend(http.post(f"{server.url}/v1/chat/completions", json=BODY) for _ in range(25))

    expected = httpx.post(f"{server.url}/v1/chat/completions", json=BODY, timeout=120).json()["choices"]
    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        # Every second time the model itself has to be loaded otherwise.
        configure(
            home, "models.toml", f'[models.shimmy-mini]\ncontext = {512 + number // 2 * 256}\naliases = ["a{number}"]\n'
        )
        server.process.send_signal(signal.SIGHUP)
        end = time.monotonic() + 60
        while httpx.get(f"{server.url}/v1/models/a{number}", timeout=60).status_code != 200:
            assert time.monotonic() < end, "the settings were not read again"
            time.sleep(0.05)
    for thread in threads:
        thread.join()
    assert [answer.status_code for answer in answers] == [200] * 100
    assert all(answer.json()["choices"] == expected for answer in answers)
    assert httpx.post(f"{server.url}/v1/chat/completions", json=BODY, timeout=120).json()["choices"] == expected
    end = time.monotonic() + 60
    while len(server.runners()) != 1:
        assert time.monotonic() < end, "engines that nobody uses any more stayed"
        time.sleep(0.05)
    assert httpx.get(f"{server.url}/api/models/shimmy-mini/status", timeout=60).json()["n_ctx"] == 1536


def test_a_stream_goes_on(server: Any, home: Path) -> None:
    with httpx.stream(
        "POST",
        f"{server.url}/v1/completions",
        json={
            "model": "shimmy-mini",
            "prompt": "Once upon a time",
            "max_tokens": 100,
            "stream": True,
            "ignore_eos": True,
        },
        timeout=60,
    ) as answer:
        lines = answer.iter_lines()
        next(lines)
        configure(home, "models.toml", "[models.shimmy-mini]\ncontext = 600\n")
        told = httpx.post(f"{server.url}/api/reload", timeout=60).json()
        assert told["reloading"] == ["shimmy-mini"]
        assert "data: [DONE]" in list(lines)


def test_a_mistake_is_told_and_changes_nothing(server: Any, home: Path) -> None:
    configure(home, "config.toml", "ctx = 1")
    told = httpx.post(f"{server.url}/api/reload", timeout=60)
    assert told.status_code == 400
    assert "config.toml: ctx: Expected `int` >= 16" in told.json()["error"]
    n_lines = len(server.log)
    server.process.send_signal(signal.SIGHUP)
    assert httpx.post(f"{server.url}/v1/chat/completions", json=BODY, timeout=60).status_code == 200
    end = time.monotonic() + 60
    while not any("the settings stay as they were" in line for line in server.log[n_lines:]):
        assert time.monotonic() < end, "".join(server.log)
        time.sleep(0.05)
    configure(home, "config.toml", 'log_level = "warning"\nmax_body_bytes = 4096')
    for changed in (["log_level"], []):
        told = httpx.post(f"{server.url}/api/reload", timeout=60).json()
        assert (told["changed"], told["needs_restart"]) == (changed, ["max_body_bytes"])
    configure(home, "config.toml", "")


@pytest.mark.skipif(sys.platform == "win32", reason="no terminals of this kind")
def test_the_server_ends_with_its_terminal(home: Path) -> None:
    master, slave = pty.openpty()
    code = (
        "import fcntl, os, signal, sys, termios\n"
        "signal.signal(signal.SIGHUP, signal.SIG_DFL)\n"  # these tests may run under nohup
        "os.setsid()\n"
        "fcntl.ioctl(int(sys.argv[1]), termios.TIOCSCTTY, 0)\n"
        "os.execv(sys.executable, [sys.executable, '-m', 'shimmy', 'serve', '--bind', '127.0.0.1:0'])\n"
    )
    log = home / "terminal.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code, str(slave)],
            env={**os.environ, "HOME": str(home), "PYTHONFAULTHANDLER": "1"},
            cwd=home,
            stdout=subprocess.PIPE,
            stderr=errors,
            pass_fds=[slave],
            text=True,
        )
    try:
        os.close(slave)
        assert process.stdout is not None
        assert any("serves http" in line for line in process.stdout)
        process.send_signal(signal.SIGHUP)
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(1)
        os.close(master)
        try:
            assert process.wait(60) == 0
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait(10)
            pytest.fail(f"it goes on:\n{log.read_text()}")
    finally:
        process.kill()
        process.communicate()
