from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

sys.path.insert(0, str(Path(__file__).parents[1]))

Run = Callable[..., Result]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Run]:
    """Runs a command line in an empty folder, with a fake native runtime and no settings from this machine."""
    import fake_llm

    import shimmy
    from shimmy.cli.app import app

    for variable in [name for name in os.environ if name.startswith("SHIMMY_")]:
        monkeypatch.delenv(variable)
    for variable in [name for name in os.environ if name.startswith(("HF_", "XDG_", "OLLAMA_", "LLAMA_"))]:
        monkeypatch.delenv(variable)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr("shimmy.settings.config_path", lambda: tmp_path / "config.toml")
    monkeypatch.setenv("SHIMMY_LIBRARY", str(tmp_path / "library"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(fake_llm.FakeLLM, "loaded", [], raising=False)
    monkeypatch.setattr(fake_llm.FakeLLM, "calls", [], raising=False)
    # Into the module's dict: setattr would look the names up first, and load the native extension.
    monkeypatch.setitem(vars(shimmy), "LLM", fake_llm.FakeLLM)
    monkeypatch.setitem(vars(shimmy), "build_info", lambda: fake_llm.BUILD)
    monkeypatch.setitem(vars(shimmy), "devices", lambda rpc_servers=(): [fake_llm.DEVICE])
    loggers = [logging.getLogger(name) for name in ("root", "uvicorn", "shimmy.llama")]
    levels = [logger.level for logger in loggers]
    handlers = list(loggers[0].handlers)
    yield lambda *arguments, **options: CliRunner().invoke(app, [str(item) for item in arguments], **options)
    loggers[0].handlers[:] = handlers
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
