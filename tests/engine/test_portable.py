"""Portable builds: the CPU's fastest variant is opened, and add-ons of backends as far as they can be."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from shimmy import build_info, devices

BUILD = build_info()
pytestmark = pytest.mark.skipif("SHIMMY_PORTABLE=ON" not in BUILD["options"], reason="no portable build")


def loaded_libraries() -> set[str]:
    """File names of this package's libraries in this process."""
    maps = Path("/proc/self/maps").read_text()
    return {Path(path).name for path in re.findall(r"/\S+/lib(?:shimmy-|ggml-)\S+\.so", maps)}


def run(code: str, folder: Path) -> subprocess.CompletedProcess[str]:
    program = f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)


def test_one_variant_of_the_cpu_is_used() -> None:
    assert [device.backend for device in devices()].count("CPU") == 1
    assert BUILD["backends"].count("CPU") == 1
    assert BUILD["cpu_features"]
    assert len({name for name in loaded_libraries() if name.startswith("libggml-cpu")}) == 1


def test_linked_libraries_have_names_of_their_own() -> None:
    """Another llama.cpp in the process has libllama.so and libggml.so: the linker goes by these names."""
    pin = BUILD["llama_cpp_commit"][:8]
    linked = {name for name in loaded_libraries() if name.startswith("libshimmy-")}
    assert linked == {f"libshimmy-{name}-{pin}.so" for name in ("llama", "ggml", "ggml-base")}


def test_a_library_that_cannot_be_opened_is_left_out_and_told(tmp_path: Path) -> None:
    package = tmp_path / "shimmy_llm_glide"
    package.mkdir()
    library = package / "libggml-glide.so"
    library.write_text("no library")
    (package / "__init__.py").write_text(
        f"LIBRARY = {str(library)!r}\nLLAMA_CPP_COMMIT = {BUILD['llama_cpp_commit']!r}"
    )
    info = tmp_path / "shimmy_llm_glide-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.4\nName: shimmy-llm-glide\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[shimmy.backends]\nglide = shimmy_llm_glide\n")
    code = "import logging; logging.basicConfig()\n"
    code += "from shimmy import devices, native_log\nnative_log.install()\nprint(len(devices()))"
    done = run(code, tmp_path)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == len(devices())
    assert f"failed to load {library}" in done.stderr
