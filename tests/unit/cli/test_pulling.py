"""shimmy pull, from a fake host."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fake_host import FakeHost, run_host
from tiny_gguf import model_bytes, write_model

from shimmy.cli import pull as command
from shimmy.library.pull import Progress


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHost]:
    with run_host() as running:
        running.add_model("library/llama3", {"model": model_bytes()}, tag="8b")
        monkeypatch.setenv("SHIMMY_REGISTRY_URL", running.url)
        yield running


def test_a_model_that_is_listed_then(run: Any, host: FakeHost) -> None:
    done = run("pull", "llama3:8b")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("llama3:8b is in ")
    steps = done.stderr.splitlines()
    assert (steps[0], steps[-1]) == ("pulling manifest", "writing manifest")
    assert run("list", "--short").stdout.split() == ["llama3:8b"]


@pytest.mark.parametrize(
    ("name", "code", "named"),
    [("none", 1, "library/none:latest"), ("a/b/c/d", 1, "cannot be pulled"), ("evil.example/a", 1, "no host to pull")],
)
def test_what_cannot_be_pulled(run: Any, host: FakeHost, name: str, code: int, named: str) -> None:
    done = run("pull", name)
    assert (done.exit_code, named in done.stderr) == (code, True)


def test_a_name_that_is_taken(run: Any, host: FakeHost, tmp_path: Path) -> None:
    write_model(tmp_path / "models" / "llama3.gguf")
    done = run("pull", "llama3")
    assert (done.exit_code, "not shimmy's to replace" in done.stderr) == (1, True), done.output
    assert not host.asked


def test_a_host_that_cannot_be_reached(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHIMMY_REGISTRY_URL", "http://127.0.0.1:1")
    done = run("pull", "llama3")
    assert done.exit_code == 2
    assert "127.0.0.1:1 cannot be reached" in done.stderr


@pytest.mark.parametrize("url", ["ftp://x", "https://", "x", "https://user@host"])
def test_an_address_that_is_none(run: Any, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("SHIMMY_REGISTRY_URL", url)
    done = run("pull", "llama3")
    assert done.exit_code == 1
    assert "SHIMMY_REGISTRY_URL" in done.stderr


def test_bars_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    with command._Display() as display:
        display.show(Progress(status="pulling manifest"))
        for completed in (0, 500, 1000):
            display.show(Progress(status="pulling abc", digest="sha256:abc", total=1000, completed=completed))
    shown = capsys.readouterr().err
    assert "pulling manifest" in shown
    assert "pulling abc" in shown
