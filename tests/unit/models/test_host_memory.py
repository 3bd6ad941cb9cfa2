"""What there is of memory, in made-up trees of a system."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from shimmy.models.host_memory import HostMemory, ProcessMemory, host_memory, process_memory

GIB = 1 << 30


def put(path: Path, text: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    put(tmp_path / "proc/meminfo", "MemTotal: 16777216 kB\nMemFree: 1 kB\nMemAvailable:  8388608 kB")
    return tmp_path


def test_the_machine(root: Path) -> None:
    assert host_memory(root) == HostMemory(16 * GIB, 8 * GIB)


def test_a_container(root: Path) -> None:
    put(root / "proc/self/cgroup", "0::/app/inner")
    put(root / "sys/fs/cgroup/app/memory.max", 4 * GIB)
    put(root / "sys/fs/cgroup/app/memory.current", 3 * GIB)
    put(root / "sys/fs/cgroup/app/memory.stat", f"anon 1\ninactive_file {GIB}\nactive_file {GIB}")
    put(root / "sys/fs/cgroup/app/inner/memory.max", "max")
    assert host_memory(root) == HostMemory(4 * GIB, 3 * GIB)
    put(root / "sys/fs/cgroup/app/inner/memory.max", 2 * GIB)
    assert host_memory(root) == HostMemory(2 * GIB, 3 * GIB)


def test_a_container_that_sees_itself_as_the_root(root: Path) -> None:
    put(root / "proc/self/cgroup", "0::/not/visible/here")
    put(root / "sys/fs/cgroup/memory.max", GIB)
    put(root / "sys/fs/cgroup/memory.current", GIB // 2)
    assert host_memory(root) == HostMemory(GIB, GIB // 2)


def test_version_1(root: Path) -> None:
    put(root / "proc/self/cgroup", "5:cpu,cpuacct:/\n4:memory:/app")
    put(root / "sys/fs/cgroup/memory/memory.limit_in_bytes", 9223372036854771712)
    put(root / "sys/fs/cgroup/memory/app/memory.limit_in_bytes", 2 * GIB)
    put(root / "sys/fs/cgroup/memory/app/memory.usage_in_bytes", GIB)
    put(root / "sys/fs/cgroup/memory/app/memory.stat", f"total_inactive_file {GIB // 2}\ninactive_file 7")
    assert host_memory(root) == HostMemory(2 * GIB, 2 * GIB - GIB // 2)


def test_a_system_without_such_files(tmp_path: Path) -> None:
    memory = host_memory(tmp_path)
    assert (memory.total or 0) > 0
    assert memory.available is None


def test_a_process(tmp_path: Path) -> None:
    assert process_memory(7, tmp_path) is None
    put(tmp_path / "proc/7/status", "Name: x\nRssAnon:\t 10 kB\nRssFile:\t 20 kB\nRssShmem:\t 1 kB")
    assert process_memory(7, tmp_path) == ProcessMemory(own=11 * 1024, files=20 * 1024)
    put(
        tmp_path / "proc/7/smaps_rollup",
        "00-ff r--p [rollup]\nPss: 9 kB\nPss_Anon:  5 kB\nPss_File: 4 kB\nPss_Shmem: 2 kB",
    )
    assert process_memory(7, tmp_path) == ProcessMemory(own=7 * 1024, files=4 * 1024)


MEASURE = """
import mmap, os
from shimmy.models.host_memory import process_memory
before = process_memory(os.getpid())
with mmap.mmap(-1, 32 << 20) as block:
    for _ in range(32):
        block.write(os.urandom(1 << 20))
    print(process_memory(os.getpid()).own - before.own)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs Linux")
def test_a_real_process() -> None:
    """One of its own, in which nothing else allocates: fresh pages, and not what the allocator has freed."""
    done = subprocess.run([sys.executable, "-c", MEASURE], capture_output=True, text=True, timeout=30, check=True)
    assert int(done.stdout) == pytest.approx(32 << 20, rel=0.25)
