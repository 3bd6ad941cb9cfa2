"""The library's models in the registry."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import write_adapter, write_model

from shimmy.demo_model import demo_model_path
from shimmy.discovery.walk import Root
from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.library.library import Library
from shimmy.library.record import Record
from shimmy.models.registry import Registry
from shimmy.settings import Settings


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


def registry(library: Library, *folders: Path, **options: Any) -> Registry:
    return Registry(Settings(**options), roots=[Root(folder) for folder in folders], library=library)


def save(library: Library, name: str, created: float = 1, **fields: Any) -> None:
    library.save(Record(name=name, created=created, **fields))


def test_a_file_of_the_library_goes_by_the_name_that_it_was_pulled_by(library: Library) -> None:
    path = write_model(library.folder / "hf.co" / "owner" / "repo" / "m-Q8_0.gguf")
    assert registry(library, library.folder).names() == ["m-q8-0"]
    save(library, "owner/repo:Q8_0", files=("hf.co/owner/repo/m-Q8_0.gguf",))
    models = registry(library, library.folder)
    assert models.names() == ["owner/repo:Q8_0"]
    entry = models.get("owner/repo:Q8_0")
    assert (entry.path, entry.source, entry.engine) == (path, "discovered", "owner/repo:Q8_0")


def test_a_blob_needs_no_suffix(library: Library) -> None:
    write_model(library.folder / "blobs" / "sha256-1")
    save(library, "llama3:latest", files=("blobs/sha256-1", "blobs/sha256-2"))
    models = registry(library)
    assert models.get("llama3").name == models.get("llama3:latest").name == "llama3:latest"


def test_models_that_load_alike_share_the_first_ones_engine(library: Library, tmp_path: Path) -> None:
    write_model(tmp_path / "found" / "base.gguf")
    save(library, "a-copy", 2, base="base")
    save(library, "spoken", 3, base="base", system="Be brief.", parameters={"temperature": 0.1})
    save(library, "long", 4, base="base", parameters={"num_ctx": 512})
    save(library, "templated", 5, base="base", template="{{ messages }}!")
    save(library, "long-too", 6, base="base", parameters={"num_ctx": 512})
    models = registry(library, tmp_path / "found")
    engines = {entry.name: entry.engine for entry in models.entries() if entry.record or entry.name == "base"}
    assert engines == {
        "base": "base",
        "a-copy": "base",
        "spoken": "base",
        "long": "long",
        "templated": "templated",
        "long-too": "long",
    }
    assert models.get("a-copy").load_spec() == models.get("base").load_spec()
    assert models.get("long-too").load_spec().name == "long"
    assert models.get("long").load_spec().context == {"n_ctx": 512}
    assert models.get("templated").load_spec().chat_template == "{{ messages }}!"


def test_the_demo_model_can_be_a_base(library: Library) -> None:
    save(library, "pirate", base="shimmy-mini", system="Arr.")
    assert registry(library).get("pirate").path == demo_model_path()


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base": "gone"}, "made from gone, which is not there"),
        ({"files": ("gone.gguf",)}, "No such file"),
        ({"files": ("../outside.gguf",)}, "has no file"),
        ({"files": ("no.gguf",)}, "not a GGUF file"),
        ({"files": ("adapter.gguf",)}, "of kind adapter"),
        ({}, "names neither files nor"),
        ({"files": ("split-00001-of-00002.gguf",)}, "No such file"),
        ({"files": ("a\0b.gguf",)}, "has no file"),
    ],
)
def test_records_of_no_use_are_problems(library: Library, fields: dict[str, Any], reason: str) -> None:
    save(library, "bad", **fields)
    write_adapter(library.folder / "adapter.gguf")
    (library.folder / "no.gguf").write_bytes(b"x" * 100)
    models = registry(library)
    assert "bad" not in models.names()
    (problem,) = models.problems
    assert reason in problem.message


@pytest.mark.parametrize("text", ["nonsense", "created = " + "9" * 5000, "x = " + "[" * 5000, "name = 1"])
def test_a_broken_record_is_a_problem(library: Library, text: str) -> None:
    save(library, "good", base="shimmy-mini")
    (library.folder / "names" / "bad.toml").write_text(text)
    models = registry(library)
    assert "good" in models.names()
    assert [problem.path.name for problem in models.problems] == ["bad.toml"]


def test_the_model_that_was_given_keeps_its_name(library: Library, tmp_path: Path) -> None:
    given = write_model(tmp_path / "given" / "mine.gguf")
    write_model(library.folder / "blobs" / "sha256-1")
    save(library, "mine", files=("blobs/sha256-1",))
    save(library, "shimmy-mini", files=("blobs/sha256-1",))
    models = registry(library, model_path=given)
    assert models.get("mine").path == given
    assert models.get("shimmy-mini").path == demo_model_path()
    assert ["another model is called" in problem.message for problem in models.problems] == [True, True]


@pytest.mark.parametrize("name", ["given", "shimmy-mini"])
def test_names_that_are_not_the_librarys_to_take(library: Library, tmp_path: Path, name: str) -> None:
    models = registry(library, model_path=write_model(tmp_path / "given.gguf"))
    with pytest.raises(InvalidRequestError, match="not shimmy's to replace"):
        models.check_free(name)
    save(library, "own", base="given")
    models.rescan()
    models.check_free("own")


def test_what_is_not_found_is_told_without_paths_and_in_short(library: Library, tmp_path: Path) -> None:
    write_adapter(tmp_path / "adapter.gguf")
    models = registry(library, tmp_path)
    with pytest.raises(ModelNotFoundError, match="'adapter' is of kind adapter") as caught:
        models.get("adapter")
    assert str(tmp_path) not in caught.value.message
    with pytest.raises(ModelNotFoundError) as caught:
        models.get("x" * 1_000_000)
    assert len(caught.value.message) < 500


def test_a_found_model_that_is_hidden_is_told(library: Library, tmp_path: Path) -> None:
    found = write_model(tmp_path / "found" / "m.gguf")
    own = write_model(library.folder / "blobs" / "sha256-1")
    save(library, "m", files=("blobs/sha256-1",))
    models = registry(library, tmp_path / "found")
    assert models.get("m").path == own
    assert [problem.path for problem in models.problems] == [found]
