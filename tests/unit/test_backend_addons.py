"""Add-on packages of backends: found by their entry point, opened only by the shimmy that they were built with."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shimmy.backend_addons import BackendAddon, installed

COMMIT = "0123456789abcdef" + "0" * 24


def add_package(
    folder: Path, backend: str = "vulkan", version: str = "0.1.0", commit: str = COMMIT, module: str = ""
) -> str:
    """A package as `scripts/wheels` makes them, importable from `folder`. Returns the path of its library."""
    package = folder / f"shimmy_llm_{backend}"
    package.mkdir()
    library = package / f"libggml-{backend}.so"
    library.write_bytes(b"")
    (package / "__init__.py").write_text(module or f"LIBRARY = {str(library)!r}\nLLAMA_CPP_COMMIT = {commit!r}\n")
    info = folder / f"shimmy_llm_{backend}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.4\nName: shimmy-llm-{backend}\nVersion: {version}\n")
    (info / "entry_points.txt").write_text(f"[shimmy.backends]\n{backend} = shimmy_llm_{backend}\n")
    return str(library)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [str(tmp_path)])  # and none of those that are installed here
    for backend in ("vulkan", "cuda"):
        monkeypatch.delitem(sys.modules, f"shimmy_llm_{backend}", raising=False)
    return tmp_path


def only(commit: str = COMMIT, portable: bool = True) -> BackendAddon:
    (addon,) = installed("0.1.0", commit, portable)
    return addon


def test_none(folder: Path) -> None:
    assert installed("0.1.0", COMMIT, portable=True) == []


def test_found_in_order(folder: Path) -> None:
    vulkan, cuda = add_package(folder), add_package(folder, "cuda")
    assert installed("0.1.0", COMMIT, portable=True) == [BackendAddon(cuda), BackendAddon(vulkan)]


def test_another_pin_is_refused(folder: Path) -> None:
    add_package(folder, version="0.0.9", commit="f" * 40)
    assert only().refusal == (
        "shimmy-llm-vulkan 0.0.9 was built from llama.cpp ffffffffffff, shimmy-llm 0.1.0 from 0123456789ab, and they "
        "cannot work together: pip install shimmy-llm-vulkan==0.1.0, or pip uninstall shimmy-llm-vulkan"
    )


def test_a_build_with_its_backends_inside_refuses_all(folder: Path) -> None:
    add_package(folder)
    assert "compiled in" in only(portable=False).refusal
    assert "SHIMMY_VULKAN=ON" in only(portable=False).refusal


@pytest.mark.parametrize("module", ["LIBRARY = 'x.so'", "raise OSError('half a disk')", "import no_such_module"])
def test_broken(folder: Path, module: str) -> None:
    add_package(folder, module=module + "\n")
    assert only().refusal.startswith("shimmy-llm-vulkan 0.1.0 is broken (")


def test_library_is_gone(folder: Path) -> None:
    library = add_package(folder)
    Path(library).unlink()
    assert f"lacks its library {library}" in only().refusal


def test_the_extension_refuses_with_the_reason(folder: Path) -> None:
    """Nothing native works then: to go on without the backend that was installed would hide that it is not used."""
    pytest.importorskip("shimmy._core")
    add_package(folder, commit="f" * 40)
    code = "import sys; sys.path.insert(0, sys.argv[1]); import shimmy; shimmy.devices()"
    done = subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert "ShimmyError: shimmy-llm-vulkan 0.1.0 " in done.stderr
