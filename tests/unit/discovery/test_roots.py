"""Where other programs keep models, told from an environment and a home."""

from __future__ import annotations

import json
from pathlib import Path

from shimmy.discovery.roots import known_roots
from shimmy.discovery.walk import Root

HOME = Path("/h")
DATA = Path("/data/shimmy")


def folders(environ: dict[str, str], home: Path | None = HOME) -> list[str]:
    return [root.path.as_posix() for root in known_roots(environ, home, DATA)]


def test_the_order_without_any_variable() -> None:
    assert [folder for folder in folders({}) if not folder.startswith(("/usr", "/var"))] == [
        "/h/.cache/huggingface/hub",
        "/h/.ollama/models",
        "/h/.lmstudio/models",
        "/h/.cache/lm-studio/models",
        "/h/.cache/llama.cpp",
        "/h/Library/Caches/llama.cpp",
        "/h/models",
        "/data/shimmy/models",
    ]
    assert folders({}).index("/usr/share/ollama/.ollama/models") == folders({}).index("/h/.ollama/models") + 1


def test_variables_that_name_folders() -> None:
    assert folders({"OLLAMA_MODELS": "~/ollama"})[0] == "/h/ollama"
    assert known_roots({"OLLAMA_MODELS": "/o"}, HOME, DATA)[0] == Root(Path("/o"))
    assert "/x/huggingface/hub" in folders({"XDG_CACHE_HOME": "/x"})
    assert "/hf/hub" in folders({"HF_HOME": "/hf", "XDG_CACHE_HOME": "/x"})
    found = folders({"HF_HUB_CACHE": "/cache", "HF_HOME": "/hf"})
    assert "/cache" in found
    assert "/hf/hub" not in found
    assert "/llama" in folders({"LLAMA_CACHE": "/llama"})
    assert "/h/.cache/llama.cpp" not in folders({"LLAMA_CACHE": "/llama"})


def test_empty_variables_say_nothing() -> None:
    assert folders({"OLLAMA_MODELS": " ", "HF_HOME": ""}) == folders({})


def test_only_what_a_variable_names_outright_is_required() -> None:
    required = [
        root.path for root in known_roots({"OLLAMA_MODELS": "/o", "HF_HOME": "/hf"}, HOME, DATA) if root.required
    ]
    assert required == [Path("/o")]


def test_windows() -> None:
    environ = {"USERPROFILE": "/u", "LOCALAPPDATA": "/u/local", "APPDATA": "/u/roaming"}
    assert folders(environ, Path("/u")) == [
        "/u/.cache/huggingface/hub",
        "/u/.ollama/models",
        "/u/local/Ollama/models",
        "/u/.lmstudio/models",
        "/u/.cache/lm-studio/models",
        "/u/local/LM Studio/models",
        "/u/roaming/LM Studio/models",
        "/u/.cache/llama.cpp",
        "/u/local/llama.cpp",
        "/u/Library/Caches/llama.cpp",
        "/u/models",
        "/data/shimmy/models",
    ]
    assert "/u/.ollama/models" in folders(environ, Path("/other"))


def test_without_a_home() -> None:
    assert [folder for folder in folders({}, None) if not folder.startswith(("/usr", "/var"))] == [
        "/data/shimmy/models"
    ]


def test_lm_studio_moved(tmp_path: Path) -> None:
    (tmp_path / ".lmstudio-home-pointer").write_text(str(tmp_path / "elsewhere"))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "settings.json").write_text(json.dumps({"downloadsFolder": "~/big", "other": 1}))
    found = folders({}, tmp_path)
    assert found.index(f"{tmp_path}/elsewhere/models") < found.index(f"{tmp_path}/big")


def test_settings_of_lm_studio_that_are_broken_are_ignored(tmp_path: Path) -> None:
    (tmp_path / ".lmstudio").mkdir()
    for text in (b"{", b"[]", b'{"downloadsFolder": 3}', b"\xff"):
        (tmp_path / ".lmstudio" / "settings.json").write_bytes(text)
        assert f"{tmp_path}/.lmstudio/models" in folders({}, tmp_path)
