"""Pulling whole models from a hub and from a registry."""

from __future__ import annotations

import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_host import FakeHost, digest_of
from tiny_gguf import model_bytes

from shimmy.errors import ModelNotFoundError
from shimmy.library.download import CancelledDownloadError
from shimmy.library.egress import DownloadError
from shimmy.library.library import Library
from shimmy.library.pull import Progress, Puller
from shimmy.library.record import Record

MODEL = model_bytes(n_params=5000)


def pull(host: FakeHost, library: Library, name: str, stop: threading.Event | None = None) -> list[Progress]:
    told: list[Progress] = []
    Puller(library, host.url, host.url).pull(name, told.append, stop or threading.Event())
    return told


def files(library: Library) -> list[str]:
    return sorted(path.relative_to(library.folder).as_posix() for path in library.folder.rglob("*") if path.is_file())


def only_record(library: Library) -> Record:
    ((record,), _) = library.read()
    return record


def test_from_the_hub(host: FakeHost, library: Library) -> None:
    host.add_repository("owner/repo", {"m-Q8_0.gguf": MODEL, "m-Q4_0.gguf": b"no"})
    told = pull(host, library, "owner/repo:Q8_0")
    digest = digest_of(MODEL)
    assert [line.status for line in told if line.digest is None] == [
        "pulling manifest",
        "verifying sha256 digest",
        "writing manifest",
    ]
    moving = [line for line in told if line.digest is not None]
    assert {(line.status, line.digest, line.total) for line in moving} == {
        (f"pulling {digest[7:19]}", digest, len(MODEL))
    }
    assert (moving[0].completed, moving[-1].completed) == (0, len(MODEL))
    record = only_record(library)
    assert (record.name, record.source) == ("owner/repo:Q8_0", "hf.co/owner/repo:Q8_0")
    assert library.file(record.files[0]).read_bytes() == MODEL
    assert files(library) == ["hf.co/owner/repo/m-Q8_0.gguf", "names/owner%2Frepo%3AQ8_0.toml"]


def test_a_split_model(host: FakeHost, library: Library) -> None:
    names = ["d/m-00001-of-00002.gguf", "d/m-00002-of-00002.gguf"]
    host.add_repository("owner/repo", dict.fromkeys(names, MODEL))
    pull(host, library, "hf.co/owner/repo")
    assert only_record(library).files == tuple(f"hf.co/owner/repo/{name}" for name in names)


def test_from_a_registry(host: FakeHost, library: Library) -> None:
    layers = {
        "model": MODEL,
        "template": b"{{ .Prompt }}",
        "system": b"Be brief.",
        "params": b'{"stop": ["<|x|>"], "temperature": 0.1}',
        "license": b"MIT",
        "messages": b'[{"role": "user", "content": "hi"}]',
    }
    manifest = host.add_model("library/llama3", layers, tag="8b")
    told = pull(host, library, "llama3:8b")
    assert {line.digest for line in told if line.digest} == {
        layer["digest"] for layer in [*manifest["layers"], manifest["config"]]
    }
    record = only_record(library)
    assert (record.name, record.source) == ("llama3:8b", f"{host.name}/library/llama3:8b")
    assert (record.system, record.license, record.template) == ("Be brief.", ("MIT",), None)
    assert record.parameters == {"stop": ["<|x|>"], "temperature": 0.1}
    assert record.messages == [{"role": "user", "content": "hi"}]
    assert library.file(record.files[0]).read_bytes() == MODEL
    # As Ollama's own store is laid out.
    stored = library.folder / "manifests" / host.name / "library" / "llama3" / "8b"
    assert json.loads(stored.read_bytes()) == manifest
    for layer in [*manifest["layers"], manifest["config"]]:
        blob = library.folder / "blobs" / layer["digest"].replace(":", "-")
        assert digest_of(blob.read_bytes()) == layer["digest"]


def test_what_is_there_is_not_fetched_again(host: FakeHost, library: Library) -> None:
    host.add_model("library/a", {"model": MODEL, "system": b"One."})
    host.add_model("library/b", {"model": MODEL, "system": b"Two."})
    pull(host, library, "a")
    pull(host, library, "b")
    assert len(host.fetched(digest_of(MODEL))) == 1
    library.delete("a")
    assert library.file(only_record(library).files[0]).read_bytes() == MODEL
    assert (library.folder / "blobs" / digest_of(b"One.").replace(":", "-")).exists() is False
    library.delete("b")
    assert files(library) == []


def test_a_newer_version_replaces_the_older(host: FakeHost, library: Library) -> None:
    host.add_model("library/a", {"model": MODEL})
    pull(host, library, "a")
    newer = model_bytes(n_params=6000)
    host.add_model("library/a", {"model": newer})
    pull(host, library, "a")
    assert library.file(only_record(library).files[0]).read_bytes() == newer
    assert not (library.folder / "blobs" / digest_of(MODEL).replace(":", "-")).exists()


def test_a_newer_version_of_the_same_size(host: FakeHost, library: Library) -> None:
    host.add_repository("owner/repo", {"m.gguf": MODEL})
    pull(host, library, "owner/repo")
    newer = MODEL[:-1] + b"x"
    host.add_repository("owner/repo", {"m.gguf": newer})
    pull(host, library, "hf.co/owner/repo")
    pull(host, library, "owner/repo")
    one, other = library.read()[0]
    assert one.digests == other.digests == {"hf.co/owner/repo/m.gguf": digest_of(newer)[7:]}
    assert library.file(one.files[0]).read_bytes() == newer
    assert len(host.fetched("resolve")) == 2


def test_layers_say_null(host: FakeHost, library: Library) -> None:
    host.add_model("library/a", {"model": MODEL, "params": b'{"stop": null, "top_k": 7}'})
    pull(host, library, "a")
    assert only_record(library).parameters == {"top_k": 7}


@pytest.mark.parametrize(
    "layers",
    [
        {"params": b"null"},
        {"params": b'{"stop": [null]}'},
        {"params": b"[" * 100_000},
        {"messages": b'[{"content": "hi"}]'},
        {"messages": b"null"},
    ],
)
def test_layers_that_are_not_understood(host: FakeHost, library: Library, layers: dict[str, bytes]) -> None:
    host.add_model("library/a", {"model": MODEL, **layers})
    with pytest.raises(DownloadError, match="a layer is not understood"):
        pull(host, library, "a")
    assert library.read() == ([], [])


def test_being_cancelled_and_taken_up(host: FakeHost, library: Library) -> None:
    host.add_model("library/a", {"model": MODEL})
    stop = threading.Event()
    stop.set()
    with pytest.raises(CancelledDownloadError):
        pull(host, library, "a", stop)
    assert library.read() == ([], [])
    assert not [name for name in files(library) if not name.endswith(".partial")]
    pull(host, library, "a")
    assert only_record(library).name == "a"


def test_unknown_models(host: FakeHost, library: Library) -> None:
    with pytest.raises(ModelNotFoundError, match="library/none:8b"):
        pull(host, library, "none:8b")
    with pytest.raises(ModelNotFoundError, match="owner/none"):
        pull(host, library, "owner/none")


def layer(data: bytes, kind: str = "model", **fields: Any) -> dict[str, Any]:
    made = {"mediaType": f"application/vnd.ollama.image.{kind}", "digest": digest_of(data), "size": len(data)}
    return {**made, **fields}


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (b"not json", "is not understood"),
        (b"{}", "is not understood"),
        (b"x" * (1024 * 1024 + 1), "larger than"),
        ({"layers": []}, "is not understood"),
        ({"layers": [layer(b"", digest="sha256:../../../../etc/passwd")]}, "is not understood"),
        ({"layers": [layer(b"", digest="sha256-" + "a" * 64)]}, "is not understood"),
        ({"layers": [layer(b"x", size=-1)]}, "is not understood"),
        ({"layers": [layer(b"x", kind="system")]}, "no model in it"),
        ({"layers": [layer(b"x"), layer(b"y", kind="adapter")]}, "LoRA adapter"),
        ({"layers": [layer(b"x", kind="tensor")]}, "tensors of another format"),
        ({"layers": [layer(b"x", size=1 << 43)]}, "there is no room"),
    ],
)
def test_manifests_that_are_refused(host: FakeHost, library: Library, manifest: Any, message: str) -> None:
    if isinstance(manifest, dict):
        manifest = json.dumps({"config": layer(b"{}", kind="config"), **manifest}).encode()
    host.files["/v2/library/bad/manifests/latest"] = manifest
    with pytest.raises(DownloadError, match=message):
        pull(host, library, "bad")
    assert library.read() == ([], [])


def test_what_is_no_model_is_not_kept(host: FakeHost, library: Library) -> None:
    host.add_repository("owner/repo", {"m.gguf": b"<html>a page of errors</html>" * 10})
    with pytest.raises(DownloadError, match=r"no usable model: .*not a GGUF file") as caught:
        pull(host, library, "owner/repo")
    assert str(library.folder) not in caught.value.message
    assert files(library) == []


def test_a_blob_that_was_tampered_with_is_not_kept(host: FakeHost, library: Library) -> None:
    host.add_model("library/a", {"model": MODEL})
    host.files[f"/v2/library/a/blobs/{digest_of(MODEL)}"] = MODEL[:-1] + b"x"
    with pytest.raises(DownloadError, match="another SHA-256"):
        pull(host, library, "a")
    assert library.read() == ([], [])
    assert not list((library.folder / "blobs").glob(digest_of(MODEL).replace(":", "-") + "*"))


def test_a_folder_that_takes_no_files(host: FakeHost, tmp_path: Path) -> None:
    host.add_model("library/a", {"model": MODEL})
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(DownloadError, match="the library cannot be written"):
        pull(host, Library(tmp_path / "file"), "a")
