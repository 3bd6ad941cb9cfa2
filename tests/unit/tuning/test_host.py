from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from shimmy.tuning.host import others_seconds, usable_cpus


def test_processor_time_of_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    monkeypatch.setattr(time, "process_time", lambda: 4.0)
    ticks = os.sysconf("SC_CLK_TCK")
    file = tmp_path / "stat"
    file.write_text("cpu  " + " ".join(str(n * ticks) for n in (5, 1, 2, 900, 800, 0, 1, 1, 0, 0)) + "\ncpu0 1\n")
    assert others_seconds(file) == pytest.approx((10 - 4) / 2)
    file.write_text("no numbers\n")
    assert others_seconds(file) == 0
    assert others_seconds(tmp_path / "none") == 0


def test_cpus() -> None:
    assert 1 <= usable_cpus() <= (os.cpu_count() or 1)
