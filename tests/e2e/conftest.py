"""The real server in a real process, with the embedded model, on a free port."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from client_scripts import javascript_clients
from openai import OpenAI

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from chromium import chromium
from processes import children

ROOT = Path(__file__).resolve().parents[2]
MODEL = "shimmy-mini"


class ServerProcess:
    """`python -m shimmy serve`, started; `url` is where it listens, `key` what it demands, `log` its stderr so far."""

    def __init__(self, process: subprocess.Popen[str], url: str, log: list[str], reading: threading.Thread) -> None:
        self.process = process
        self.url = url
        self.log = log
        self._reading = reading
        self.key = "none"

    def openai(self) -> OpenAI:
        return OpenAI(base_url=f"{self.url}/v1", api_key=self.key, max_retries=0, timeout=60)

    def ask(self, question: str, system: str) -> tuple[str, int]:
        """The demo model's greedy answer, 24 tokens at most, and how many tokens of the prompt were cached."""
        with self.openai() as client:
            answer = client.chat.completions.create(
                model=MODEL,
                messages=[{"role": "system", "content": system}, {"role": "user", "content": question}],
                temperature=0,
                max_tokens=24,
            )
        details = answer.usage and answer.usage.prompt_tokens_details
        return answer.choices[0].message.content or "", (details and details.cached_tokens) or 0

    def runners(self) -> list[int]:
        """Process ids of the server's children."""
        return children(self.process.pid)

    def terminate(self) -> int:
        """SIGTERM; returns the exit code, with all of `log` there."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self._reading.join(20)
        return code


@contextmanager
def serve(home: Path, *arguments: str, environment: dict[str, str] | None = None) -> Iterator[ServerProcess]:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("SHIMMY_", "HF_", "XDG_"))}
    process = subprocess.Popen(
        [sys.executable, "-m", "shimmy", "serve", "--bind", "127.0.0.1:0", *arguments],
        # Tests share a home: what one has computed must not be another's cached tokens.
        env={"SHIMMY_KV_CACHE_DISK": "0", **inherited, **(environment or {}), "HOME": str(home)},
        cwd=home,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    log: list[str] = []
    reading = threading.Thread(target=log.extend, args=(process.stderr,), daemon=True)
    reading.start()
    try:
        lines: list[str] = []
        for line in process.stdout:
            lines.append(line)
            if found := re.search(r"http://\S+:\d+", line):
                yield ServerProcess(process, found[0], log, reading)
                break
        else:
            reading.join(5)
            raise AssertionError("the server did not start:\n" + "".join(lines + log))
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        reading.join(5)
        process.stderr.close()


@pytest.fixture(scope="session")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty home, so that no model of this machine is found."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="session")
def server(home: Path) -> Iterator[ServerProcess]:
    with serve(home) as process:
        yield process


@pytest.fixture(scope="session")
def client(server: ServerProcess) -> Iterator[OpenAI]:
    with server.openai() as client:
        yield client


@pytest.fixture(scope="session")
def start_in() -> Callable[..., AbstractContextManager[ServerProcess]]:
    """Starts a server in a home of the test's own: `with start_in(home, environment={...}) as server`."""
    return serve


@pytest.fixture(scope="session")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    """A server that demands a key, and lets one request wait."""
    home = tmp_path_factory.mktemp("guarded")
    (home / ".config" / "shimmy").mkdir(parents=True)
    (home / ".config" / "shimmy" / "config.toml").write_text('api_key = "a-key-for-tests"\nmax_waiting = 1\n')
    with serve(home) as process:
        process.key = "a-key-for-tests"
        yield process


@pytest.fixture(scope="session", params=["qwen3", "llama3"])
def random_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any]
) -> Iterator[ServerProcess]:
    """A server with a model `random`, whose weights are; with a template that has tools, because calls are written as
    it says."""
    made = tmp_path_factory.mktemp("random") / "random.gguf"
    arguments = ["--shape", "tiny", "--type", "q8_0", "--out", str(made)]
    subprocess.run([sys.executable, str(ROOT / "bench" / "make_model.py"), *arguments], check=True, timeout=100)
    template = ROOT / "tests" / "data" / "chat_templates" / f"{request.param}.jinja"
    with start("--model-path", str(made), "--chat-template", str(template), "--ctx", "4096") as process:
        yield process


@pytest.fixture(scope="session")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the scripts of js/ and the packages that they use."""
    return javascript_clients(tmp_path_factory.mktemp("js"))


@pytest.fixture(scope="session")
def start(home: Path) -> Callable[..., AbstractContextManager[ServerProcess]]:
    """Starts a server of the test's own: `with start("--ctx", "256") as server`."""
    return lambda *arguments: serve(home, *arguments)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as browser:
        yield browser
