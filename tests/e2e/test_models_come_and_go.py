"""Real models come and go in the real server: by time, by memory, by command."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from endless import MAX_TOKENS, WITHOUT_END, wait_until_running

from shimmy.demo_model import demo_model_path

if TYPE_CHECKING:
    from conftest import ServerProcess

StartIn = Callable[..., "AbstractContextManager[ServerProcess]"]
MIB = 1 << 20


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """With three models, all copies of the embedded one."""
    (tmp_path / "models").mkdir()
    for name in ("alpha", "beta", "gamma"):
        shutil.copyfile(demo_model_path(), tmp_path / "models" / f"{name}.gguf")
    return tmp_path


def use(server: ServerProcess, model: str, **fields: Any) -> httpx.Response:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "stream": False, **fields}
    return httpx.post(f"{server.url}/api/chat", json=body, timeout=60)


def states(server: ServerProcess) -> dict[str, Any]:
    return {state["model"]: state for state in httpx.get(f"{server.url}/api/models/status", timeout=60).json()}


def loaded(server: ServerProcess) -> list[str]:
    return [name for name, state in states(server).items() if state["loaded"]]


def wait_until(condition: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.05)


def test_an_idle_model_goes_when_it_was_said(home: Path, start_in: StartIn) -> None:
    with start_in(home, "--keep-alive", "8s") as server:
        assert use(server, "alpha").status_code == 200
        (told,) = httpx.get(f"{server.url}/api/ps", timeout=60).json()["models"]
        expires = datetime.fromisoformat(told["expires_at"]).timestamp()
        assert time.time() < expires < time.time() + 8.1
        assert told["size"] > 20 * MIB
        wait_until(lambda: not server.runners())
        assert time.time() >= expires - 0.1
        assert httpx.get(f"{server.url}/api/ps", timeout=60).json() == {"models": []}
    with start_in(home, "--keep-alive", "1s") as server:
        assert use(server, "alpha", keep_alive=-1).status_code == 200
        time.sleep(2)
        assert loaded(server) == ["alpha"]
        assert use(server, "alpha", keep_alive=0).status_code == 200
        wait_until(lambda: not server.runners())


def test_memory_is_shared_out(home: Path, start_in: StartIn) -> None:
    with start_in(home) as server:
        for name in ("alpha", "beta"):
            assert use(server, name).status_code == 200
        one = max(state["memory_bytes"] for state in states(server).values())
    (home / ".config" / "shimmy").mkdir(parents=True)
    (home / ".config" / "shimmy" / "models.toml").write_text('[models.gamma]\npinned = true\nkeep_alive = "1ms"\n')
    with start_in(home, "--memory-budget", str(round(2.6 * one))) as server:
        for name in ("alpha", "beta", "alpha"):
            assert use(server, name).status_code == 200
        assert use(server, "gamma").status_code == 200
        assert sorted(loaded(server)) == ["alpha", "gamma"]
        assert use(server, "beta").status_code == 200
        assert sorted(loaded(server)) == ["beta", "gamma"]
        endless = {**WITHOUT_END, "num_predict": MAX_TOKENS}
        body = {"model": "beta", "messages": [{"role": "user", "content": "Count to 60."}], "options": endless}
        with httpx.stream("POST", f"{server.url}/api/chat", json=body, timeout=60) as stream:
            told = stream.iter_lines()
            next(told)
            (running,) = wait_until_running(server.url)
            refused = use(server, "alpha")
            assert refused.status_code == 503
            assert "retry-after" in refused.headers
            assert "(pinned)" in refused.text
            assert "(in use)" in refused.text
            ended = httpx.delete(f"{server.url}/v1/requests/{running['id']}", timeout=60).json()
            assert ended["state"] == "cancelled"
            assert json.loads(list(told)[-1])["done"]
        assert use(server, "alpha").status_code == 200
        assert len(server.runners()) == 2
    with start_in(home, "--memory-budget", str(one // 2)) as server:
        refused = use(server, "alpha")
        assert refused.status_code == 400
        assert "cannot be loaded: it needs" in refused.json()["error"]
        assert not server.runners()


def shimmy(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "shimmy", *arguments], capture_output=True, text=True, cwd=home, timeout=60
    )


def test_commands(home: Path, start_in: StartIn) -> None:
    with start_in(home) as server:
        where = ("--url", server.url)
        assert shimmy(home, "ps", *where).stdout == f"no model is loaded at {server.url}\n"
        assert shimmy(home, "load", "beta", "--keep-alive", "2h", *where).stdout == "beta is loaded\n"
        heading, line = shimmy(home, "ps", *where).stdout.splitlines()
        assert heading.split() == ["NAME", "STATE", "MEMORY", "GPU", "CONTEXT", "IN", "USE", "UNTIL"]
        assert line.split()[:2] == ["beta", "loaded"]
        assert line.endswith(("in 1 h 59 min", "in 2 h 0 min"))
        assert shimmy(home, "unload", "beta", *where).stdout == "beta was unloaded\n"
        assert shimmy(home, "unload", "beta", *where).stdout == "beta was not loaded\n"
        unknown = shimmy(home, "load", "bata", *where)
        assert (unknown.returncode, "Did you mean 'beta'?" in unknown.stderr) == (1, True)
        assert not server.runners()
    gone = shimmy(home, "ps", *where)
    assert gone.returncode == 2
    assert f"no server answers at {server.url}" in gone.stderr


def test_the_models_used_last_are_there_after_a_start(home: Path, start_in: StartIn) -> None:
    with start_in(home, "--preload", "1") as server:
        for name in ("alpha", "beta"):
            assert use(server, name).status_code == 200
        assert server.terminate() == 0
    with start_in(home, "--preload", "1") as server:
        wait_until(lambda: loaded(server) == ["beta"])
    with start_in(home, "--preload", "8") as server:
        wait_until(lambda: sorted(loaded(server)) == ["alpha", "beta"])
    with start_in(home) as server:
        time.sleep(1)
        assert not server.runners()
