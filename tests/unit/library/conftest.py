from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from fake_host import FakeHost, run_host

from shimmy.library.library import Library


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with run_host() as running:
        yield running


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")
