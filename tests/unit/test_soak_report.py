"""tools/soak.py: what it says of its parts."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def soak() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ROOT / "tools"))
        yield importlib.import_module("soak")


def test_every_part_has_tests_that_are_there(soak: ModuleType) -> None:
    for part in soak.PARTS.values():
        for test in part.tests:
            file, _, name = test.partition("::")
            text = (ROOT / "tests" / file).read_text()
            assert f"def {name or 'test_'}" in text
            assert not part.variable or part.variable in text or "residency" in file


def test_a_line_for_each_part(soak: ModuleType, tmp_path: Path) -> None:
    results = tmp_path / "races.xml"
    results.write_text(
        "<testsuites><testsuite>"
        '<testcase classname="tests.e2e.test_a" name="one" time="1.4"/>'
        '<testcase classname="tests.e2e.test_a" name="two" time="60"><failure/></testcase>'
        '<testcase classname="tests.e2e.test_a" name="three"><skipped/></testcase>'
        "</testsuite></testsuites>"
    )
    cases = soak.cases(results)
    assert cases == [
        ("test_a: one", "passed", 1.4),
        ("test_a: two", "failure", 60.0),
        ("test_a: three", "skipped", 0.0),
    ]
    outcome = soak.Outcome("races", 200, 90.0, cases, ["runner: +0.1 %"])
    assert outcome.failed
    assert outcome.line() == "| races | 200 | 1 passed, 1 failed, 1 skipped | 1.5 | runner: +0.1 % |"
    assert "| test_a: two | failure | 60 |" in soak.summary([outcome])
    assert not soak.Outcome("cycles", 50, 9.0, cases[:1], []).failed
    nothing = soak.Outcome("disk", 0, 1.0, [], [])
    assert nothing.failed
    assert "no result" in nothing.line()
