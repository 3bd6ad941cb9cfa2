from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import write_model

from shimmy.discovery import facts_cache
from shimmy.discovery.facts_cache import FactsCache
from shimmy.discovery.gguf_header import GgufError
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import FoundFile, Root


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose headers were read."""
    done: list[Path] = []
    real = facts_cache.read_header
    monkeypatch.setattr(facts_cache, "read_header", lambda path: (done.append(path), real(path))[1])
    return done


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write_model(tmp_path / "models" / "one.gguf")
    write_model(tmp_path / "models" / "two.gguf", {"general.size_label": "8B"})
    (tmp_path / "models" / "bad.gguf").write_bytes(b"no")
    return tmp_path / "models"


def scan(folder: Path, cache: Path) -> Scan:
    return Scanner(FactsCache(cache)).scan([Root(folder)])


def test_a_second_process_reads_no_header(folder: Path, tmp_path: Path, reads: list[Path]) -> None:
    first = scan(folder, tmp_path / "cache" / "c.msgpack")
    assert len(reads) == 3
    assert scan(folder, tmp_path / "cache" / "c.msgpack") == first
    assert len(reads) == 3
    assert os.listdir(tmp_path / "cache") == ["c.msgpack"]  # noqa: PTH208


def test_a_changed_file_is_read_again(folder: Path, tmp_path: Path, reads: list[Path]) -> None:
    scan(folder, tmp_path / "c")
    changed = write_model(folder / "one.gguf", {"general.size_label": "9B"})
    reads.clear()
    assert [model.size_label for model in scan(folder, tmp_path / "c").models] == ["9B", "8B"]
    assert reads == [changed]


def test_a_file_of_the_same_size_and_another_time_is_read_again(
    folder: Path, tmp_path: Path, reads: list[Path]
) -> None:
    scan(folder, tmp_path / "c")
    os.utime(folder / "two.gguf", ns=(1, 1))
    reads.clear()
    scan(folder, tmp_path / "c")
    assert reads == [folder / "two.gguf"]


def test_nothing_is_written_when_nothing_changed(folder: Path, tmp_path: Path) -> None:
    scan(folder, tmp_path / "c")
    before = (tmp_path / "c").stat()
    scan(folder, tmp_path / "c")
    assert (tmp_path / "c").stat().st_ino == before.st_ino


@pytest.mark.parametrize("data", [b"", b"\x92\x00", b"garbage", b"\x92\x01\x81\xa1x\x01", b"\x92\xcd\xff\xff\x80"])
def test_a_cache_that_is_damaged_or_of_another_version_is_replaced(folder: Path, tmp_path: Path, data: bytes) -> None:
    good = scan(folder, tmp_path / "good")
    (tmp_path / "c").write_bytes(data)
    assert scan(folder, tmp_path / "c") == good
    assert (tmp_path / "c").read_bytes() == (tmp_path / "good").read_bytes()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 10_000), patch=st.binary(min_size=1, max_size=8), cut=st.integers(0, 300))
def test_any_damage_leaves_a_working_search(
    folder: Path, tmp_path: Path, position: int, patch: bytes, cut: int
) -> None:
    cache = tmp_path / "damaged"
    cache.unlink(missing_ok=True)
    names = [model.name for model in scan(folder, cache).models]
    data = bytearray(cache.read_bytes())
    at = position % len(data)
    data[at : at + len(patch)] = patch
    cache.write_bytes(bytes(data[: max(0, len(data) - cut)]))
    found = scan(folder, cache)
    assert len(found.models) + len(found.problems) == 3  # what it says may be wrong, as any file's name may be
    assert names == ["one", "two"]


def test_a_cache_that_cannot_be_written_is_done_without(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path / "file" / "c", tmp_path / "models"):
        assert len(scan(folder, path).models) == 2


def test_files_of_other_searches_are_remembered_up_to_a_number(
    folder: Path, tmp_path: Path, reads: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    other = write_model(tmp_path / "other" / "x.gguf")
    scan(folder, tmp_path / "c")
    scan(other.parent, tmp_path / "c")
    reads.clear()
    scan(folder, tmp_path / "c")
    assert reads == []
    monkeypatch.setattr(facts_cache, "MAX_UNSEEN", 0)
    write_model(folder / "three.gguf")
    scan(folder, tmp_path / "c")
    reads.clear()
    scan(other.parent, tmp_path / "c")
    assert reads == [other]


def test_a_broken_file_is_an_error_every_time(tmp_path: Path) -> None:
    path = tmp_path / "bad.gguf"
    path.write_bytes(b"no")
    cache = FactsCache()
    for _ in range(2):
        with pytest.raises(GgufError, match=r"^not a GGUF file"):
            cache.facts(FoundFile(str(path), 2, 0))
