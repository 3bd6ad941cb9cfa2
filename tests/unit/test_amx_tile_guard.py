"""csrc/ggml/amx_tile_guard.h: all 64 bytes of an AMX tile configuration reach the tile instruction.

The code is compiled for AMX, its `ldtilecfg` is replaced by a copy of the 64 bytes it would have read, and the result
runs on any x86-64 machine.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUARD = ROOT / "csrc" / "ggml" / "amx_tile_guard.h"

# The pattern of ggml-cpu/amx/mmq.cpp: a configuration on the stack, filled field by field, loaded, forgotten.
CONFIGURE = """
#include <immintrin.h>
#include <stdint.h>

struct tile_config {
    uint8_t palette = 0;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {0};
    uint16_t colsb[16] = {0};
    uint8_t rows[16] = {0};
};

extern "C" __attribute__((noinline)) void configure_in_a_loop(void) {
    tile_config config;
    config.palette = 1;
    for (int i = 0; i < 8; ++i) {
        config.rows[i] = (uint8_t) (8 + i);
        config.colsb[i] = (uint16_t) (32 + i);
    }
    _tile_loadconfig(&config);
}

extern "C" __attribute__((noinline)) void configure_one_by_one(void) {
    alignas(64) tile_config config = {};
    config.palette = 1;
    config.rows[0] = 8;  config.colsb[0] = 32;
    config.rows[1] = 9;  config.colsb[1] = 33;
    config.rows[2] = 10; config.colsb[2] = 34;
    config.rows[3] = 11; config.colsb[3] = 35;
    config.rows[4] = 12; config.colsb[4] = 36;
    config.rows[5] = 13; config.colsb[5] = 37;
    config.rows[6] = 14; config.colsb[6] = 38;
    config.rows[7] = 15; config.colsb[7] = 39;
    _tile_loadconfig(&config);
}
"""
EXPECTED = bytes([1, *[0] * 15, *(byte for i in range(8) for byte in (32 + i, 0)), *[0] * 16, *range(8, 16), *[0] * 8])

# Fills the stack with a pattern first, so that a byte which was never stored cannot be right by luck.
MAIN = """
#include <stdio.h>
#include <string.h>

unsigned char captured[64];
void configure_in_a_loop(void);
void configure_one_by_one(void);

__attribute__((noinline)) static void dirty_stack(void) {
    volatile unsigned char pattern[4096];
    for (int i = 0; i < 4096; ++i) pattern[i] = 0xAA;
}

static void show(void (*configure)(void)) {
    memset(captured, 0x55, sizeof(captured));
    dirty_stack();
    configure();
    for (int i = 0; i < 64; ++i) printf("%02x", captured[i]);
    printf("\\n");
}

int main(void) {
    show(configure_in_a_loop);
    show(configure_one_by_one);
    return 0;
}
"""


@dataclass(frozen=True)
class Compiler:
    command: list[str]
    macros: dict[str, str]

    @property
    def is_old_gcc(self) -> bool:
        """GCC < 14, whose _tile_loadconfig declares 8 of the 64 bytes."""
        return "__clang__" not in self.macros and int(self.macros.get("__GNUC__", "99")) < 14


def inspect_compiler(command: list[str]) -> Compiler | None:
    try:
        done = subprocess.run(
            [*command, "-dM", "-E", "-x", "c++", os.devnull], capture_output=True, text=True, check=False
        )
    except OSError:
        return None
    defines = (line.split(maxsplit=2) for line in done.stdout.splitlines())
    macros = {parts[1]: (parts[2] if len(parts) > 2 else "") for parts in defines if len(parts) > 1}
    return Compiler(command, macros) if done.returncode == 0 and "__x86_64__" in macros else None


@pytest.fixture(scope="module")
def compiler() -> Compiler:
    if platform.machine().lower() not in {"x86_64", "amd64"}:
        pytest.skip("AMX exists on x86-64 only")
    command = shlex.split(os.environ.get("CXX", "")) or [shutil.which("g++") or shutil.which("c++") or "c++"]
    found = inspect_compiler(command)
    if found is None:
        pytest.skip(f"{command[0]} is no GCC or Clang for x86-64")
    return found


def loaded_configurations(compiler: Compiler, folder: Path, *flags: str) -> list[bytes]:
    """The 64 bytes that the tile instruction reads in each function of CONFIGURE."""
    (folder / "configure.cpp").write_text(CONFIGURE)
    (folder / "main.c").write_text(MAIN)
    assembly = folder / "configure.s"
    compile_to_assembly = [*compiler.command, "-O3", "-mamx-tile", "-fPIE", *flags, "-S", "-o", str(assembly)]
    done = subprocess.run(
        [*compile_to_assembly, str(folder / "configure.cpp")], capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and "mamx-tile" in done.stderr:
        pytest.skip("this compiler does not know AMX")
    assert done.returncode == 0, done.stderr

    def capture(match: re.Match[str]) -> str:
        displacement, base = match.group(1) or "0", match.group(2)
        lines = []
        for offset in range(0, 64, 16):
            lines.append(f"\tmovdqu {int(displacement, 0) + offset}({base}), %xmm15")
            lines.append(f"\tmovdqu %xmm15, captured+{offset}(%rip)")
        return "\n".join(lines)

    text, count = re.subn(r"^\s*ldtilecfg\s+(-?\w*)\((%\w+)\)", capture, assembly.read_text(), flags=re.MULTILINE)
    assert count == 2, "expected one tile instruction per function"
    assembly.write_text(text)
    program = folder / "program"
    subprocess.run([*compiler.command, "-O0", "-x", "c", "-c", str(folder / "main.c"), "-o", str(folder / "main.o")],
                   check=True)  # fmt: skip
    subprocess.run([*compiler.command, str(assembly), str(folder / "main.o"), "-o", str(program)], check=True)
    output = subprocess.run([str(program)], capture_output=True, text=True, check=True).stdout
    return [bytes.fromhex(line) for line in output.split()]


def test_every_byte_arrives_with_the_guard(compiler: Compiler, tmp_path: Path) -> None:
    loaded = loaded_configurations(compiler, tmp_path, "-include", str(GUARD))
    assert loaded == [EXPECTED, EXPECTED]


def test_bytes_are_lost_without_the_guard(compiler: Compiler, tmp_path: Path) -> None:
    """Shows that the test above can fail; it does on the compilers that the guard is for."""
    if not compiler.is_old_gcc:
        pytest.skip("this compiler declares all 64 bytes itself")
    assert EXPECTED not in loaded_configurations(compiler, tmp_path)


def amx_compile_commands() -> list[tuple[Path, list[str]]]:
    """The compile commands of ggml's AMX sources in every build tree below build/."""
    found = []
    for database in sorted((ROOT / "build").glob("*/compile_commands.json")):
        for entry in json.loads(database.read_text()):
            if Path(entry["file"]).parts[-3:-1] == ("ggml-cpu", "amx"):
                found.append((database.parent, entry.get("arguments") or shlex.split(entry["command"])))
    return found


def test_the_build_force_includes_the_guard() -> None:
    commands = amx_compile_commands()
    checked = 0
    for tree, arguments in commands:
        if Path(arguments[0]).name in {"ccache", "sccache"}:
            arguments = arguments[1:]
        compiler = inspect_compiler(arguments[:1])
        if compiler is None or not compiler.is_old_gcc:
            continue
        includes = [Path(b) for a, b in itertools.pairwise(arguments) if a == "-include"]
        assert any(path.name == GUARD.name for path in includes), f"{tree.name}: {' '.join(arguments)}"
        checked += 1
    if not checked:
        pytest.skip("no build tree with ggml's AMX sources and GCC < 14")
