"""Which threads of a loaded model compute can be told from outside."""

from __future__ import annotations

import sys
import threading
from contextlib import suppress
from pathlib import Path

import pytest
from engine_fixtures import spec

from shimmy import LLM
from shimmy.thread_name import thread_name

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="threads inherit names on Linux only")


def names() -> list[str]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread of an earlier test may just be ending
            found.append((task / "comm").read_text().strip())
    return found


def test_threads_made_in_the_block_have_the_name() -> None:
    mine = Path(f"/proc/self/task/{threading.get_native_id()}/comm")
    before = mine.read_text()
    ended = threading.Event()
    with thread_name("shimmy-try"):
        thread = threading.Thread(target=ended.wait)
        thread.start()
    assert names().count("shimmy-try") == 1
    assert mine.read_text() == before
    ended.set()
    thread.join()


def test_a_model_s_threads_are_named() -> None:
    with LLM(spec()) as llm:
        llm.generate("Hello", max_tokens=2)
        assert {"shimmy-compute", "shimmy-pump"} <= set(names())
