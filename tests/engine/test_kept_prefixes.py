"""Prefixes that outlive their engine: the same answers as from memory, and nothing that is wrong is ever used."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arithmetic import same_in_every_batch
from engine_fixtures import QUESTIONS, long_chat

from shimmy import LLM, Completion, LoadSpec, demo_adapter_paths, demo_model_path
from shimmy.kv_store.trial import Trial
from shimmy.model_info import KvStoreSpec

FIRST, SECOND, THIRD = "Who are you?", "Spell lothel.", "List three animals."
N = 600
BUDGET = 1 << 30


@pytest.fixture(autouse=True)
def files_are_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """However fast this machine computes what they hold, which else decides whether they are written and read."""
    monkeypatch.setattr("shimmy.kept_prefixes._READ_RATE", 1e15)


@contextmanager
def open_llm(
    folder: Path, path: Path | None = None, adapters: dict[str, Path] | None = None, **engine: Any
) -> Iterator[LLM]:
    spec = LoadSpec(
        name="mini",
        path=str(path or demo_model_path()),
        adapters={name: str(path) for name, path in (adapters or demo_adapter_paths()).items()},
        context={"n_threads": 1, "n_ctx": 2048},
        engine={"adaptive_threads": False, "max_draft": 0, **engine},
        kv_store=KvStoreSpec(str(folder), BUDGET),
    )
    with LLM(spec) as llm:
        yield llm


def ask(llm: LLM, question: str, n: int = N, **options: Any) -> Completion:
    return llm.generate(long_chat(question, n), temperature=0, max_tokens=24, **options)


def shared(*questions: str, n: int = N) -> int:
    prompts = [np.array(long_chat(question, n)) for question in questions]
    return int((prompts[0] != prompts[1][: len(prompts[0])]).argmax())


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.kv"))


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_model_that_was_edited_begins_anew(tmp_path: Path) -> None:
    """Between the samples of its fingerprint too: one byte of the weights is another, and the size is the same."""
    model = tmp_path / "m.gguf"
    shutil.copyfile(demo_model_path(), model)
    with open_llm(tmp_path / "kv", model) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
    with open_llm(tmp_path / "kv", model) as llm:
        assert ask(llm, FIRST).usage.cached_tokens > 256
    with model.open("r+b") as file:
        file.seek(-1000, 2)
        file.write(bytes([file.read(1)[0] ^ 1]))
    with open_llm(tmp_path / "kv", model) as llm:
        assert ask(llm, FIRST).usage.cached_tokens == 0


def test_a_prefix_is_restored_after_a_restart(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        assert ask(llm, FIRST).usage.cached_tokens == 0
        ask(llm, SECOND)
        warm = ask(llm, THIRD)
    assert files(tmp_path)
    with open_llm(tmp_path) as llm:
        restored = ask(llm, THIRD)
        assert restored.usage.cached_tokens == warm.usage.cached_tokens == shared(FIRST, SECOND)
        assert restored.text == warm.text == QUESTIONS[THIRD]
        assert ask(llm, FIRST).usage.cached_tokens >= warm.usage.cached_tokens
    assert not list(tmp_path.rglob("*.trying"))


@same_in_every_batch
def test_an_answer_is_that_of_the_warm_cache_to_the_last_bit(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
        warm = ask(llm, THIRD, logprobs=3)
    with open_llm(tmp_path) as llm:
        assert ask(llm, THIRD, logprobs=3).logprobs == warm.logprobs


def test_idle_engines_write(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        assert not files(tmp_path)
        ask(llm, SECOND)
        eventually(lambda: files(tmp_path))
        (path,) = files(tmp_path)
        written = path.stat().st_ino
        ask(llm, THIRD)
        time.sleep(1)
        assert [one.stat().st_ino for one in files(tmp_path)] == [written]


def test_what_comes_only_once_is_not_written(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND, n=100)
        ask(llm, THIRD, n=100)
    assert not files(tmp_path)


def test_an_adapter_that_was_edited_is_another(tmp_path: Path) -> None:
    """Its size and its time of change do not tell, nor do samples: the one byte lies between any of them."""
    adapter = tmp_path / "pirate.gguf"
    shutil.copyfile(demo_adapter_paths()["pirate"], adapter)

    def cached() -> int:
        with open_llm(tmp_path / "kv", adapters={"pirate": adapter}) as llm:
            return max(ask(llm, question, lora={"pirate": 1.0}).usage.cached_tokens for question in (FIRST, SECOND))

    cached()
    assert cached() > 256
    status = adapter.stat()
    with adapter.open("r+b") as file:
        file.seek(-1000, 2)
        byte = file.read(1)[0]
        file.seek(-1000, 2)
        file.write(bytes([byte ^ 1]))
    os.utime(adapter, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert adapter.stat().st_size == status.st_size
    with open_llm(tmp_path / "kv", adapters={"pirate": adapter}) as llm:
        assert ask(llm, FIRST, lora={"pirate": 1.0}).usage.cached_tokens == 0


def test_tenants_and_adapters_have_files_of_their_own(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        for question in (FIRST, SECOND):
            ask(llm, question, tenant="alice")
            ask(llm, question, lora={"pirate": 1.0})
        pirate = ask(llm, THIRD, lora={"pirate": 1.0})
    assert len(files(tmp_path)) == 2
    with open_llm(tmp_path) as llm:
        for tenant, lora in (("bob", {}), ("", {}), ("alice", {"pirate": 1.0}), ("", {"pirate": 0.5})):
            assert ask(llm, THIRD, tenant=tenant, lora=lora).usage.cached_tokens == 0
    with open_llm(tmp_path) as llm:
        assert ask(llm, THIRD, tenant="alice").usage.cached_tokens == shared(FIRST, SECOND)
        again = ask(llm, THIRD, lora={"pirate": 1.0})
        assert again.usage.cached_tokens == shared(FIRST, SECOND)
        assert again.text == pirate.text


@pytest.mark.parametrize("place", ["header", "frame", "tokens", "cells", "end", "cut"])
def test_a_damaged_file_is_removed_and_the_answer_is_as_ever(tmp_path: Path, place: str) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
    (path,) = files(tmp_path)
    data = bytearray(path.read_bytes())
    state = data.index(b"SHMS")
    at = {
        "header": 100,
        "frame": state + 20,
        "tokens": state + 80,
        "cells": len(data) // 2,
        "end": len(data) - 1,
        "cut": 0,
    }[place]
    data[at] ^= 4
    path.write_bytes(data[:-100] if place == "cut" else data)
    with open_llm(tmp_path) as llm:
        answer = ask(llm, THIRD)
        assert answer.usage.cached_tokens == 0
        assert answer.text == QUESTIONS[THIRD]
        assert not files(tmp_path)


def test_other_settings_find_nothing(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
    with open_llm(tmp_path, deterministic=True, max_num_seqs=1) as llm:
        assert ask(llm, THIRD).usage.cached_tokens == 0
    assert len(files(tmp_path)) == 1


def test_a_state_that_another_process_tries_is_left_to_it(tmp_path: Path) -> None:
    with open_llm(tmp_path) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
    trial = Trial.of(files(tmp_path)[0])
    assert trial is not None
    with open_llm(tmp_path) as llm:
        assert ask(llm, THIRD).usage.cached_tokens == 0
    trial.end()
    with open_llm(tmp_path) as llm:
        assert ask(llm, THIRD).usage.cached_tokens == shared(FIRST, SECOND)


def test_what_was_lost_from_memory_is_read_again(tmp_path: Path) -> None:
    with open_llm(tmp_path, cache_ram_mib=0) as llm:
        ask(llm, FIRST)
        ask(llm, SECOND)
        eventually(lambda: files(tmp_path))
        for token in (300, 301, 302):
            llm.generate([token] * 2000, temperature=0, max_tokens=1)
        again = ask(llm, THIRD)
        assert again.usage.cached_tokens == shared(FIRST, SECOND)
        assert again.text == QUESTIONS[THIRD]


def test_engines_without_room_or_cache_answer_all_the_same(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with open_llm(tmp_path / "file" / "kv") as llm:
        for question in (FIRST, SECOND, THIRD):
            assert ask(llm, question).text == QUESTIONS[question]
    with open_llm(tmp_path / "kv", prefix_cache=False) as llm:
        ask(llm, FIRST)
        ask(llm, FIRST)
    assert not files(tmp_path)
