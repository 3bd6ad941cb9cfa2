"""What people are told of a process that gave up."""

from __future__ import annotations

import logging

from shimmy.runner.last_words import LastWords


def test_errors_and_raw_lines_are_kept_without_folders() -> None:
    words = LastWords()
    words.hear(logging.WARNING, "slow")
    words.hear(logging.ERROR, "CUDA error: out of memory")
    words.hear(None, "/builds/some one/llama.cpp/ggml/src/ggml-cuda/ggml-cuda.cu:98: CUDA error")
    assert str(words) == "CUDA error: out of memory; ggml-cuda.cu:98: CUDA error"


def test_only_the_last_lines_and_none_twice() -> None:
    words = LastWords()
    for text in ("one", "two", "three", "four", "four", "x" * 5000):
        words.hear(None, text)
    assert str(words).startswith("three; four; xxx")
    assert len(str(words)) < 500


def test_a_traceback_of_the_interpreter_says_nothing() -> None:
    words = LastWords()
    for line in (
        "Fatal Python error: Aborted",
        "Current thread 0x1 (most recent call first):",
        '  File "a.py", line 1',
    ):
        words.hear(None, line)
    assert str(words) == ""
