"""Which files a client may name."""

from __future__ import annotations

from pathlib import Path

import pytest

from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.models.adapter_files import allowed_file


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    for name in ("one/sub/a.gguf", "two/b.gguf", "outside/c.gguf"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / "one" / "inward.gguf").symlink_to(tmp_path / "two" / "b.gguf")
    (tmp_path / "one" / "outward.gguf").symlink_to(tmp_path / "outside" / "c.gguf")
    (tmp_path / "one" / "away").symlink_to(tmp_path / "outside")
    return [tmp_path / "one", tmp_path / "two", tmp_path / "not-there"]


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("sub/a.gguf", "one/sub/a.gguf"),
        ("./sub/../sub/a.gguf", "one/sub/a.gguf"),
        ("b.gguf", "two/b.gguf"),
        ("{}/two/b.gguf", "two/b.gguf"),
        ("../two/b.gguf", "two/b.gguf"),  # in another one of them
        ("inward.gguf", "one/inward.gguf"),
    ],
)
def test_those_in_the_folders(tmp_path: Path, folders: list[Path], path: str, found: str) -> None:
    assert allowed_file(path.format(tmp_path), folders) == tmp_path / found


@pytest.mark.parametrize(
    "path",
    [
        "../outside/c.gguf",
        "{}/outside/c.gguf",
        "{}/outside/not-there.gguf",
        "{}/one-too/a.gguf",
        "/etc/passwd",
        "sub/../../../../../../etc/passwd",
        "outward.gguf",
        "away/c.gguf",
        ".",
        "",
        "a\0.gguf",
        "a\n.gguf",
        "x" * 5000,
    ],
)
def test_none_outside(tmp_path: Path, folders: list[Path], path: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        allowed_file(path.format(tmp_path), folders)
    assert caught.value.param == "path"


@pytest.mark.parametrize("path", ["nope.gguf", "{}/one/nope.gguf", "sub", "~/a.gguf"])
def test_none_that_is_no_file(tmp_path: Path, folders: list[Path], path: str) -> None:
    with pytest.raises(ModelNotFoundError, match="no file"):
        allowed_file(path.format(tmp_path), folders)
