from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tiny_gguf import write_adapter, write_model

from shimmy.discovery.gguf_header import GgufError
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import Root


def scan(*folders: Path) -> Scan:
    return Scanner().scan([Root(folder) for folder in folders])


def names(found: Scan) -> list[str]:
    return [model.name for model in found.models]


def test_finds_models_below_a_folder(tmp_path: Path) -> None:
    write_model(tmp_path / "One.gguf", {"general.file_type": 15, "general.size_label": "1B"})
    write_model(tmp_path / "deep" / "er" / "snapshots" / "two_q4.GGUF", n_params=2_000)
    (tmp_path / "notes.txt").write_text("no model")
    found = scan(tmp_path)
    assert names(found) == ["one", "two-q4"]
    assert found.problems == []
    one, two = found.models
    assert (one.kind, one.architecture, one.quantization, one.size_label) == ("chat", "llama", "Q4_K_M", "1B")
    assert (one.n_ctx_train, one.has_chat_template, one.size_bytes) == (2048, True, one.path.stat().st_size)
    assert two.size_label == "2.0K"


def test_build_trees_and_hidden_folders_are_skipped_below_a_root(tmp_path: Path) -> None:
    for folder in (".git", "target", "node_modules", "cmake", ".hidden/deep"):
        write_model(tmp_path / folder / "no.gguf")
    write_model(tmp_path / "build" / "no.gguf")
    (tmp_path / "build" / "CMakeCache.txt").touch()
    write_model(tmp_path / "yes.gguf")
    assert names(scan(tmp_path)) == ["yes"]


@pytest.mark.parametrize("folder", [".cache", "target", "build"])
def test_a_root_is_never_skipped(tmp_path: Path, folder: str) -> None:
    write_model(tmp_path / folder / "yes.gguf")
    (tmp_path / folder / "CMakeCache.txt").touch()
    assert names(scan(tmp_path / folder)) == ["yes"]


def test_files_that_are_no_models_become_problems(tmp_path: Path) -> None:
    (tmp_path / "fake.gguf").write_bytes(b"hello" * 100)
    (tmp_path / "adapter_model.safetensors").write_bytes(b"x")
    found = scan(tmp_path)
    assert found.models == []
    messages = {problem.path.name: problem.message for problem in found.problems}
    assert "letters GGUF" in messages["fake.gguf"]
    assert "convert it" in messages["adapter_model.safetensors"]


def test_a_missing_folder_is_a_problem_only_when_asked_for(tmp_path: Path) -> None:
    found = Scanner().scan([Root(tmp_path / "no"), Root(tmp_path / "maybe", required=False)])
    assert [problem.path for problem in found.problems] == [tmp_path / "no"]


def test_a_file_as_root_is_a_problem(tmp_path: Path) -> None:
    found = scan(write_model(tmp_path / "m.gguf"))
    assert found.models == []
    assert "not a folder" in found.problems[0].message


def test_links_are_followed_once(tmp_path: Path) -> None:
    blob = write_model(tmp_path / ".blobs" / "sha256-abc")
    link = tmp_path / "snapshots" / "model.gguf"
    link.parent.mkdir()
    link.symlink_to(blob)
    (tmp_path / "again.gguf").symlink_to(link)
    (tmp_path / "snapshots" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "broken.gguf").symlink_to(tmp_path / "gone")
    found = scan(tmp_path, tmp_path / "snapshots")
    assert names(found) == ["again"]
    assert [problem.path.name for problem in found.problems] == ["broken.gguf", "loop"]
    assert "a folder that it is in" in found.problems[1].message


def test_links_that_lead_nowhere_are_told(tmp_path: Path) -> None:
    models = write_model(tmp_path / "models" / "m.gguf").parent
    (models / "disk").symlink_to(tmp_path / "not mounted", target_is_directory=True)
    (models / "this").symlink_to(models / "that")
    (models / "that").symlink_to(models / "this")
    (models / ".#notes").symlink_to("a lock of an editor")
    (models / "notes").symlink_to(models / "m.gguf")
    (models / "up").symlink_to(tmp_path, target_is_directory=True)
    (models / "beside").symlink_to(write_model(tmp_path / "beside" / "n.gguf").parent, target_is_directory=True)
    (models / "again").symlink_to(tmp_path / "beside", target_is_directory=True)
    found = scan(models)
    assert names(found) == ["m", "n"]
    assert {problem.path.name: problem.message for problem in found.problems} == {
        "disk": "cannot read it: No such file or directory",
        "this": "cannot read it: Too many levels of symbolic links",
        "that": "cannot read it: Too many levels of symbolic links",
        "up": "a link to a folder that it is in; it is not followed",
    }


@pytest.mark.skipif(os.name != "posix", reason="named pipes and permissions of POSIX")
def test_pipes_and_unreadable_things_do_not_stop_the_search(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    write_model(tmp_path / "good.gguf")
    secret = write_model(tmp_path / "secret" / "hidden.gguf").parent
    odd = Path(os.fsdecode(b"\xff.gguf"))
    write_model(tmp_path / odd)
    secret.chmod(0)
    try:
        found = scan(tmp_path)
    finally:
        secret.chmod(0o700)
    assert "good" in names(found)
    reasons = [problem.message for problem in found.problems]
    assert any("UTF-8" in reason for reason in reasons)
    if os.geteuid() != 0:
        assert any("ermission" in reason for reason in reasons)


def test_a_file_that_vanishes_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shimmy.discovery.facts_cache as module

    write_model(tmp_path / "a.gguf")
    gone = write_model(tmp_path / "b.gguf")
    real = module.read_header

    def read(path: Path) -> object:
        gone.unlink(missing_ok=True)
        return real(path)

    monkeypatch.setattr(module, "read_header", read)
    found = scan(tmp_path)
    assert names(found) == ["a"]
    assert [(problem.path, problem.message) for problem in found.problems] == [
        (gone, "cannot read it: No such file or directory")
    ]


def test_split_files_are_one_model(tmp_path: Path) -> None:
    parts = [
        write_model(tmp_path / f"Big-{i:05}-of-00003.gguf", {"split.count": 3, "split.no": i - 1}, n_params=100 * i)
        for i in (1, 2, 3)
    ]
    found = scan(tmp_path)
    (model,) = found.models
    assert model.name == "big"
    assert model.files == tuple(map(str, parts))
    assert model.size_bytes == sum(part.stat().st_size for part in parts)
    assert model.n_params == 600
    assert Scanner().read(parts[1]).files == model.files


def test_missing_parts_are_named(tmp_path: Path) -> None:
    write_model(tmp_path / "big-00002-of-00004.gguf")
    found = scan(tmp_path)
    assert found.models == []
    message = found.problems[0].message
    assert "big-00001-of-00004.gguf, big-00003-of-00004.gguf, big-00004-of-00004.gguf" in message
    with pytest.raises(GgufError, match="missing big-00001"):
        Scanner().read(tmp_path / "big-00002-of-00004.gguf")


def test_an_absurd_number_of_parts_is_summed_up(tmp_path: Path) -> None:
    write_model(tmp_path / "big-00001-of-99999.gguf")
    assert "and 99993 more" in scan(tmp_path).problems[0].message


def test_a_part_under_another_name_is_explained(tmp_path: Path) -> None:
    write_model(tmp_path / "renamed.gguf", {"split.count": 2})
    assert "00001-of-0000N" in scan(tmp_path).problems[0].message


def test_headers_of_unchanged_files_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import shimmy.discovery.facts_cache as module

    kept = write_model(tmp_path / "kept.gguf")
    changed = write_model(tmp_path / "changed.gguf")
    (tmp_path / "bad.gguf").write_bytes(b"no")
    reads: list[Path] = []
    real = module.read_header
    monkeypatch.setattr(module, "read_header", lambda path: (reads.append(path), real(path))[1])
    scanner = Scanner()
    first = scanner.scan([Root(tmp_path)])
    reads.clear()
    assert scanner.scan([Root(tmp_path)]) == first
    assert reads == []
    write_model(changed, {"general.size_label": "9B"})
    assert scanner.scan([Root(tmp_path)]).models[0].size_label == "9B"
    assert reads == [changed]
    assert kept.exists()


class TestAdapters:
    def test_the_longest_stem_in_the_same_folder(self, tmp_path: Path) -> None:
        write_model(tmp_path / "Llama.gguf")
        long = write_model(tmp_path / "llama-tiny.gguf")
        elsewhere = write_model(tmp_path / "other" / "llama-tiny-pirate.gguf")
        adapter = write_adapter(tmp_path / "LLAMA_tiny-pirate-LoRA.gguf")
        found = scan(tmp_path)
        owners = {model.path: model.adapters for model in found.models if model.adapters}
        assert owners == {long: {"llama-tiny-pirate-lora": adapter}}
        assert elsewhere in [model.path for model in found.models]

    def test_the_base_model_by_name_anywhere(self, tmp_path: Path) -> None:
        base = {"general.base_model.count": 1, "general.base_model.0.repo_url": "https://example.org/acme/My-Base-7B"}
        named = write_model(tmp_path / "a" / "whatever.gguf", {"general.name": "My Base 7B"})
        quantised = write_model(tmp_path / "b" / "my-base-7b-Q4_K_M.gguf")
        write_model(tmp_path / "c" / "my-base-70b.gguf")
        adapter = write_adapter(tmp_path / "d" / "style.gguf", base)
        found = scan(tmp_path)
        owners = {model.path: model.adapters for model in found.models if model.adapters}
        assert owners == {named: {"style": adapter}, quantised: {"style": adapter}}

    def test_never_across_architectures(self, tmp_path: Path) -> None:
        write_model(tmp_path / "m.gguf", {"general.architecture": "qwen3"})
        write_adapter(tmp_path / "m-lora.gguf", {"general.architecture": "llama"})
        assert not any(model.adapters for model in scan(tmp_path).models)


FOLDERS = st.lists(st.sampled_from(["a", "b", ".h", "target", "c d"]), max_size=3)
FILES = st.sampled_from(["x.gguf", "X_1.gguf", "s-00001-of-00002.gguf", "s-00002-of-00002.gguf", "bad.gguf", "n.txt"])


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tree=st.sets(st.tuples(FOLDERS.map(tuple), FILES), max_size=12), links=st.lists(FOLDERS, max_size=2))
def test_any_tree(
    tmp_path_factory: pytest.TempPathFactory, tree: set[tuple[tuple[str, ...], str]], links: list[list[str]]
) -> None:
    root = tmp_path_factory.mktemp("tree")
    for folders, file in tree:
        path = root.joinpath(*folders, file)
        if file.startswith(("bad", "n")):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"GGUF" + b"\xff" * 40)
        else:
            write_model(path)
    for number, folders in enumerate(links):
        target = root.joinpath(*folders)
        if target.is_dir():
            (root / f"link{number}").symlink_to(target, target_is_directory=True)
    found = scan(root, root)
    listed = [Path(file) for model in found.models for file in model.files]
    real = [file.resolve() for file in listed]
    assert len(set(real)) == len(real)
    assert len({model.name for model in found.models}) == len(found.models)
    visible = {
        root.joinpath(*folders, file)
        for folders, file in tree
        if file in ("x.gguf", "X_1.gguf") and not {".h", "target"} & set(folders)
    }
    assert visible <= set(real)
    for model in found.models:
        assert model.size_bytes == sum(Path(file).stat().st_size for file in model.files)
        assert len(model.files) == (2 if "-of-" in model.path.name else 1)
    assert scan(root, root) == found
