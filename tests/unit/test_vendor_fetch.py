"""vendor/fetch.py: only the pinned sources get into place, whole or not at all. No network."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import subprocess
import sys
import tarfile
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAME = "llama_cpp_python-9.9.9"
COMMIT = "c" * 40

# A build backend inside the archive, so that pip can ask for its metadata offline.
PYPROJECT = '[build-system]\nrequires = []\nbuild-backend = "backend"\nbackend-path = ["."]\n'
BACKEND = """
import os
def prepare_metadata_for_build_wheel(folder, config_settings=None):
    info = "llama_cpp_python-9.9.9.dist-info"
    os.mkdir(os.path.join(folder, info))
    with open(os.path.join(folder, info, "METADATA"), "w") as file:
        file.write("Metadata-Version: 2.1\\nName: llama-cpp-python\\nVersion: 9.9.9\\n")
    return info
def build_wheel(folder, config_settings=None, metadata_directory=None):
    raise RuntimeError("nothing to build")
"""
SOURCES = {
    "vendor/llama.cpp/CMakeLists.txt": "project(llama)",
    "vendor/llama.cpp/LICENSE": "MIT",
    "vendor/llama.cpp/src/llama.cpp": "int main;",
    "vendor/llama.cpp/ggml/include/ggml.h": "#pragma once",
    "vendor/llama.cpp/docs/readme.md": "not compiled",
    "vendor/llama.cpp/tools/mtmd/mtmd.cpp": "kept",
    "vendor/llama.cpp/tools/tts/tts.cpp": "not kept",
    "llama_cpp/__init__.py": "not llama.cpp",
    "pyproject.toml": PYPROJECT,
    "backend.py": BACKEND,
    "PKG-INFO": "Metadata-Version: 2.1\nName: llama-cpp-python\nVersion: 9.9.9\n",
}


@pytest.fixture
def fetch() -> ModuleType:
    spec = importlib.util.spec_from_file_location("vendor_fetch", ROOT / "vendor" / "fetch.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def write_archive(path: Path, files: dict[str, str], extra: list[tarfile.TarInfo] | None = None) -> str:
    """Write a source distribution and return its sha256."""
    with tarfile.open(path, "w:gz") as tar:
        for name, text in files.items():
            data = text.encode()
            member = tarfile.TarInfo(name if name.startswith(("/", "..")) else f"{NAME}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
        for member in extra or []:
            tar.addfile(member)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def write_lock(path: Path, sha256: str) -> Path:
    path.write_text(f"# llama.cpp commit: {COMMIT}\nllama-cpp-python==9.9.9 --hash=sha256:{sha256}\n", encoding="utf-8")
    return path


class Index:
    """A folder that pip is told to use instead of any index, a lock for what is in it, and a target."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.links = folder / "links"
        self.links.mkdir()
        self.archive = self.links / f"{NAME}.tar.gz"
        self.lock = folder / "sources.lock"
        self.vendor = folder / "vendor"
        self.target = self.vendor / "llama.cpp"
        monkeypatch.setenv("PIP_NO_INDEX", "1")
        monkeypatch.setenv("PIP_FIND_LINKS", str(self.links))
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")

    def offer(self, files: dict[str, str] | None = None, extra: list[tarfile.TarInfo] | None = None) -> str:
        sha256 = write_archive(self.archive, SOURCES if files is None else files, extra)
        write_lock(self.lock, sha256)
        return sha256

    @property
    def files(self) -> set[str]:
        return {path.relative_to(self.target).as_posix() for path in self.target.rglob("*") if path.is_file()}

    @property
    def leftovers(self) -> list[str]:
        """What lies beside the target."""
        return sorted(path.name for path in self.vendor.iterdir() if path != self.target)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Index:
    return Index(tmp_path, monkeypatch)


KEPT = {"CMakeLists.txt", "LICENSE", "src/llama.cpp", "ggml/include/ggml.h", "tools/mtmd/mtmd.cpp", ".shimmy-pin"}


def test_fills_the_folder_with_what_is_compiled(fetch: ModuleType, index: Index) -> None:
    index.offer()
    assert fetch.fetch(index.lock, index.target) is True
    assert index.files == KEPT
    assert index.leftovers == []


def test_a_second_run_does_nothing(fetch: ModuleType, index: Index, monkeypatch: pytest.MonkeyPatch) -> None:
    index.offer()
    fetch.fetch(index.lock, index.target)

    def no_download(*_: Any) -> Path:
        raise AssertionError("downloaded again")

    monkeypatch.setattr(fetch, "download", no_download)
    assert fetch.fetch(index.lock, index.target) is False


def test_wrong_hash_is_refused_by_pip(fetch: ModuleType, index: Index) -> None:
    index.offer()
    write_lock(index.lock, "0" * 64)
    with pytest.raises(fetch.FetchError, match="differs from the pinned hash; do not build it"):
        fetch.fetch(index.lock, index.target)
    assert not index.target.exists()
    assert index.leftovers == []


def test_wrong_hash_is_refused_whatever_pip_does(
    fetch: ModuleType, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer()
    write_lock(index.lock, "0" * 64)
    monkeypatch.setattr(fetch, "download", lambda pin, folder: index.archive)
    with pytest.raises(fetch.FetchError, match=f"pinned is {'0' * 64}; the download was not used"):
        fetch.fetch(index.lock, index.target)
    assert not index.target.exists()


def test_nothing_on_the_index(fetch: ModuleType, index: Index) -> None:
    write_lock(index.lock, "0" * 64)
    with pytest.raises(fetch.FetchError, match="check the network") as caught:
        fetch.fetch(index.lock, index.target)
    assert "SHIMMY_LLAMA_CPP_DIR" in str(caught.value)
    assert "No matching distribution" in str(caught.value)
    assert not index.target.exists()


@pytest.mark.parametrize(
    ("errors", "hint"),
    [
        ("No module named pip", "has no pip"),
        ("Cannot import 'scikit_build_core.build'", "has no scikit-build-core"),
        ("", "check the network"),
    ],
)
def test_pip_failures_say_what_to_do(
    fetch: ModuleType, index: Index, monkeypatch: pytest.MonkeyPatch, errors: str, hint: str
) -> None:
    index.offer()
    failed: subprocess.CompletedProcess[str] = subprocess.CompletedProcess([], 1, "", errors)
    monkeypatch.setattr(fetch.subprocess, "run", lambda *args, **kwargs: failed)
    with pytest.raises(fetch.FetchError, match=hint):
        fetch.fetch(index.lock, index.target)


def test_a_folder_without_stamp_is_replaced(fetch: ModuleType, index: Index) -> None:
    index.offer()
    (index.target / "src").mkdir(parents=True)
    (index.target / "src" / "half.cpp").write_text("half")
    assert fetch.fetch(index.lock, index.target) is True
    assert index.files == KEPT
    assert index.leftovers == []


def test_a_folder_of_another_pin_is_replaced(fetch: ModuleType, index: Index) -> None:
    index.offer()
    fetch.fetch(index.lock, index.target)
    index.offer({**SOURCES, "vendor/llama.cpp/src/new.cpp": "new"})
    assert fetch.fetch(index.lock, index.target) is True
    assert index.files == KEPT | {"src/new.cpp"}


def test_a_failed_update_leaves_the_old_folder(fetch: ModuleType, index: Index) -> None:
    index.offer()
    fetch.fetch(index.lock, index.target)
    write_lock(index.lock, "0" * 64)
    with pytest.raises(fetch.FetchError):
        fetch.fetch(index.lock, index.target)
    assert index.files == KEPT


def test_an_interrupted_run_leaves_no_target_and_the_next_one_fills_it(
    fetch: ModuleType, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    index.offer()
    copy = fetch.shutil.copyfileobj

    def interrupted(source: Any, out: Any) -> None:
        copy(source, out)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(fetch.shutil, "copyfileobj", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fetch.fetch(index.lock, index.target)
    assert not index.target.exists()
    assert index.leftovers == []
    assert fetch.fetch(index.lock, index.target) is True
    assert index.files == KEPT


def test_leftovers_of_a_killed_run_do_not_matter(fetch: ModuleType, index: Index) -> None:
    index.offer()
    half = index.vendor / ".fetch-killed" / "llama.cpp"
    half.mkdir(parents=True)
    (half / "CMakeLists.txt").write_text("half")
    assert fetch.fetch(index.lock, index.target) is True
    assert index.files == KEPT


def test_members_that_point_elsewhere_are_not_written(fetch: ModuleType, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    archive = tmp_path / f"{NAME}.tar.gz"
    link = tarfile.TarInfo(f"{NAME}/vendor/llama.cpp/src/link")
    link.type = tarfile.SYMTYPE
    link.linkname = str(outside)
    hard = tarfile.TarInfo(f"{NAME}/vendor/llama.cpp/src/hard")
    hard.type = tarfile.LNKTYPE
    hard.linkname = "../../../../outside"
    write_archive(
        archive,
        {
            **SOURCES,
            "vendor/llama.cpp/src/../../../../outside": "traversal",
            "vendor/llama.cpp/src/..\\..\\outside": "traversal on Windows",
            "vendor/llama.cpp/src/c:outside": "a drive on Windows",
            "../vendor/llama.cpp/outside": "traversal at the root",
            "/vendor/llama.cpp/outside": "absolute",
            f"{outside}/vendor/llama.cpp/CMakeLists.txt": "absolute",
        },
        [link, hard],
    )
    into = tmp_path / "into"
    into.mkdir()
    fetch.unpack(archive, into)
    assert {path.relative_to(into).as_posix() for path in into.rglob("*") if not path.is_dir()} == (
        KEPT - {".shimmy-pin"}
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["into", archive.name])


def test_an_archive_without_llama_cpp(fetch: ModuleType, tmp_path: Path) -> None:
    archive = tmp_path / f"{NAME}.tar.gz"
    write_archive(archive, {"llama_cpp/__init__.py": ""})
    with pytest.raises(fetch.FetchError, match=r"holds no vendor/llama\.cpp tree"):
        fetch.unpack(archive, tmp_path)


@pytest.mark.parametrize(
    "text",
    ["", "llama-cpp-python==9.9.9\n", f"# llama.cpp commit: {COMMIT}\nllama-cpp-python==9.9.9 --hash=sha256:123\n"],
)
def test_a_lock_of_another_form(fetch: ModuleType, tmp_path: Path, text: str) -> None:
    lock = tmp_path / "sources.lock"
    lock.write_text(text)
    with pytest.raises(fetch.FetchError, match="expected a line 'name==version"):
        fetch.read_pin(lock)


def test_the_command_reports_errors_on_one_line_each(
    fetch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def read_only() -> bool:
        raise PermissionError(13, "Permission denied", "vendor")

    monkeypatch.setattr(fetch, "fetch", read_only)
    assert fetch.main() == 1
    assert capsys.readouterr().err == "vendor/fetch.py: [Errno 13] Permission denied: 'vendor'\n"


def test_the_repositorys_own_lock_is_readable(fetch: ModuleType) -> None:
    pin = fetch.read_pin()
    assert pin.name == "llama-cpp-python"
    assert len(pin.commit) == 40
