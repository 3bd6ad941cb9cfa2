"""Records of models, and the files that they share."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy.errors import ModelNotFoundError
from shimmy.library.library import Library
from shimmy.library.new_file import NewFile, sweep, write_file
from shimmy.library.record import Record

text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)


def record(name: str, *files: str, created: float = 1, **fields: object) -> Record:
    return Record(name=name, created=created, files=files, **fields)  # type: ignore[arg-type]


def lay(library: Library, *names: str) -> None:
    for name in names:
        path = library.file(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")


def names_of(library: Library) -> list[str]:
    return [one.name for one in library.read()[0]]


def test_an_empty_library_makes_nothing(library: Library) -> None:
    assert library.read() == ([], [])
    assert not library.folder.exists()


@settings(max_examples=30, deadline=None)
@given(
    system=text, content=text, stop=st.lists(text, max_size=2), number=st.floats(allow_nan=False) | st.integers(-9, 9)
)
def test_a_record_comes_back_as_it_was(
    tmp_path_factory: pytest.TempPathFactory, system: str, content: str, stop: list[str], number: float
) -> None:
    library = Library(tmp_path_factory.mktemp("library"))
    said = record(
        "me/m:8b",
        "a/b.gguf",
        system=system,
        parameters={"stop": stop, "temperature": number},
        messages=[{"role": "user", "content": content}],
        license=("MIT", system),
    )
    library.save(said)
    assert library.read() == ([said], [])


def test_records_come_in_the_order_of_their_making(library: Library) -> None:
    for name, created in (("b", 1), ("a", 2), ("c", 0)):
        library.save(record(name, created=created))
    assert names_of(library) == ["c", "b", "a"]


def test_names_that_a_file_could_not_have(library: Library) -> None:
    for name in ("a/b:c", "a%2Fb:c", "..", "CON", "A", "a"):
        library.save(record(name))
    assert len(names_of(library)) == 6
    assert {path.parent for path in library.folder.rglob("*.toml")} == {library.folder / "names"}


def test_files_go_with_the_last_record_that_has_them(library: Library) -> None:
    lay(library, "d/shared.gguf", "d/e/own.gguf")
    library.save(record("one", "d/shared.gguf", "d/e/own.gguf"))
    library.save(record("two", "d/shared.gguf"))
    library.delete("one")
    assert library.file("d/shared.gguf").exists()
    assert not (library.folder / "d" / "e").exists()
    library.delete("two")
    assert sorted(library.folder.iterdir()) == [library.folder / "names"]
    with pytest.raises(ModelNotFoundError):
        library.delete("two")


def test_replacing_a_record_removes_what_only_it_had(library: Library) -> None:
    lay(library, "old.gguf", "new.gguf", "both.gguf")
    library.save(record("m", "old.gguf", "both.gguf"))
    library.replace(record("m", "new.gguf", "both.gguf"))
    assert {path.name for path in library.folder.glob("*.gguf")} == {"new.gguf", "both.gguf"}


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "a/../../x"])
def test_no_file_lies_outside(library: Library, name: str) -> None:
    with pytest.raises(ModelNotFoundError):
        library.file(name)


@pytest.mark.parametrize("content", [b"not toml [", b"\xff", b"name = 1", b'name = "x"\ncreated = 1\nbogus = 2', b""])
def test_what_is_no_record_is_told_and_skipped(library: Library, content: bytes) -> None:
    library.save(record("good"))
    path: Path = library.folder / "names" / "bad.toml"
    path.write_bytes(content)
    records, broken = library.read()
    assert [one.name for one in records] == ["good"]
    assert [one.path for one in broken] == [path]
    assert broken[0].message


def test_a_record_needs_its_files(library: Library) -> None:
    lay(library, "a.gguf")
    library.replace(record("m", "a.gguf"))
    library.delete("m")  # while somebody made another record of the same file
    with pytest.raises(ModelNotFoundError, match=r"a\.gguf was deleted .* meanwhile"):
        library.replace(record("copy", "a.gguf"))
    assert names_of(library) == []


def test_what_removes_a_file_waits_for_what_needs_it(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    lay(library, "a.gguf")
    library.save(record("m", "a.gguf"))
    deleting = threading.Thread(target=Library(library.folder).delete, args=("m",))
    save = library._save

    def save_late(one: Record) -> None:
        deleting.start()
        deleting.join(0.2)
        assert library.file("a.gguf").exists()
        save(one)

    monkeypatch.setattr(library, "_save", save_late)
    library.replace(record("copy", "a.gguf"))
    deleting.join(5)
    assert names_of(library) == ["copy"]
    assert library.file("a.gguf").exists()


def test_a_file_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "below" / "file"
    with pytest.raises(ValueError, match="no"), NewFile(path) as new:
        new.file.write(b"half")
        raise ValueError("no")
    assert list(path.parent.iterdir()) == []
    write_file(path, b"whole")
    assert (path.read_bytes(), list(path.parent.iterdir())) == (b"whole", [path])


def test_what_processes_left_behind_is_swept(tmp_path: Path) -> None:
    old, new, other = (tmp_path / "d" / name for name in (".new-old", ".new-new", "model.gguf"))
    old.parent.mkdir()
    for path in (old, new, other):
        path.write_bytes(b"x")
    for path in (old, other):
        os.utime(path, (1, 1))
    sweep(tmp_path)
    assert sorted(old.parent.iterdir()) == [new, other]
