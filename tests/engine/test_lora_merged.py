"""An adapter computes what weights merged with it compute, and leaves nothing behind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from lora_files import weight_changes, write_float_copy
from token_loop import PROMPT, Logits, open_context, prefill

from shimmy import demo_adapter_paths, demo_model_path
from shimmy._core import Context, LoraAdapter, Model

PIRATE, TERSE = demo_adapter_paths()["pirate"], demo_adapter_paths()["terse"]
# Weights and KV cache are 32-bit floats, so only the order of additions differs; logits reach about 20.
TOLERANCE = 0.02
FLOATS = {"type_k": "f32", "type_v": "f32", "flash_attn": "off"}


@pytest.fixture(scope="module")
def float_model(tmp_path_factory: pytest.TempPathFactory) -> Model:
    path = tmp_path_factory.mktemp("floats") / "base.gguf"
    return Model(write_float_copy(demo_model_path(), path, lambda _, weights: weights))


def all_logits(context: Context, adapters: list[tuple[LoraAdapter, float]]) -> Logits:
    """After each of the last 8 tokens of the prompt."""
    context.kv_cache.clear()
    context.set_adapters(adapters)
    prefill(context, PROMPT[:-8])
    return np.stack([prefill(context, [token], len(PROMPT) - 8 + i) for i, token in enumerate(PROMPT[-8:])])


@pytest.mark.parametrize(
    "scales",
    [{PIRATE: 1.0}, {PIRATE: 0.37}, {TERSE: -0.5}, {PIRATE: 0.7, TERSE: 0.6}],
    ids=["1", "0.37", "-0.5", "two"],
)
def test_logits_are_those_of_merged_weights(float_model: Model, scales: dict[Path, float], tmp_path: Path) -> None:
    changes = weight_changes(list(scales.items()))
    names: set[str] = set()

    def merged(name: str, weights: Logits) -> Logits:
        names.add(name)
        return weights + changes.get(name, np.float32(0))

    merged_model = Model(write_float_copy(demo_model_path(), tmp_path / "merged.gguf", merged))
    assert changes.keys() <= names
    context = open_context(float_model, **FLOATS)
    off = all_logits(context, [])
    on = all_logits(context, [(LoraAdapter(float_model, path), scale) for path, scale in scales.items()])
    expected = all_logits(open_context(merged_model, **FLOATS), [])
    assert np.abs(expected - off).max() > 50 * TOLERANCE
    np.testing.assert_allclose(on, expected, atol=TOLERANCE)


def test_off_after_on_is_bit_exact(float_model: Model) -> None:
    context = open_context(float_model, **FLOATS)
    pirate, terse = LoraAdapter(float_model, PIRATE), LoraAdapter(float_model, TERSE)
    sets = [[], [(pirate, 1.0)], [(terse, 0.5)], [(pirate, 0.5), (terse, 0.5)]]
    first = [all_logits(context, adapters) for adapters in sets]
    for i in (2, 0, 1, 3, 0, 2, 1, 3):
        assert (all_logits(context, sets[i]) == first[i]).all()
