"""What tests of the native runtime share: the demo model, its tokenizer and its adapters, loaded once."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
sys.path[:0] = [str(TESTS), str(TESTS.parent / "bench")]

from engine_fixtures import demo_model, tokenizer  # noqa: E402

from shimmy import _core, demo_adapter_paths  # noqa: E402


@pytest.fixture(scope="session")
def model() -> _core.Model:
    return demo_model()


@pytest.fixture(scope="session")
def tok() -> _core.Tokenizer:
    """The demo model's tokenizer."""
    return tokenizer()


@pytest.fixture(scope="session")
def pirate(model: _core.Model) -> _core.LoraAdapter:
    return _core.LoraAdapter(model, demo_adapter_paths()["pirate"])


@pytest.fixture(scope="session")
def terse(model: _core.Model) -> _core.LoraAdapter:
    return _core.LoraAdapter(model, demo_adapter_paths()["terse"])


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Random-weight models of four layers: the file for a type of bench/make_model.py and a seed, written once."""
    from make_model import write_model

    folder = tmp_path_factory.mktemp("models")

    def path_of(type_name: str, seed: int) -> Path:
        path = folder / f"{type_name}-{seed}.gguf"
        if not path.exists():
            write_model(path, "tiny", type_name, seed)
        return path

    return path_of
