"""The models used last, from one start to the next."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from shimmy.models.recent_models import MOST, RecentModels


def test_they_come_back_in_order(tmp_path: Path) -> None:
    path = tmp_path / "state" / "recent.json"
    recent = RecentModels(path)
    assert recent.names() == []
    recent.save({"a": 1.0, "b": 3.0})
    recent.save({"a": 2.0, "c": 1.5})
    assert RecentModels(path).names() == ["b", "a", "c"]
    RecentModels(path).save({"c": 9.0})
    assert RecentModels(path).names() == ["c", "b", "a"]


def test_nothing_new_writes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    recent = RecentModels(path)
    recent.save({})
    assert not path.exists()
    recent.save({"a": 1.0})
    path.unlink()
    recent.save({"a": 1.0})
    assert not path.exists()


def test_only_so_many_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "recent.json"
    RecentModels(path).save({f"m{i}": float(i) for i in range(MOST + 10)})
    names = RecentModels(path).names()
    assert (len(names), names[0]) == (MOST, f"m{MOST + 9}")


@pytest.mark.parametrize("damage", [b"", b"{", b"[1]", b'{"a": "b"}', b"\xff\xfe", b'{"a": 1' + b" " * 300_000 + b"}"])
def test_a_damaged_file_is_begun_anew(tmp_path: Path, damage: bytes, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "recent.json"
    path.write_bytes(damage)
    recent = RecentModels(path)
    assert recent.names() == []
    assert "damaged" in caplog.text
    recent.save({"a": 1.0})
    assert RecentModels(path).names() == ["a"]


def test_a_folder_that_takes_nothing_stops_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with caplog.at_level(logging.WARNING):
        RecentModels(tmp_path / "file" / "recent.json").save({"a": 1.0})
    assert "cannot be remembered" in caplog.text
