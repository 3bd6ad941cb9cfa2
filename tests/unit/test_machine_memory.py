from __future__ import annotations

from pathlib import Path

import pytest

from shimmy.machine_memory import MachineMemory, machine_memory

MIB = 1 << 20


def test_what_linux_tells(tmp_path: Path) -> None:
    meminfo = tmp_path / "meminfo"
    meminfo.write_text(
        "MemTotal:       16384000 kB\nMemFree:  1024000 kB\nMemAvailable: 8192000 kB\nHugePages_Total: 0\n"
    )
    assert machine_memory(meminfo) == MachineMemory(16000 * MIB, 1000 * MIB, 8000 * MIB)


@pytest.mark.parametrize("text", ["", "nothing of use", "MemAvailable: much\n", "MemAvailable:\n", None])
def test_what_is_not_told(tmp_path: Path, text: str | None) -> None:
    if text is not None:
        (tmp_path / "meminfo").write_text(text)
    memory = machine_memory(tmp_path / "meminfo")
    assert (memory.free, memory.available) == (None, None)
    assert (memory.total or 0) > 100 * MIB
