"""The command line as a whole: help, options, exit codes."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from tiny_gguf import write_model
from typer.testing import Result

import shimmy

Run = Callable[..., Result]
COMMANDS = (
    "serve",
    "ps",
    "load",
    "unload",
    "list",
    "discover",
    "probe",
    "generate",
    "bench",
    "pull",
    "gpu-info",
    "init",
)
LOAD_NOTHING = ("ps", "load", "unload", "pull", "init")


def python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "NO_COLOR": "1", "HOME": str(cwd)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, cwd=cwd)


def test_help_names_every_command(run: Run) -> None:
    for result in (run("--help"), run("-h"), run()):
        assert result.exit_code == 0
        assert all(name in result.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_names_the_global_options(run: Run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert all(option in result.stdout for option in ("--model-dirs", "--log-level"))
    assert all((option in result.stdout) != (name in LOAD_NOTHING) for option in ("--gpu-backend", "--ctx", "--tune"))


@pytest.mark.parametrize("name", LOAD_NOTHING)
def test_a_command_that_loads_nothing_refuses_to_be_told_how(run: Run, name: str) -> None:
    own = {"init": ["-t", "docker", "-o", "out"], "ps": []}.get(name, ["some-model"])
    for arguments in ([name, *own, "--ctx", "8192"], ["--ctx", "8192", name, *own]):
        result = run(*arguments)
        assert result.exit_code == 1
        assert f"argument: ctx: shimmy {name} loads no model itself; give that to shimmy serve" in result.stderr
    assert "argument: cpu_moe, devices: shimmy" in run(name, *own, "--device", "A", "--cpu-moe").stderr
    assert "loads no model itself" not in run("--verbose", "--model-dirs", "a", name, *own).stderr


def test_help_works_with_broken_settings(run: Run, tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("nonsense = 1")
    assert run("serve", "--help").exit_code == 0
    result = run("list")
    assert result.exit_code == 1
    assert "unknown key 'nonsense'" in result.stderr


def test_version(run: Run) -> None:
    result = run("--version")
    assert result.exit_code == 0
    assert result.stdout.startswith("shimmy ")
    assert "(llama.cpp 0c1e570)" in result.stdout


@pytest.fixture
def no_extension(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package as it is where the native extension was not built."""
    for name in ("LLM", "build_info", "devices"):
        monkeypatch.delitem(vars(shimmy), name)
    for module in ("shimmy._core", "shimmy.llm"):
        monkeypatch.setitem(sys.modules, module, None)


@pytest.mark.usefixtures("no_extension")
def test_version_without_the_extension(run: Run) -> None:
    assert "native extension not built" in run("-V").stdout


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["lisst"], "Did you mean 'list'"),
        (["generate"], "Missing argument"),
        (["generate", "m"], "--prompt"),
        (["list", "--nonsense"], "--nonsense"),
        (["--nonsense"], "--nonsense"),
        (["--ctx", "many", "list"], "--ctx"),
        (["list", "--ctx", "3"], "ctx"),
        (["list", "--gpu-backend", "tpu"], "auto, cpu, cuda, vulkan, opencl, metal"),
        (["list", "--log-level", "loud"], "debug, info, warning, error"),
        (["serve", "--bind", "here"], "HOST:PORT"),
        (["serve", "--port", "8080"], "No such option: --port: use --bind HOST:PORT"),
        (["serve", "--host=0.0.0.0"], "No such option: --host: use --bind HOST:PORT"),
        (["serve", "--kv-cache-disk", "much"], "kv_cache_disk"),
        (["serve", "--keep-alive", "soon"], "keep_alive must be a number of seconds"),
        (["serve", "--memory-budget", "much"], "memory_budget: 'much' is no amount of memory"),
        (["serve", "--vram-budget", "8 apples"], "vram_budget: '8 apples' is no amount of memory"),
        (["serve", "--preload", "65"], "preload"),
        (["ps", "--url", "ftp://x"], "it must be like http://127.0.0.1:11435"),
        (["serve", "--model-path", "no.gguf"], "no.gguf does not exist"),
        (["generate", "nope", "--prompt", "x"], "available: shimmy-mini"),
        (["probe", "shimy-mini"], "Did you mean 'shimmy-mini'?"),
        (["bench", "nope"], "available: shimmy-mini"),
        (["generate", "shimmy-mini", "--prompt", "x", "--chat-template", "lama3"], "Did you mean llama3?"),
    ],
)
def test_wrong_use_exits_with_1(run: Run, arguments: list[str], words: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert words in result.stderr
    assert result.stdout == ""
    assert "Traceback" not in result.stderr


def test_global_options_before_and_after_the_command(run: Run, tmp_path: Path) -> None:
    write_model(tmp_path / "a" / "one.gguf")
    write_model(tmp_path / "b" / "two.gguf")
    assert run("--model-dirs", "a;b", "list", "--short").stdout == "one\ntwo\n"
    assert run("list", "--short", "--model-dirs", "a").stdout == "one\n"
    assert run("--model-dirs", "a", "list", "--short", "--model-dirs", "b").stdout == "two\n"


def test_python_m_shimmy(tmp_path: Path) -> None:
    result = python("-m", "shimmy", "list", "--short", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (0, "shimmy-mini\n")
    assert python("-m", "shimmy", "bogus", cwd=tmp_path).returncode == 1


def test_help_loads_nothing_heavy(tmp_path: Path) -> None:
    code = (
        "import sys, shimmy\nbefore = set(sys.modules)\nfrom shimmy.cli import main\nsys.argv = ['shimmy', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    print(*set(sys.modules) - before)"
    )
    modules = python("-c", code, cwd=tmp_path).stdout.split()
    assert "typer" in modules
    assert {"rich", "numpy", "fastapi", "uvicorn", "shimmy._core"}.isdisjoint(modules)


@pytest.mark.parametrize("arguments", [["gpu-info"], ["probe", "shimmy-mini"], ["generate", "shimmy-mini", "-p", "x"]])
@pytest.mark.usefixtures("no_extension")
def test_without_the_extension(run: Run, arguments: list[str]) -> None:
    result = run(*arguments)
    assert result.exit_code == 2
    assert "the native extension cannot be imported" in result.stderr
