"""Which files a reference to the hub means, and what the hub says when there are none."""

from __future__ import annotations

import json
import sys

import pytest
from fake_host import FakeHost

from shimmy.errors import InvalidRequestError, ModelNotFoundError
from shimmy.library.egress import DownloadError, UnreachableError
from shimmy.library.hugging_face import choose_files, find_files
from shimmy.library.reference import HubReference

FILES = [
    "Qwen-Q2_K.gguf",
    "Qwen-Q4_K_M.gguf",
    "Qwen-Q4_K_S.gguf",
    "Qwen-Q8_0.gguf",
    "UD-Q6_K_XL/Qwen-UD-Q6_K_XL-00001-of-00002.gguf",
    "UD-Q6_K_XL/Qwen-UD-Q6_K_XL-00002-of-00002.gguf",
    "mmproj-F16.gguf",
    "Qwen-imatrix.gguf",
]


def choose(quantization: str | None, names: list[str] = FILES) -> list[str]:
    return choose_files(names, HubReference("owner/repo", quantization))


@pytest.mark.parametrize(
    ("quantization", "files"),
    [
        (None, ["Qwen-Q4_K_M.gguf"]),
        ("Q8_0", ["Qwen-Q8_0.gguf"]),
        ("q2_k", ["Qwen-Q2_K.gguf"]),
        ("Q6_K_XL", FILES[4:6]),
        ("UD-Q6_K_XL", FILES[4:6]),
        ("Qwen-Q8_0.gguf", ["Qwen-Q8_0.gguf"]),
    ],
)
def test_which_files(quantization: str | None, files: list[str]) -> None:
    assert choose(quantization) == files


def test_the_only_model_needs_no_name() -> None:
    assert choose(None, ["odd.gguf", "mmproj-odd.gguf"]) == ["odd.gguf"]


@pytest.mark.parametrize(
    ("quantization", "names"), [("Q4_K", FILES), ("Q5_0", FILES), (None, ["a-Q2_K.gguf", "b-Q3_K.gguf"])]
)
def test_what_is_not_there(quantization: str | None, names: list[str]) -> None:
    with pytest.raises(InvalidRequestError, match=r"owner/repo:NAME of .*Q2_K") as caught:
        choose(quantization, names)
    assert caught.value.param == "model"


def test_no_model_and_half_a_model() -> None:
    with pytest.raises(ModelNotFoundError, match="no GGUF files"):
        choose(None, ["mmproj-F16.gguf"])
    with pytest.raises(DownloadError, match="missing Qwen-UD-Q6_K_XL-00002-of-00002"):
        choose("Q6_K_XL", FILES[4:5])


def test_a_repository(host: FakeHost, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    host.add_repository("owner/repo", {"README.md": b"hello", "m-Q8_0.gguf": b"GGUF..."})
    (file,) = find_files(HubReference("owner/repo"), host.url)
    assert file.name == "m-Q8_0.gguf"
    assert file.remote.url == f"{host.url}/owner/repo/resolve/abc123/m-Q8_0.gguf"
    assert (file.remote.size, len(file.remote.sha256 or "")) == (7, 64)
    assert file.remote.headers == {"authorization": "Bearer hf_secret"}


def test_a_path_that_leads_out_of_its_folder_is_refused(host: FakeHost) -> None:
    host.add_repository("owner/repo", {"../evil.gguf": b"GGUF"})
    with pytest.raises(DownloadError, match="evil"):
        find_files(HubReference("owner/repo"), host.url)


def test_a_repository_that_is_not_there(host: FakeHost) -> None:
    with pytest.raises(ModelNotFoundError, match="'owner/none'"):
        find_files(HubReference("owner/none"), host.url)


def test_a_hub_that_fails(host: FakeHost) -> None:
    host.statuses["/api/models/owner/repo"] = 418
    with pytest.raises(DownloadError, match="answered 418"):
        find_files(HubReference("owner/repo"), host.url)


@pytest.mark.parametrize("answer", [b"<html>", b"[]", b"{}", b"null", b"", b'{"id": 1, "siblings": [1]}'])
def test_a_mirror_that_says_something_else(host: FakeHost, answer: bytes) -> None:
    host.files["/api/models/owner/repo"] = answer
    with pytest.raises(DownloadError, match="no description of owner/repo"):
        find_files(HubReference("owner/repo"), host.url)


def test_a_name_that_the_hub_does_not_have(host: FakeHost) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be pulled"):
        find_files(HubReference("a/b--c"), host.url)


def test_a_hub_that_cannot_be_reached() -> None:
    with pytest.raises(UnreachableError, match=r"http://127.0.0.1:1 cannot be reached"):
        find_files(HubReference("owner/repo"), "http://127.0.0.1:1")


def test_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(DownloadError, match=r"pip install 'shimmy-llm\[hub\]'"):
        find_files(HubReference("owner/repo"))


def test_an_answer_without_sizes(host: FakeHost) -> None:
    host.add_repository("owner/repo", {"m.gguf": b"GGUF"})
    info = json.loads(host.files["/api/models/owner/repo"])
    for sibling in info["siblings"]:
        del sibling["size"], sibling["lfs"]
    host.files["/api/models/owner/repo"] = json.dumps(info).encode()
    with pytest.raises(DownloadError, match=r"how large m\.gguf"):
        find_files(HubReference("owner/repo"), host.url)
