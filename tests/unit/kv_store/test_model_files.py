"""What says that a model's files are others."""

from __future__ import annotations

import os
from pathlib import Path

from shimmy.kv_store.model_files import files_version


def test_an_edit_that_keeps_the_size_is_another_version(tmp_path: Path) -> None:
    path = tmp_path / "m.gguf"
    path.write_bytes(b"x" * 100)
    os.utime(path, ns=(1, 1_000_000_001))
    before = files_version(str(path))
    assert before == "100:1000000001"
    os.utime(path, ns=(2, 1_000_000_001))  # being read is no change
    assert files_version(str(path)) == before
    os.utime(path, ns=(2, 1_000_000_002))
    assert files_version(str(path)) != before


def test_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "blob").write_bytes(b"x")
    (tmp_path / "m.gguf").symlink_to(tmp_path / "blob")
    assert files_version(str(tmp_path / "m.gguf")) == files_version(str(tmp_path / "blob"))


def test_every_part_of_a_split_model_counts(tmp_path: Path) -> None:
    parts = [tmp_path / f"m-0000{n}-of-00003.gguf" for n in (1, 2, 3)]
    for part in parts[:2]:
        part.write_bytes(b"xy")
        os.utime(part, ns=(1, 5))
    assert files_version(str(parts[0])) == "2:5,2:5,0:0"
    parts[2].write_bytes(b"z")
    os.utime(parts[2], ns=(1, 7))
    assert files_version(str(parts[0])) == "2:5,2:5,1:7"


def test_what_is_not_there_has_a_version_too(tmp_path: Path) -> None:
    assert files_version(str(tmp_path / "no.gguf")) == "0:0"
