"""Batch: what is added is what is there; what a context refuses is refused there (see test_context.py)."""

from __future__ import annotations

import pytest
from token_loop import batch_of, open_context

from shimmy._core import Batch
from shimmy.errors import InvalidRequestError


def test_add_returns_indices_and_counts_outputs() -> None:
    batch = Batch()
    assert len(batch) == 0
    assert batch.n_outputs == 0
    assert batch.add(7, 3) == 0
    assert batch.add(8, 4, [1, 2], True) == 1
    assert batch.add(token=9, pos=5, seq_ids=(0,), output=True) == 2
    assert len(batch) == 3
    assert batch.n_outputs == 2
    assert batch.tokens == [7, 8, 9]
    assert batch.positions == [3, 4, 5]


def test_clear_empties_it_for_reuse() -> None:
    batch = batch_of([1, 2, 3], outputs="all")
    batch.clear()
    assert (len(batch), batch.n_outputs, batch.tokens, batch.positions) == (0, 0, [], [])
    assert batch.add(4, 0, [0], True) == 0
    context = open_context()
    context.decode(batch)
    assert context.kv_cache.seq_pos_max(0) == 0


def test_a_token_needs_a_sequence() -> None:
    batch = Batch()
    with pytest.raises(InvalidRequestError, match="at least one sequence id") as caught:
        batch.add(1, 0, [])
    assert caught.value.param == "seq_ids"
    assert len(batch) == 0


@pytest.mark.parametrize("token", [2**31, -(2**31) - 1, "1", 1.5, None])
def test_what_is_no_token_id_is_a_type_error(token: object) -> None:
    with pytest.raises(TypeError):
        Batch().add(token, 0)  # type: ignore[arg-type]


def test_lists_are_copies() -> None:
    batch = batch_of([1, 2])
    batch.tokens.append(3)
    batch.positions.append(3)
    assert batch.tokens == [1, 2]
    assert batch.positions == [0, 1]


def test_a_batch_is_used_again_unchanged() -> None:
    batch = batch_of([5, 6, 7])
    first, second = open_context(), open_context()
    first.decode(batch)
    second.decode(batch)
    assert (first.logits() == second.logits()).all()
    assert batch.tokens == [5, 6, 7]
