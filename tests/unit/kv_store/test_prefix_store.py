"""The folder: files appear whole or not at all, whatever is in it, and whoever else uses it."""

from __future__ import annotations

import errno
import logging
import os
import resource
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from shimmy.kv_store import prefix_store
from shimmy.kv_store.budget import MAX_AGE_SECONDS
from shimmy.kv_store.prefix_file import Space, TokenArray
from shimmy.kv_store.prefix_store import PrefixStore
from shimmy.kv_store.trial import Trial, died_trying

SPACE = Space("alice")
STATE = b"s" * 10_000
GENEROUS = 1 << 30

needs_permissions = pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")


def tokens(seed: int, n: int = 300) -> TokenArray:
    return np.arange(seed * 1_000_000, seed * 1_000_000 + n, dtype=np.int32)


def store(folder: Path, budget: int | None = GENEROUS, fingerprint: str = "model=1") -> PrefixStore:
    return PrefixStore(folder, fingerprint, budget)


def kept(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kv"))


def read(one: PrefixStore, seed: int) -> bytes | None:
    found = one.find(SPACE, tokens(seed))
    return None if found is None else one.read(found[0])


def test_what_was_written_is_found_by_the_next_process(tmp_path: Path) -> None:
    assert store(tmp_path / "kv").write(SPACE, tokens(1), 2.5, STATE)
    other = store(tmp_path / "kv")
    found = other.find(SPACE, np.append(tokens(1), 7).astype(np.int32))
    assert found is not None
    assert found[1] == 300
    assert found[0].seconds == 2.5
    assert other.read(found[0]) == STATE
    assert other.covered(SPACE, tokens(1)) == 300
    assert other.find(Space("bob"), tokens(1)) is None
    assert store(tmp_path / "kv", fingerprint="model=2").find(SPACE, tokens(1)) is None


def test_files_are_for_their_owner_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        store(tmp_path / "kv").write(SPACE, tokens(1), 0, STATE)
    finally:
        os.umask(before)
    (path,) = kept(tmp_path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_files_of_two_stores_at_once(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    assert one.find(SPACE, tokens(2)) is None
    other.write(SPACE, tokens(2), 0, STATE)
    time.sleep(0.02)  # the clock of a file system may be coarse
    one.write(SPACE, tokens(1), 0, STATE)
    assert read(one, 2) == STATE
    assert read(other, 1) == STATE
    found = other.find(SPACE, tokens(2))
    assert found is not None
    time.sleep(0.02)
    kept(tmp_path)[0].unlink()
    kept(tmp_path)[0].unlink()
    assert other.read(found[0]) is None
    assert one.find(SPACE, tokens(1)) is None


def damage(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("at", [0, 8, 12, 16, 24, 39, 40, 60, 600])
def test_a_damaged_header_is_ignored_and_removed(tmp_path: Path, at: int) -> None:
    store(tmp_path).write(SPACE, tokens(1), 0, STATE)
    damage(kept(tmp_path)[0], at)
    assert store(tmp_path).find(SPACE, tokens(1)) is None
    assert kept(tmp_path) == []


@pytest.mark.parametrize("size", [0, 10, 41, 500, 5000])
def test_a_truncated_file_is_ignored_and_removed(tmp_path: Path, size: int) -> None:
    store(tmp_path).write(SPACE, tokens(1), 0, STATE)
    os.truncate(kept(tmp_path)[0], size)
    assert store(tmp_path).find(SPACE, tokens(1)) is None
    assert kept(tmp_path) == []


def test_a_foreign_file_is_ignored_and_removed(tmp_path: Path) -> None:
    other = store(tmp_path, fingerprint="model=2")
    other.write(SPACE, tokens(2), 0, STATE)
    (foreign,) = kept(tmp_path)
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    mine = next(path for path in kept(tmp_path) if path != foreign)
    folder = mine.parent
    foreign.rename(folder / foreign.name)  # of another model
    (folder / f"{'0' * 32}.kv").write_bytes(mine.read_bytes())  # not what its name says
    (folder / f"{'1' * 32}.kv").mkdir()
    os.mkfifo(folder / f"{'2' * 32}.kv")
    (folder / f"{'3' * 32}.kv").symlink_to(mine)
    (folder / f"{'4' * 32}.kv").symlink_to("nowhere")
    for path in folder.iterdir():
        if not path.is_symlink():
            path.chmod(0o700 if path.is_dir() else 0o600)
    fresh = store(tmp_path)
    assert read(fresh, 1) == STATE
    assert fresh.find(SPACE, tokens(2)) is None
    assert {path.name for path in folder.iterdir() if path.suffix == ".kv"} == {mine.name, f"{'1' * 32}.kv"}


def test_a_file_that_others_may_read_is_removed(tmp_path: Path) -> None:
    store(tmp_path).write(SPACE, tokens(1), 0, STATE)
    kept(tmp_path)[0].chmod(0o644)
    assert store(tmp_path).find(SPACE, tokens(1)) is None
    assert kept(tmp_path) == []


def test_the_budget_holds_across_models_and_the_oldest_go(tmp_path: Path) -> None:
    budget = 5 * 11_500
    for seed in range(6):
        store(tmp_path, budget, f"model={seed % 2}").write(SPACE, tokens(seed), 0, STATE)
        for path in kept(tmp_path):
            os.utime(path, (0, path.stat().st_mtime - 60))
    assert len(kept(tmp_path)) == 5
    assert sum(path.stat().st_size for path in kept(tmp_path)) <= budget
    assert read(store(tmp_path, budget, "model=0"), 0) is None
    assert read(store(tmp_path, budget, "model=1"), 5) == STATE
    assert not store(tmp_path, budget).write(SPACE, tokens(7), 0, b"s" * (budget // 2))
    store(tmp_path, 0).tidy()
    assert kept(tmp_path) == []


def test_what_is_used_stays_and_what_is_old_goes(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    one.write(SPACE, tokens(2), 0, STATE)
    for path in kept(tmp_path):
        os.utime(path, (0, time.time() - MAX_AGE_SECONDS - 60))
    assert one.find(SPACE, tokens(2)) is not None
    one.tidy()
    assert one.find(SPACE, tokens(1)) is None
    assert read(one, 2) == STATE


def test_a_longer_prefix_takes_the_place_of_a_shorter_one(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1, 1000), 0, STATE)
    one.write(SPACE, tokens(1, 1400), 0, STATE)
    assert len(kept(tmp_path)) == 1
    assert one.covered(SPACE, tokens(1, 1400)) == 1400


def test_files_that_are_not_ours_stay(tmp_path: Path) -> None:
    (tmp_path / "letters").mkdir()
    for name in ("letters/a.kv", "b.kv", "letters/.new-c", "d"):
        (tmp_path / name).write_text("mine")
    one = store(tmp_path, 30_000)
    for seed in range(5):
        one.write(SPACE, tokens(seed), 0, STATE)
    assert all((tmp_path / name).exists() for name in ("letters/a.kv", "b.kv", "letters/.new-c", "d"))


def test_what_a_writer_left_behind_is_removed(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    folder = kept(tmp_path)[0].parent
    (folder / ".new-abc").write_bytes(STATE)
    (folder / f"{'0' * 32}.trying").touch()
    one.tidy()
    assert [path.suffix for path in folder.iterdir()] == [".kv"]


@contextmanager
def largest_file(n_bytes: int) -> Iterator[None]:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_a_disk_that_takes_no_more_is_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    with largest_file(5000), caplog.at_level(logging.WARNING):
        assert not one.write(SPACE, tokens(2), 0, STATE)
        assert not one.write(SPACE, tokens(3), 0, STATE)
        monkeypatch.setattr(prefix_store, "_REST_SECONDS", 0.0)
        one._rests_until = 0.0
        assert not one.write(SPACE, tokens(4), 0, STATE)
    assert [record.getMessage() for record in caplog.records] == [
        f"prompts cannot be kept in {tmp_path}: {os.strerror(errno.EFBIG)}"
    ]
    assert len([path for path in tmp_path.rglob("*") if path.is_file()]) == 2  # the first, and the lock
    one._rests_until = 0.0
    assert one.write(SPACE, tokens(2), 0, STATE)
    assert read(one, 1) == STATE


@needs_permissions
def test_a_folder_that_cannot_be_written_is_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    store(tmp_path).write(SPACE, tokens(1), 0, STATE)
    folder = kept(tmp_path)[0].parent
    folder.chmod(0o500)
    try:
        one = store(tmp_path)
        assert not one.write(SPACE, tokens(2), 0, STATE)
        assert not one.write(SPACE, tokens(2), 0, STATE)
        assert read(one, 1) == STATE
        one.tidy()
    finally:
        folder.chmod(0o700)
    assert len(caplog.records) == 1


def test_a_folder_that_cannot_be_made_is_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").touch()
    one = store(tmp_path / "file" / "kv")
    one.tidy()
    assert one.find(SPACE, tokens(1)) is None
    assert not one.write(SPACE, tokens(1), 0, STATE)
    assert not one.write(SPACE, tokens(1), 0, STATE)
    assert [record.getMessage() for record in caplog.records] == [
        f"prompts cannot be kept in {tmp_path / 'file' / 'kv'}: Not a directory"
    ]


def test_one_process_writes_at_a_time(tmp_path: Path) -> None:
    one, other = store(tmp_path), store(tmp_path)
    with one._writing() as may:
        assert may
        assert not other.write(SPACE, tokens(1), 0, STATE)
    assert other.write(SPACE, tokens(1), 0, STATE)


def test_a_file_that_ended_a_process_is_not_tried_again(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    one.write(SPACE, tokens(2), 0, STATE)
    found = one.find(SPACE, tokens(1))
    assert found is not None
    path = found[0].path
    child = (
        "import os, sys\nfrom pathlib import Path\nfrom shimmy.kv_store.trial import Trial\n"
        "trial = Trial.of(Path(sys.argv[1]))\nassert trial is not None\nos.kill(os.getpid(), 9)\n"
    )
    subprocess.run([sys.executable, "-c", child, str(path)], check=False)
    assert died_trying(path)
    fresh = store(tmp_path)
    assert read(fresh, 1) is None
    assert read(fresh, 2) == STATE
    assert not path.exists()


def test_one_process_tries_a_file_at_a_time(tmp_path: Path) -> None:
    one = store(tmp_path)
    one.write(SPACE, tokens(1), 0, STATE)
    (path,) = kept(tmp_path)
    trial = Trial.of(path)
    assert trial is not None
    assert Trial.of(path) is None
    assert not died_trying(path)
    assert read(store(tmp_path), 1) == STATE
    trial.end()
    trial.end()
    again = Trial.of(path)
    assert again is not None
    again.end()
    assert Trial.of(tmp_path / "missing" / "file.kv") is None
