"""The log callback: it gets llama.cpp's lines whole and in order, and nothing it does reaches the native side."""

from __future__ import annotations

import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from token_loop import GOLDEN, golden, open_context

from gguf_corpus import Gguf, string, write
from shimmy import _core, demo_model_path
from shimmy.errors import InvalidRequestError


@pytest.fixture(autouse=True)
def _python_logging_gets_the_callback_back() -> Iterator[None]:
    yield
    _core.set_log_callback(logging.getLogger("shimmy.llama").log)


def lines_of_a_load(**params: Any) -> list[tuple[int, str]]:
    lines: list[tuple[int, str]] = []
    _core.set_log_callback(lambda level, line: lines.append((level, line)))
    _core.Model(demo_model_path(), _core.ModelParams(vocab_only=True), **params)
    _core.set_log_callback(None)
    return lines


def test_lines_arrive_whole_with_levels_of_logging() -> None:
    lines = lines_of_a_load()
    assert any("general.name" in line and "Shimmy Mini" in line for _, line in lines)
    assert all(line and "\n" not in line for _, line in lines)
    assert {level for level, _ in lines} <= {logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR}


def test_removing_it_waits_for_the_lines_and_ends_them() -> None:
    lines = lines_of_a_load()
    count = len(lines)
    assert count > 20
    golden(open_context())
    assert len(lines) == count
    _core.set_log_callback(None)


def test_another_callback_takes_over() -> None:
    first: list[str] = []
    second: list[str] = []
    _core.set_log_callback(lambda _, line: first.append(line))
    open_context()
    _core.set_log_callback(lambda _, line: second.append(line))
    count = len(first)
    open_context()
    _core.set_log_callback(None)
    assert count > 0
    assert len(first) == count
    assert len(second) == len(first)
    assert second[0] == first[0]


def test_it_runs_on_a_thread_of_its_own() -> None:
    threads: set[int] = set()
    _core.set_log_callback(lambda *_: threads.add(threading.get_ident()))
    open_context()
    _core.set_log_callback(None)
    assert len(threads) == 1
    assert threading.get_ident() not in threads


def test_a_raising_callback_kills_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[BaseException | None] = []
    monkeypatch.setattr(sys, "unraisablehook", lambda unraisable: raised.append(unraisable.exc_value))
    for error in (ValueError("mine"), KeyboardInterrupt(), SystemExit(1)):
        raised.clear()

        def callback(level: int, line: str, error: BaseException = error) -> None:
            raise error

        _core.set_log_callback(callback)
        assert golden(open_context()) == GOLDEN
        _core.set_log_callback(None)
        assert len(raised) > 1
        assert set(map(type, raised)) == {type(error)}


def test_it_cannot_replace_itself() -> None:
    caught: list[Exception] = []

    def callback(level: int, line: str) -> None:
        try:
            _core.set_log_callback(None)
        except InvalidRequestError as error:
            caught.append(error)

    _core.set_log_callback(callback)
    open_context()
    _core.set_log_callback(None)
    assert "cannot replace itself" in str(caught[0])


@pytest.mark.parametrize("callback", [5, "print", []])
def test_it_must_be_callable(callback: object) -> None:
    with pytest.raises(TypeError, match="callable or None"):
        _core.set_log_callback(callback)  # type: ignore[arg-type]


def test_a_line_that_is_no_utf8_is_replaced(tmp_path: Path) -> None:
    file = Gguf.read(demo_model_path())
    file.set("general.name", string(b"a\xffb"))
    lines: list[str] = []
    _core.set_log_callback(lambda _, line: lines.append(line))
    _core.Model(write(file, tmp_path / "name.gguf"), _core.ModelParams(vocab_only=True))
    _core.set_log_callback(None)
    assert any("a\N{REPLACEMENT CHARACTER}b" in line for line in lines)


def test_a_callback_may_log_when_it_is_dropped() -> None:
    class Callback:
        def __call__(self, level: int, line: str) -> None:
            pass

        def __del__(self) -> None:
            open_context()

    _core.set_log_callback(Callback())
    _core.set_log_callback(None)


def test_threads_replace_it_while_others_log() -> None:
    def replace() -> None:
        for _ in range(50):
            _core.set_log_callback(lambda *_: None)
            _core.set_log_callback(None)

    threads = [threading.Thread(target=replace) for _ in range(3)]
    for thread in threads:
        thread.start()
    for _ in range(10):
        open_context()
    for thread in threads:
        thread.join()
