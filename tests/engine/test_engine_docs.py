"""The programs of docs/engine.md run as they stand there, and print what it says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "engine.md").read_text(encoding="utf-8")
PROGRAMS = re.findall(r"```python\n(.*?)```(?:\n\n```text\n(.*?)```)?", TEXT, re.DOTALL)


def test_no_program_is_left_out() -> None:
    assert len(PROGRAMS) == TEXT.count("```python") >= 7
    assert sum(bool(printed) for _, printed in PROGRAMS) == TEXT.count("```text")


@pytest.mark.parametrize(("program", "printed"), PROGRAMS, ids=range(len(PROGRAMS)))
def test_program(
    program: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    exec(compile(program, "docs/engine.md", "exec"), {"__name__": "__main__"})
    assert printed == capsys.readouterr().out
