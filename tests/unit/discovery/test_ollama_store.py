from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from ollama_files import HOST, MEDIA_TYPE, add_blob, add_manifest, add_model
from tiny_gguf import adapter_bytes, model_bytes, write_model

from shimmy.discovery.ollama_store import StoredModel, model_names, read_store
from shimmy.discovery.scan import Scan, Scanner
from shimmy.discovery.walk import Problem, Root


def scan(*folders: Path) -> Scan:
    return Scanner().scan([Root(folder) for folder in folders])


def problem(store: Path) -> str:
    (found,) = read_store(store)
    assert isinstance(found, Problem)
    return found.message


def test_names_from_short_to_full() -> None:
    assert model_names(("r.io", "library", "llama3", "8b")) == (
        "llama3:8b",
        "library/llama3:8b",
        "r.io/library/llama3:8b",
    )
    assert model_names(("hf.co", "someone", "m-GGUF", "latest")) == (
        "someone/m-GGUF:latest",
        "hf.co/someone/m-GGUF:latest",
        "someone/m-GGUF",
        "hf.co/someone/m-GGUF",
    )


def test_all_layers(tmp_path: Path) -> None:
    manifest = add_model(
        tmp_path,
        "llama3:8b",
        template=b"{{ .Prompt }}<|eot_id|>",
        system=b"Be brief.",
        params=json.dumps({"stop": ["<|eot_id|>"], "temperature": 0.5}).encode(),
        messages=json.dumps([{"role": "user", "content": "hi"}]).encode(),
        adapter=adapter_bytes(),
        projector=model_bytes({"general.architecture": "clip"}),
        license=b"MIT",
        unheard_of=b"?",
    )
    (stored,) = read_store(tmp_path)
    assert isinstance(stored, StoredModel)
    layers = stored.layers
    assert (layers.manifest, layers.template, layers.system) == (manifest, "{{ .Prompt }}<|eot_id|>", "Be brief.")
    assert layers.params == {"stop": ["<|eot_id|>"], "temperature": 0.5}
    assert layers.messages == ({"role": "user", "content": "hi"},)
    assert [len(paths) for paths in (layers.adapters, layers.projectors, layers.licenses)] == [1, 1, 1]
    assert layers.licenses[0].read_bytes() == b"MIT"
    assert stored.file.read_bytes() == model_bytes()


def test_a_store_below_a_root_is_found_and_its_models_described(tmp_path: Path) -> None:
    add_model(tmp_path / "ollama", "llama3:8b", model_bytes({"general.file_type": 15, "general.size_label": "8B"}))
    write_model(tmp_path / "plain.gguf")
    found = scan(tmp_path)
    plain, stored = found.models
    assert (plain.name, stored.name) == ("plain", "llama3:8b")
    assert stored.aliases == ("library/llama3:8b", f"{HOST}/library/llama3:8b")
    assert (stored.kind, stored.quantization, stored.size_label) == ("chat", "Q4_K_M", "8B")
    assert stored.ollama is not None
    assert found.problems == []


def test_older_blob_names(tmp_path: Path) -> None:
    add_model(tmp_path, "m")
    (blob,) = (tmp_path / "blobs").iterdir()
    blob.rename(blob.with_name(blob.name.replace("sha256-", "sha256:")))
    (stored,) = read_store(tmp_path)
    assert isinstance(stored, StoredModel)


def test_tags_of_one_model_are_names_of_one_entry(tmp_path: Path) -> None:
    add_model(tmp_path, "llama3:latest", system=b"x")
    add_model(tmp_path, "llama3:8b", system=b"x")
    add_model(tmp_path, "mine:latest", system=b"y")
    one, mine = scan(tmp_path).models
    assert one.name == "llama3:8b"
    assert {"llama3:latest", "llama3", "library/llama3"} <= set(one.aliases)
    assert (mine.name, mine.files) == ("mine:latest", one.files)


def test_one_name_in_two_stores(tmp_path: Path) -> None:
    add_model(tmp_path / "a", "m:1", system=b"first")
    add_model(tmp_path / "b", "m:1", system=b"second")
    found = scan(tmp_path / "a", tmp_path / "b")
    (model,) = found.models
    assert model.ollama is not None
    assert model.ollama.system == "first"
    assert [one.message for one in found.problems] == ["another model is called m:1"]


def test_the_same_short_name_from_two_hosts(tmp_path: Path) -> None:
    add_model(tmp_path, "one.io/library/m:1", system=b"1")
    add_model(tmp_path, "two.io/library/m:1", system=b"2")
    assert [model.name for model in scan(tmp_path).models] == ["m:1", "two.io/library/m:1"]


class TestBroken:
    def test_half_a_download(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m")
        (blob,) = (tmp_path / "blobs").iterdir()
        blob.write_bytes(blob.read_bytes()[:-10])
        assert "the download did not end" in problem(tmp_path)
        blob.unlink()
        assert "is not there: the download did not end" in problem(tmp_path)

    def test_a_model_of_the_cloud(self, tmp_path: Path) -> None:
        add_manifest(tmp_path, "big:cloud", [])
        (tmp_path / "blobs").mkdir()
        assert "runs elsewhere" in problem(tmp_path)

    @pytest.mark.parametrize("digest", ["sha256:../../etc/passwd", "sha256:" + "0" * 63, "md5:" + "0" * 64, ""])
    def test_digests_are_no_paths(self, tmp_path: Path, digest: str) -> None:
        add_manifest(tmp_path, "m", [{"mediaType": MEDIA_TYPE + "model", "digest": digest}])
        assert "64 hex digits" in problem(tmp_path)

    @pytest.mark.parametrize("text", ["", "[]", "{", '{"layers": 3}', '{"layers": [{}]}', '{"layers":' + "[" * 5000])
    def test_manifests_that_are_none(self, tmp_path: Path, text: str) -> None:
        add_model(tmp_path, "m").write_text(text)
        assert "the manifest is malformed" in problem(tmp_path)

    def test_large_files_are_not_read(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m").write_bytes(b" " * (1 << 20) + b"{}")
        assert "the manifest is larger" in problem(tmp_path)
        add_model(tmp_path, "m", template=b"x" * ((1 << 20) + 1))
        assert "the template layer is larger" in problem(tmp_path)

    def test_params_that_are_no_object(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m", params=b"[1]")
        assert "the params layer is malformed" in problem(tmp_path)

    def test_a_blob_that_is_no_gguf(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m", b"safetensors or so" * 10)
        found = scan(tmp_path)
        assert found.models == []
        assert "letters GGUF" in found.problems[0].message

    def test_several_models(self, tmp_path: Path) -> None:
        layer = {"mediaType": MEDIA_TYPE + "model", **add_blob(tmp_path, model_bytes())}
        add_manifest(tmp_path, "m", [layer, layer])
        assert "2 model layers" in problem(tmp_path)

    def test_things_that_are_no_manifests(self, tmp_path: Path) -> None:
        add_model(tmp_path, "m")
        (tmp_path / "manifests" / ".DS_Store").touch()
        (tmp_path / "manifests" / "file").touch()
        (tmp_path / "manifests" / HOST / "library" / "m" / "folder").mkdir()
        found = list(read_store(tmp_path))
        assert [type(one) for one in found] == [Problem, StoredModel]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(position=st.integers(0, 2000), patch=st.binary(max_size=6), cut=st.integers(0, 2000))
def test_damaged_manifests_are_read_or_reported(
    tmp_path_factory: pytest.TempPathFactory, position: int, patch: bytes, cut: int
) -> None:
    store = tmp_path_factory.mktemp("store")
    manifest = add_model(store, "m", params=b'{"temperature": 1}')
    data = bytearray(manifest.read_bytes())
    at = position % len(data)
    data[at : at + len(patch)] = patch
    manifest.write_bytes(bytes(data[: len(data) - cut % 40]))
    found = scan(store)
    assert len(found.models) + len(found.problems) == 1
