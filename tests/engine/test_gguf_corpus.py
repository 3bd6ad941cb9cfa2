"""No file, however damaged, ends the process that loads it: it raises ModelLoadError and says what is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

import shimmy
from gguf_corpus import CorpusFile, flip_header_bytes, write_all
from gguf_loader import Outcome, load_all
from gguf_mutations import ADAPTER_MUTATIONS, MODEL_MUTATIONS, OTHER_FORMATS
from shimmy import _core as core
from shimmy.demo_model import demo_adapter_paths
from shimmy.errors import ModelLoadError

MODEL = shimmy.demo_model_path()
ADAPTER = demo_adapter_paths()["pirate"]
FLIPS = 300


def problems(files: list[CorpusFile], outcomes: list[Outcome]) -> str:
    """One line for each file whose loading did not go as it must."""
    found = []
    for file, outcome in zip(files, outcomes, strict=True):
        if file.mentions is None and outcome.result in {"loaded", "ModelLoadError"}:
            continue
        if file.mentions is not None and outcome.result == "ModelLoadError":
            if file.path.name in outcome.message and file.mentions in outcome.message:
                continue
            found.append(f"{file.name}: {outcome.message!r} does not mention {file.mentions!r} and the file")
            continue
        found.append(f"{file.name}: {outcome.result}, {outcome.message}")
    return "\n".join(found)


def load(files: list[CorpusFile], *, model: Path | None = None) -> list[Outcome]:
    return load_all([file.name for file in files], [file.path for file in files], model=model)


def test_the_corpus_is_of_one_name_each_and_large() -> None:
    names = [mutation.name for mutation in [*MODEL_MUTATIONS, *OTHER_FORMATS, *ADAPTER_MUTATIONS]]
    assert len(names) == len(set(names))
    assert len(names) >= 60


def test_damaged_models_are_refused_by_what_is_wrong(tmp_path: Path) -> None:
    files = list(write_all([*MODEL_MUTATIONS, *OTHER_FORMATS], MODEL, tmp_path))
    assert problems(files, load(files)) == ""


def test_damaged_adapters_are_refused_by_what_is_wrong(tmp_path: Path) -> None:
    files = list(write_all([*ADAPTER_MUTATIONS, *OTHER_FORMATS], ADAPTER, tmp_path))
    assert problems(files, load(files, model=MODEL)) == ""


def test_no_flipped_byte_of_a_model_ends_the_process(tmp_path: Path) -> None:
    files = list(flip_header_bytes(MODEL, tmp_path, count=FLIPS, seed=1))
    outcomes = load(files)
    assert problems(files, outcomes) == ""
    assert any(outcome.result == "ModelLoadError" for outcome in outcomes)


def test_no_flipped_byte_of_an_adapter_ends_the_process(tmp_path: Path) -> None:
    files = list(flip_header_bytes(ADAPTER, tmp_path, count=FLIPS, seed=2))
    assert problems(files, load(files, model=MODEL)) == ""


def test_a_model_is_no_adapter_and_an_adapter_no_model() -> None:
    assert [o.result for o in load_all(["adapter"], [ADAPTER])] == ["ModelLoadError"]
    assert [o.result for o in load_all(["model"], [MODEL], model=MODEL)] == ["ModelLoadError"]
    assert [o.result for o in load_all(["model"], [MODEL])] == ["loaded"]
    assert [o.result for o in load_all(["adapter"], [ADAPTER], model=MODEL)] == ["loaded"]


def test_metadata_is_read_without_loading(tmp_path: Path) -> None:
    summary = core.read_gguf(str(MODEL))
    assert (summary.architecture, summary.kind, summary.version) == ("llama", "model", 3)
    assert (summary.context_length, summary.block_count, summary.n_vocab) == (2048, 10, 4096)
    assert summary.size_bytes == MODEL.stat().st_size
    assert summary.has_chat_template
    assert core.read_gguf(str(ADAPTER)).kind == "adapter"
    with pytest.raises(ModelLoadError, match=r"none\.gguf: the file does not exist"):
        core.read_gguf(str(tmp_path / "none.gguf"))
