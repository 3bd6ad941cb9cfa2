"""list, discover and gpu-info."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ollama_files import add_model
from tiny_gguf import write_adapter, write_model
from typer.testing import Result

Run = Callable[..., Result]


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_model(folder / "tiny.gguf", {"general.file_type": 15})
    write_adapter(folder / "tiny-lora.gguf")
    write_model(folder / "embed.gguf", {"general.architecture": "bert"})
    (folder / "bad.gguf").write_bytes(b"bad")
    return folder


class TestList:
    def test_nothing_found(self, run: Run) -> None:
        assert run("list", "--short").stdout == "shimmy-mini\n"

    def test_table(self, run: Run, models: Path) -> None:
        result = run("list")
        assert result.exit_code == 0
        header, row = result.stdout.splitlines()
        assert header.split() == ["NAME", "SIZE", "PARAMS", "QUANT", "CONTEXT", "KIND", "ADAPTERS", "SOURCE"]
        assert row.split() == [
            "tiny",
            str((models / "tiny.gguf").stat().st_size),
            "B",
            "64",
            "Q4_K_M",
            "2048",
            "chat",
            "tiny-lora",
            "discovered",
        ]
        assert "1 files or folders were skipped" in result.stderr

    def test_model_path_from_the_environment(
        self, run: Run, models: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        monkeypatch.setenv("SHIMMY_BASE_GGUF", str(write_model(tmp_path / "z" / "Zed.gguf")))
        assert run("list", "--short").stdout == "zed\ntiny\n"


class TestDiscover:
    @pytest.mark.usefixtures("models")
    def test_everything_or_language_models(self, run: Run) -> None:
        names = [line.split()[0] for line in run("discover").stdout.splitlines()[1:]]
        assert names == ["embed", "tiny-lora", "tiny"]
        names = [line.split()[0] for line in run("discover", "--llm-only").stdout.splitlines()[1:]]
        assert names == ["tiny"]

    @pytest.mark.usefixtures("models")
    def test_problems(self, run: Run) -> None:
        assert run("discover").stderr == "1 skipped; -v says why\n"
        for arguments in (("discover", "-v"), ("--verbose", "discover")):
            assert "bad.gguf: not a GGUF file" in run(*arguments).stderr

    def test_models_of_ollama_and_what_was_searched(self, run: Run, tmp_path: Path) -> None:
        add_model(tmp_path / "home" / ".ollama" / "models", "llama3:8b", template=b"{{ .Prompt }}")
        write_model(tmp_path / "home" / ".cache/huggingface/hub/models--a--b/snapshots/0f/q4/M.gguf")
        result = run("discover", "-v")
        names = [model["name"] for model in json.loads(run("discover", "--json").stdout)["models"]]
        assert names == ["m", "llama3:8b"]
        assert f"searched {tmp_path}/home/.ollama/models" in result.stderr
        assert "llama3:8b: Ollama's template is in Go's language, not Jinja; the file's own is used" in result.stderr
        assert run("list", "--short").stdout == "llama3:8b\nm\n"

    def test_the_settings_file_beside_the_config_file(self, run: Run, models: Path, tmp_path: Path) -> None:
        (tmp_path / "models.toml").write_text("[models.tiny]\nctx = 5\n")
        result = run("list")
        assert result.exit_code == 1
        assert "models.toml:2: unknown key 'ctx' in models.tiny" in result.stderr

    def test_json(self, run: Run, models: Path) -> None:
        listing = json.loads(run("discover", "--json").stdout)
        assert [model["name"] for model in listing["models"]] == ["embed", "tiny-lora", "tiny"]
        assert listing["models"][2]["files"] == [str(models / "tiny.gguf")]
        assert listing["models"][2]["adapters"] == {"tiny-lora": str(models / "tiny-lora.gguf")}
        assert listing["problems"][0]["path"] == str(models / "bad.gguf")

    def test_nothing(self, run: Run) -> None:
        result = run("discover")
        assert (result.exit_code, result.stdout) == (0, "")
        assert "--model-dirs" in result.stderr

    def test_where_nothing_was_found(self, run: Run, tmp_path: Path) -> None:
        (tmp_path / "models").mkdir()
        lines = run("discover", "-v").stderr.splitlines()
        assert f"searched {tmp_path}/models" in lines
        assert f"no folder at {tmp_path}/home/models" in lines
        assert len(lines) == len(set(lines))

    def test_a_folder_that_does_not_exist(self, run: Run) -> None:
        assert "cannot search it: No such file" in run("discover", "-v", "--model-dirs", "nowhere").stderr


class TestGpuInfo:
    def test_table(self, run: Run) -> None:
        result = run("gpu-info")
        assert result.exit_code == 0
        assert "backends: CPU" in result.stdout
        assert "A fine CPU" in result.stdout
        assert "2.0 GiB" in result.stdout
        assert "cpu_features: AVX2, FMA" in run("gpu-info", "-v").stdout

    def test_json(self, run: Run) -> None:
        found = json.loads(run("gpu-info", "--json").stdout)
        assert found["backends"] == ["CPU"]
        assert found["devices"][0]["memory_total"] == 1 << 31
        assert found["build"]["llama_cpp_commit"] == "0c1e570"
