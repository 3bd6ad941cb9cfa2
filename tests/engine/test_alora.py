"""Activated LoRA: the tokens that switch an adapter on are read from its file."""

from __future__ import annotations

from pathlib import Path

import pytest
from lora_files import write_adapter_copy

from shimmy import demo_adapter_paths
from shimmy._core import LoraAdapter, Model
from shimmy.errors import ModelLoadError

PIRATE = demo_adapter_paths()["pirate"]


def load(model: Model, folder: Path, tokens: list[int]) -> LoraAdapter:
    path = write_adapter_copy(PIRATE, folder / "alora.gguf", adapter__alora__invocation_tokens=tokens)
    return LoraAdapter(model, path)


@pytest.mark.parametrize("tokens", [[7], [5, 4, 4095, 0]])
def test_invocation_tokens_are_those_of_the_file(model: Model, tmp_path: Path, tokens: list[int]) -> None:
    assert load(model, tmp_path, tokens).invocation_tokens == tokens


def test_an_ordinary_adapter_has_none(pirate: LoraAdapter) -> None:
    assert pirate.invocation_tokens == []


@pytest.mark.parametrize("token", [4096, 2**31, 2**32 - 1])
def test_tokens_outside_of_the_vocabulary_are_refused(model: Model, tmp_path: Path, token: int) -> None:
    with pytest.raises(ModelLoadError, match=f"invocation_tokens holds token {token} and .* ids 0 to 4095"):
        load(model, tmp_path, [1, token])
