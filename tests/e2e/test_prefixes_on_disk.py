"""What prompts have in common outlives the server and its runners."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from shimmy.kv_store.prefix_file import read_header

if TYPE_CHECKING:
    from conftest import ServerProcess

SYSTEM = "You are Shimmy Mini, a tiny demo model. " + " ".join(f"Rule {n}: be kind to number {n}." for n in range(60))
QUESTIONS = ("Who are you?", "Spell lothel.", "List three animals.")


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kv"))


def wait_for_files(folder: Path, n: int = 1) -> None:
    deadline = time.monotonic() + 60
    while len(files(folder)) < n:
        assert time.monotonic() < deadline
        time.sleep(0.1)


@pytest.fixture
def start_keeping(
    start_in: Callable[..., AbstractContextManager[ServerProcess]], tmp_path: Path
) -> Callable[[], AbstractContextManager[ServerProcess]]:
    """Starts a server that keeps prefixes in tmp_path/kv."""
    options: dict[str, Any] = {"environment": {"SHIMMY_KV_CACHE_DISK": "256MiB"}}
    return lambda: start_in(tmp_path, "--kv-cache-dir", str(tmp_path / "kv"), **options)


def test_a_restarted_server_computes_no_long_prompt_again(
    start_keeping: Callable[[], AbstractContextManager[ServerProcess]], tmp_path: Path
) -> None:
    with start_keeping() as server:
        assert server.ask(QUESTIONS[0], SYSTEM)[1] == 0
        server.ask(QUESTIONS[1], SYSTEM)
        warm, n_warm = server.ask(QUESTIONS[2], SYSTEM)
        assert server.terminate() == 0
    assert n_warm > 256
    assert files(tmp_path)
    with start_keeping() as server:
        assert server.ask(QUESTIONS[2], SYSTEM) == (warm, n_warm)


def test_what_an_idle_runner_wrote_outlives_its_death(
    start_keeping: Callable[[], AbstractContextManager[ServerProcess]], tmp_path: Path
) -> None:
    with start_keeping() as server:
        server.ask(QUESTIONS[0], SYSTEM)
        server.ask(QUESTIONS[1], SYSTEM)
        wait_for_files(tmp_path)
        warm = server.ask(QUESTIONS[2], SYSTEM)
        (runner,) = server.runners()
        os.kill(runner, signal.SIGKILL)
        assert server.ask(QUESTIONS[2], SYSTEM) == warm
        assert server.runners() != [runner]


def test_two_servers_share_a_folder(
    start_keeping: Callable[[], AbstractContextManager[ServerProcess]], tmp_path: Path
) -> None:
    with start_keeping() as one, start_keeping() as other:
        assert other.ask(QUESTIONS[0], "Be brief.")[1] == 0
        one.ask(QUESTIONS[0], SYSTEM)
        one.ask(QUESTIONS[1], SYSTEM)
        wait_for_files(tmp_path)
        warm, n_warm = one.ask(QUESTIONS[2], SYSTEM)
        assert n_warm > 256
        assert one.terminate() == 0
        assert other.ask(QUESTIONS[2], SYSTEM) == (warm, n_warm)
        assert other.terminate() == 0
    assert not list(tmp_path.rglob("*.trying"))
    assert not list(tmp_path.rglob(".new-*"))


def test_two_servers_write_at_once(
    start_in: Callable[..., AbstractContextManager[ServerProcess]], tmp_path: Path
) -> None:
    """In one home with room for some of what they would keep: all files are whole, and within the budget."""
    systems = [f"Today is day {day}. {SYSTEM}" for day in range(6)]
    budget = 20 << 20  # a file has 4.5 MiB
    options: dict[str, Any] = {"environment": {"SHIMMY_KV_CACHE_DISK": str(budget)}}
    arguments = ("--kv-cache-dir", str(tmp_path / "kv"))

    def begin() -> AbstractContextManager[ServerProcess]:
        return start_in(tmp_path, *arguments, **options)

    def ask_all(server: ServerProcess) -> dict[tuple[str, str], str]:
        return {(system, q): server.ask(q, system)[0] for system in systems for q in QUESTIONS[:2]}

    with begin() as one, begin() as other:
        with ThreadPoolExecutor(2) as pool:
            first, second = pool.map(ask_all, (one, other))
        assert first == second
        wait_for_files(tmp_path, 3)
        with ThreadPoolExecutor(2) as pool:  # both write what is left
            assert list(pool.map(lambda server: server.terminate(), (one, other))) == [0, 0]
        assert not [line for server in (one, other) for line in server.log if "WARNING" in line or "ERROR" in line]
    kept = files(tmp_path)
    assert 2 <= len(kept) < len(systems)
    assert sum(path.stat().st_size for path in kept) <= budget
    for path in kept:
        with path.open("rb") as file:
            header, offset = read_header(file, path.stat().st_size)
        assert path.stem == header.name()
        assert offset < path.stat().st_size
    assert not list(tmp_path.rglob("*.trying"))
    assert not list(tmp_path.rglob(".new-*"))
    with begin() as last:
        found = {(system, QUESTIONS[0]): last.ask(QUESTIONS[0], system) for system in systems}
    assert {key: text for key, (text, _) in found.items()} == {key: first[key] for key in found}
    assert max(n_cached for _, n_cached in found.values()) > 256
