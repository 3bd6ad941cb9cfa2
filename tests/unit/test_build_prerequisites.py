"""Configuring on a machine that lacks what a backend is built with: one error names it, before anything is fetched."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Read at the end of CMake's project(), when the compiler is known: from then on nothing is found on this machine.
NOTHING_INSTALLED = """
set(CMAKE_FIND_ROOT_PATH /nonexistent)
foreach (kind PROGRAM LIBRARY INCLUDE PACKAGE)
    set(CMAKE_FIND_ROOT_PATH_MODE_${kind} ONLY)
endforeach()
"""
NEEDS = {
    "CUDA": ["the CUDA toolkit", "nvcc"],
    "VULKAN": ["vulkan/vulkan.hpp", "libvulkan-dev", "apt install glslc", "apt install spirv-headers"],
    "OPENCL": ["CL/cl.h", "apt install opencl-headers", "apt install ocl-icd-opencl-dev"],
    "HIP": ["ROCm", "hipblas", "rocblas"],
    "METAL": ["macOS"],
    "BLAS": ["libopenblas-dev", "pkg-config"],
}


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not shutil.which("cmake") or not shutil.which("ninja"):
        pytest.skip("cmake or ninja is not installed")
    folder = tmp_path_factory.mktemp("tree")
    (folder / "nothing_installed.cmake").write_text(NOTHING_INSTALLED)
    return folder


def configure(tree: Path, *options: str) -> str:
    """Configure the project with these options, in vain, and return the error."""
    command = ["cmake", "-S", str(ROOT), "-B", str(tree / "build"), "-G", "Ninja"]
    command += [f"-DCMAKE_PROJECT_INCLUDE={tree / 'nothing_installed.cmake'}"]
    command += [f"-DSHIMMY_{backend}=OFF" for backend in NEEDS] + ["-DSHIMMY_ADDON="]
    done = subprocess.run([*command, *options], capture_output=True, text=True, timeout=60)
    assert done.returncode != 0
    return done.stderr


@pytest.mark.parametrize("backend", NEEDS)
def test_the_error_names_what_is_missing(tree: Path, backend: str) -> None:
    error = configure(tree, f"-DSHIMMY_{backend}=ON")
    assert f"SHIMMY_{backend}=ON needs " in error
    for word in NEEDS[backend]:
        assert word in error
    assert "docs/building.md" in error
    assert error.count("CMake Error") == 1
    assert not any(f"SHIMMY_{other}=ON" in error for other in NEEDS if other != backend)


def test_all_that_is_missing_is_named_at_once(tree: Path) -> None:
    error = configure(tree, "-DSHIMMY_VULKAN=ON", "-DSHIMMY_OPENCL=ON")
    assert error.count("CMake Error") == 1
    for word in NEEDS["VULKAN"] + NEEDS["OPENCL"]:
        assert word in error


def test_an_add_on_needs_the_same(tree: Path) -> None:
    assert "SHIMMY_VULKAN=ON needs " in configure(tree, "-DSHIMMY_ADDON=vulkan")


def test_an_add_on_of_no_backend(tree: Path) -> None:
    assert "SHIMMY_ADDON=glide is no backend: choose cuda, vulkan" in configure(tree, "-DSHIMMY_ADDON=glide")
