"""Trees of what nobody may read, what vanishes, loops or is no model: they are searched to the end, and it is told."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_gguf import model_bytes, write_model

from shimmy.discovery import facts_cache
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import Root

FOLDERS = st.lists(st.sampled_from(["a", "b", ".h", "target", "c d"]), max_size=3).map(tuple)
HOSTILE = st.sampled_from(["model", "half", "garbage", "loop", "broken link", "folder", "store", "pipe", "huge header"])
TREES = st.dictionaries(st.tuples(FOLDERS, st.sampled_from("abcde")), HOSTILE, max_size=10)
WRONG = ("half", "garbage", "loop", "broken link", "huge header")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="named pipes and links of POSIX")


def plant(path: Path, what: str) -> None:
    """Something called like a model that may be none."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if what == "model":
        write_model(path)
    elif what == "half":
        path.write_bytes(model_bytes(n_params=1000)[:-1000])
    elif what == "garbage":
        path.write_bytes(os.urandom(64))
    elif what == "loop":
        path.symlink_to(path.parent, target_is_directory=True)
    elif what == "broken link":
        path.symlink_to(path.parent / "nothing")
    elif what == "folder":
        path.mkdir()
    elif what == "store":
        (path / "manifests" / "host" / "library" / "m.gguf").mkdir(parents=True)
        (path / "manifests" / "host" / "library" / "m.gguf" / "tag").write_bytes(b"{")
        (path / "blobs").mkdir()
    elif what == "pipe":
        os.mkfifo(path)
    else:
        path.write_bytes(b"GGUF" + b"\3\0\0\0" + b"\xff" * 16)
        os.truncate(path, 1 << 40)


class Refusal:
    """Permissions that even root lacks: which folders cannot be listed, of which files nothing is told, which cannot be
    opened.
    """

    def __init__(self, unlisted: set[Path], unknown: set[Path], unopened: set[Path]) -> None:
        self._unlisted, self._unknown, self._unopened = unlisted, unknown, unopened
        self._scandir, self._read = os.scandir, facts_cache.read_header

    def apply(self, patch: pytest.MonkeyPatch) -> None:
        patch.setattr(os, "scandir", self._listing)
        patch.setattr(facts_cache, "read_header", self._header)

    def unless(self, path: str | Path, refused: set[Path]) -> None:
        if Path(path) in refused:
            raise PermissionError(13, "Permission denied", str(path))

    def _listing(self, folder: str | Path) -> Listing:
        self.unless(folder, self._unlisted)
        with self._scandir(folder) as entries:
            return Listing([Entry(entry, lambda path: self.unless(path, self._unknown)) for entry in entries])

    def _header(self, path: Path) -> Any:
        self.unless(path, self._unopened)
        return self._read(path)


class Listing:
    """What os.scandir gives."""

    def __init__(self, entries: list[Entry]) -> None:
        self._entries = entries

    def __enter__(self) -> Iterator[Entry]:
        return iter(self._entries)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass


class Entry:
    """An os.DirEntry; `check` is asked before anything is told that the folder itself does not say."""

    def __init__(self, entry: os.DirEntry[str], check: Any) -> None:
        self._entry, self._check = entry, check
        self.name, self.path = entry.name, entry.path

    def is_symlink(self) -> bool:
        return self._entry.is_symlink()

    def is_dir(self) -> bool:
        if self._entry.is_symlink():
            self._check(self.path)
        return self._entry.is_dir()

    def stat(self) -> os.stat_result:
        self._check(self.path)
        return self._entry.stat()


def scan(root: Path) -> Scan:
    return Scanner().scan([Root(root)])


@settings(max_examples=60, deadline=None)
@given(tree=TREES, vanishing=st.sets(st.integers(0, 9)))
def test_hostile_trees_are_searched_to_the_end(
    tmp_path_factory: pytest.TempPathFactory, tree: dict[tuple[tuple[str, ...], str], str], vanishing: set[int]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    planted = {root.joinpath(*folders, f"{name}.gguf"): what for (folders, name), what in tree.items()}
    for path, what in planted.items():
        plant(path, what)
    gone = {path for i, path in enumerate(planted) if i in vanishing and path.is_file()}
    real = facts_cache.read_header

    def read(path: Path) -> object:
        """As while someone tidies up: with the first header that is read, those files go."""
        for file in gone:
            file.unlink(missing_ok=True)
        return real(path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(facts_cache, "read_header", read)
        found = scan(root)
    visible = {path for path in planted if not {".h", "target"} & set(path.relative_to(root).parts)}
    reported = {problem.path for problem in found.problems}
    listed = {model.path for model in found.models}
    assert listed == {path for path in visible if planted[path] == "model"} - gone
    wrong = {path for path in visible if planted[path] in WRONG}
    assert wrong | (gone & visible) <= reported
    assert not listed & reported


@settings(max_examples=60, deadline=None)
@given(
    tree=TREES,
    unlisted=st.sets(FOLDERS, max_size=2),
    unknown=st.sets(st.integers(0, 9)),
    unopened=st.sets(st.integers(0, 9)),
)
def test_what_may_not_be_read_is_told_and_the_rest_found(
    tmp_path_factory: pytest.TempPathFactory,
    tree: dict[tuple[tuple[str, ...], str], str],
    unlisted: set[tuple[str, ...]],
    unknown: set[int],
    unopened: set[int],
) -> None:
    root = tmp_path_factory.mktemp("tree")
    planted = {root.joinpath(*folders, f"{name}.gguf"): what for (folders, name), what in tree.items()}
    for path, what in planted.items():
        plant(path, what)
    closed = {root.joinpath(*folders) for folders in unlisted} - {root}
    hidden = {path for i, path in enumerate(planted) if i in unknown}
    shut = {path for i, path in enumerate(planted) if i in unopened}
    with pytest.MonkeyPatch.context() as patch:
        Refusal(closed, hidden, shut).apply(patch)
        found = scan(root)
    visible = {
        path
        for path in planted
        if not {".h", "target"} & set(path.relative_to(root).parts) and not closed & set(path.parents)
    }
    reported = {problem.path: problem.message for problem in found.problems}
    models = {path for path in visible if planted[path] == "model"}
    assert {model.path for model in found.models} == models - hidden - shut
    refused = (visible & hidden) | (models & shut)
    for folder in closed:
        skipped = {".h", "target"} & set(folder.relative_to(root).parts)
        if folder.is_dir() and not skipped and not closed & set(folder.parents):
            refused.add(folder)
    assert all("Permission denied" in reported[path] for path in refused)
    assert {path for path in visible if planted[path] in WRONG} <= reported.keys()


def test_a_root_that_may_not_be_listed_is_told(tmp_path: Path) -> None:
    write_model(tmp_path / "m.gguf")
    with pytest.MonkeyPatch.context() as patch:
        Refusal({tmp_path}, set(), set()).apply(patch)
        found = scan(tmp_path)
    assert found.models == []
    assert [(problem.path, problem.message) for problem in found.problems] == [
        (tmp_path, "cannot list it: Permission denied")
    ]
