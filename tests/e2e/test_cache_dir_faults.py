"""A home on a disk that is full or cannot be written: answers go on, the log says so once, nothing is half written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import msgspec
import pytest

from shimmy.demo_model import demo_model_path
from shimmy.discovery.facts_cache import FactsCache
from shimmy.discovery.scan import Scanner
from shimmy.discovery.walk import Root
from shimmy.models.recent_models import RecentModels
from shimmy.tuning.setup import Setup
from shimmy.tuning.store import Store
from shimmy.tuning.winner import Identity, Winner

if TYPE_CHECKING:
    from conftest import ServerProcess

StartIn = Callable[..., "AbstractContextManager[ServerProcess]"]

SYSTEM = "You are Shimmy Mini, a tiny demo model. " + " ".join(f"Rule {n}: be kind to number {n}." for n in range(60))
QUESTIONS = ("Who are you?", "Spell lothel.", "List three animals.")
OPTIONS = ("--preload", "1")
ENVIRONMENT = {"SHIMMY_KV_CACHE_DISK": "256MiB"}
WINNER = Winner(
    identity=Identity(model="m", machine="x", build="b"),
    setup=Setup(),
    created="2026-01-31T12:00:00Z",
    seconds=1.0,
    depth=0,
    busy=0.0,
    speeds={},
    trials=[],
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts a small disk")


class SmallDisk:
    """A home of one MiB, mounted."""

    def __init__(self, path: Path) -> None:
        self.path = path
        (path / "models").mkdir()
        (path / "models" / "linked.gguf").symlink_to(demo_model_path())

    @property
    def filler(self) -> Path:
        return self.path / "filler"

    def fill(self, left: int) -> None:
        """Until only so many bytes are free."""
        with self.filler.open("wb", buffering=0) as file:
            free = os.statvfs(self.path)
            file.write(b"x" * (free.f_bavail * free.f_frsize - left))

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.path)], check=True)


@contextmanager
def small_disk(path: Path) -> Iterator[SmallDisk]:
    """Skips the test where nothing may be mounted; what is injected is tested everywhere."""
    path.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m,mode=700", "tmpfs", str(path)], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"a disk cannot be mounted: {mounted.stderr.strip()}")
    try:
        yield SmallDisk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    with small_disk(tmp_path / "home") as disk:
        yield disk


def answers_of(server: ServerProcess) -> list[str]:
    return [server.ask(question, SYSTEM)[0] for question in QUESTIONS]


def told(server: ServerProcess, what: str) -> list[str]:
    return [line for line in server.log if what in line]


def wait_until_told(server: ServerProcess, what: str) -> None:
    deadline = time.monotonic() + 60
    while not told(server, what):
        assert time.monotonic() < deadline, "".join(server.log)
        time.sleep(0.05)


def half_written(home: Path) -> list[Path]:
    """What writers left: files for what was never whole. Locks, and a list that has no entry yet, are empty."""
    ours = {"filler", "linked.gguf"}
    return [path for path in home.rglob("*") if path.is_file() and path.name not in ours and path.stat().st_size]


@pytest.fixture(scope="module")
def answers(start_in: StartIn, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What a server says that has room."""
    with start_in(tmp_path_factory.mktemp("room")) as server:
        return answers_of(server)


def check_answers(server: ServerProcess, answers: list[str], reason: str) -> None:
    """All of them, the log, and what is to be written on the way and at the end."""
    for _ in range(2):  # the second time its prefix is known
        assert answers_of(server) == answers
        wait_until_told(server, "prompts cannot be kept")
    feedback = httpx.post(
        f"{server.url}/v1/feedback", json={"query": "q", "response": "r" * 100_000, "weight": 1.0}, timeout=60
    )
    assert feedback.status_code == 503
    assert reason in feedback.text
    assert httpx.get(f"{server.url}/health", timeout=60).status_code == 200
    assert answers_of(server) == answers
    assert server.terminate() == 0
    (line,) = told(server, "prompts cannot be kept in")
    assert reason in line
    assert len(told(server, "the cache of model headers")) == 1
    assert len(told(server, "the models used last cannot be remembered")) == 1
    assert not told(server, "Traceback")


def test_a_full_disk(disk: SmallDisk, start_in: StartIn, answers: list[str]) -> None:
    disk.fill(left=0)
    with start_in(disk.path, *OPTIONS, environment=ENVIRONMENT) as server:
        check_answers(server, answers, os.strerror(errno.ENOSPC))
    assert half_written(disk.path) == []


def test_a_disk_that_fills_while_a_prefix_is_written(disk: SmallDisk, start_in: StartIn, answers: list[str]) -> None:
    """And that has room again for the next server."""
    disk.fill(left=64 << 10)
    with start_in(disk.path, environment=ENVIRONMENT) as server:
        assert answers_of(server) == answers
        wait_until_told(server, "prompts cannot be kept")
        assert answers_of(server) == answers
        assert server.terminate() == 0
        assert len(told(server, "prompts cannot be kept")) == 1
    assert not list(disk.path.rglob("*.kv"))
    assert not list(disk.path.rglob(".new-*"))
    disk.filler.unlink()
    disk.remount("size=64m")
    with start_in(disk.path, environment=ENVIRONMENT) as server:
        assert answers_of(server) == answers
        assert server.terminate() == 0
        assert not told(server, "cannot be")
    assert list(disk.path.rglob("*.kv"))


def test_a_disk_that_cannot_be_written(disk: SmallDisk, start_in: StartIn, answers: list[str]) -> None:
    disk.remount("ro")
    with start_in(disk.path, *OPTIONS, environment=ENVIRONMENT) as server:
        check_answers(server, answers, os.strerror(errno.EROFS))


@pytest.mark.parametrize("error", ["ENOSPC", "EROFS"])
def test_writes_that_are_refused(error: str, tmp_path: Path, start_in: StartIn, answers: list[str]) -> None:
    """The same where no disk can be mounted, as root too."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "linked.gguf").symlink_to(demo_model_path())
    path = os.pathsep.join(
        filter(None, (str(Path(__file__).with_name("refused_writes")), os.environ.get("PYTHONPATH")))
    )
    refused = {"PYTHONPATH": path, "REFUSED_FOLDER": str(tmp_path), "REFUSED_ERROR": error}
    with start_in(tmp_path, *OPTIONS, environment={**ENVIRONMENT, **refused}) as server:
        check_answers(server, answers, os.strerror(getattr(errno, error)))
    assert half_written(tmp_path) == []


def test_a_disk_that_becomes_read_only_while_serving(disk: SmallDisk, start_in: StartIn, answers: list[str]) -> None:
    """What is there by then is used."""
    disk.remount("size=64m")
    with start_in(disk.path, environment=ENVIRONMENT) as server:
        assert answers_of(server) == answers
        assert server.terminate() == 0
    with start_in(disk.path, environment=ENVIRONMENT) as server:
        assert server.ask(QUESTIONS[0], SYSTEM)[0] == answers[0]
        disk.remount("ro")
        assert answers_of(server) == answers
        assert server.terminate() == 0
        assert not told(server, "Traceback")
        disk.remount("rw")
    with start_in(disk.path, environment=ENVIRONMENT) as server:
        assert answers_of(server) == answers


def write_winner(folder: Path) -> None:
    Store(folder).save(WINNER)


def write_names(folder: Path) -> None:
    RecentModels(folder / "recent.json").save({f"model {n}" * 20: float(n) for n in range(60)})


def write_headers(folder: Path) -> None:
    Scanner(FactsCache(folder / "headers.msgpack")).scan([Root(folder.parent / "models")])


@pytest.mark.parametrize("write", [write_winner, write_names, write_headers])
@pytest.mark.parametrize("left", [0, 4096])
def test_small_files_are_whole_or_as_before(disk: SmallDisk, write: Callable[[Path], None], left: int) -> None:
    """Of each kind one that exists is replaced on a disk without room."""
    folder = disk.path / "cache"
    folder.mkdir()
    for file in ("recent.json", "headers.msgpack", f"{WINNER.identity.digest}.json"):
        (folder / file).write_bytes(b"before")
    disk.fill(left=left)
    try:
        write(folder)
    except OSError as error:
        assert error.errno == errno.ENOSPC
    for path in folder.iterdir():
        data = path.read_bytes()
        if data != b"before":
            (msgspec.msgpack if path.suffix == ".msgpack" else msgspec.json).decode(data)
    assert len(list(folder.iterdir())) == 3
