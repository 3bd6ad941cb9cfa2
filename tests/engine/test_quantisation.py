"""The kernels of each kind of weights: they load, and compute finite values, the same in every shape of batch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from token_loop import batch_of, open_context, prefill

from shimmy._core import Model, ModelParams

TOKENS = [3 * n % 4096 for n in range(100, 164)]
DESCRIPTIONS = {"q2_k": "Q2_K", "q4_0": "Q4_0", "q4_k": "Q4_K", "q6_k": "Q6_K", "q8_0": "Q8_0", "bf16": "BF16"}


@pytest.mark.parametrize("kind", DESCRIPTIONS)
@pytest.mark.parametrize("use_extra_bufts", [True, False], ids=["repacked", "plain"])
def test_weights_of_every_kind(kind: str, use_extra_bufts: bool, tiny_models: Callable[..., Path]) -> None:
    model = Model(tiny_models(kind, 1), ModelParams(use_extra_bufts=use_extra_bufts))
    assert DESCRIPTIONS[kind] in model.description
    whole, single = open_context(model), open_context(model)
    whole.decode(batch_of(TOKENS, outputs="all"))
    rows = np.stack([whole.logits(i) for i in range(len(TOKENS))])
    assert np.isfinite(rows).all()
    assert rows.std(axis=1).min() > 0.01
    for pos, token in enumerate(TOKENS[:16]):
        row = prefill(single, [token], pos)
        assert np.corrcoef(row, rows[pos])[0, 1] > 0.99


def test_repacking_changes_no_more_than_rounding(tiny_models: Callable[..., Path]) -> None:
    for kind in DESCRIPTIONS:
        rows = [
            prefill(open_context(Model(tiny_models(kind, 1), ModelParams(use_extra_bufts=extra))), TOKENS)
            for extra in (True, False)
        ]
        assert np.corrcoef(*rows)[0, 1] > 0.99, kind
