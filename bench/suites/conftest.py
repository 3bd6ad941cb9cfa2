"""Micro-benchmarks of the native runtime: `pytest bench/suites`. No part of the tests, and they assert no speed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from shimmy import LLM, LoadSpec, _core, demo_model_path

MODELS = Path(__file__).resolve().parents[1] / "models"


@pytest.fixture(scope="session", params=["embedded", "0.6b-q4_k_m"])
def tokenizer(request: pytest.FixtureRequest) -> _core.Tokenizer:
    """Of the embedded model, and one of 151,936 tokens where bench/make_model.py has made its file."""
    path = demo_model_path() if request.param == "embedded" else MODELS / f"{request.param}.gguf"
    if not path.is_file():
        pytest.skip(f"{path.name} is not in bench/models")
    return _core.Tokenizer(_core.Model(path, _core.ModelParams(vocab_only=True)))


@pytest.fixture(scope="session")
def llm() -> Iterator[LLM]:
    """The embedded model: a token takes so little that the engine's own work shows. One thread, so no barriers."""
    with LLM(LoadSpec(name="bench", path=str(demo_model_path()), context={"n_ctx": 4096, "n_threads": 1})) as llm:
        yield llm
