"""KVCache: what is copied, moved and removed is what later tokens attend to."""

from __future__ import annotations

import numpy as np
import pytest
from arithmetic import CLOSE, N_SAME
from token_loop import GOLDEN, PROMPT, answer, batch_of, golden, open_context, prefill

from shimmy._core import DecodeStatus
from shimmy.errors import InvalidRequestError

TEXT = list(range(200, 240))


def test_an_empty_sequence_has_no_positions() -> None:
    cache = open_context(n_seq_max=2).kv_cache
    assert (cache.seq_pos_min(0), cache.seq_pos_max(1)) == (-1, -1)
    assert cache.seq_rm(0)
    cache.seq_cp(0, 1)
    cache.seq_add(0, 0, -1, 5)
    cache.seq_keep(1)
    assert cache.seq_pos_max(1) == -1


def test_clear_removes_all_sequences() -> None:
    context = open_context(n_seq_max=2)
    for seq_id in (0, 1):
        prefill(context, TEXT, 0, seq_id)
    context.kv_cache.clear()
    assert [context.kv_cache.seq_pos_max(i) for i in (0, 1)] == [-1, -1]
    assert golden(context) == GOLDEN


def test_seq_rm_takes_back_tokens() -> None:
    context = open_context()
    logits = prefill(context, TEXT[:10])
    prefill(context, TEXT[20:30], 10)
    assert context.kv_cache.seq_rm(0, 9)
    assert context.kv_cache.seq_pos_max(0) == 8
    np.testing.assert_allclose(prefill(context, [TEXT[9]], 9), logits, atol=CLOSE)


def test_seq_rm_ranges() -> None:
    context = open_context(n_seq_max=2)
    cache = context.kv_cache
    for seq_id in (0, 1):
        prefill(context, TEXT[:10], 0, seq_id)
    assert cache.seq_rm(0, 0, 4)
    assert (cache.seq_pos_min(0), cache.seq_pos_max(0)) == (4, 9)
    assert cache.seq_rm(0, 7, 7)
    assert cache.seq_rm(0, 8, 3)
    assert (cache.seq_pos_min(0), cache.seq_pos_max(0)) == (4, 9)
    assert cache.seq_rm(-1, 8, -1)
    assert (cache.seq_pos_max(0), cache.seq_pos_max(1)) == (7, 7)
    assert cache.seq_rm(-1)
    assert (cache.seq_pos_max(0), cache.seq_pos_max(1)) == (-1, -1)


@pytest.mark.parametrize("kv_unified", [True, False])
def test_forks_give_the_golden_text(kv_unified: bool) -> None:
    context = open_context(n_ctx=1024, n_seq_max=3, kv_unified=kv_unified)
    logits = prefill(context, PROMPT)
    for fork in (1, 2):
        context.kv_cache.seq_cp(0, fork)
        assert context.kv_cache.seq_pos_max(fork) == len(PROMPT) - 1
    prefill(context, TEXT, len(PROMPT))
    assert answer(context, logits, len(PROMPT), 1) == GOLDEN
    context.kv_cache.seq_rm(0)
    assert answer(context, logits, len(PROMPT), 2) == GOLDEN


def test_a_part_is_forked_and_costs_no_cells() -> None:
    context = open_context(n_ctx=256, n_seq_max=4, n_ubatch=N_SAME)
    cache = context.kv_cache
    expected = prefill(context, TEXT)
    for fork in (1, 2, 3):
        cache.seq_cp(0, fork, 0, 30)
        assert cache.seq_pos_max(fork) == 29
        np.testing.assert_allclose(prefill(context, TEXT[30:], 30, fork), expected, atol=CLOSE)
    left = 256 - 40 - 3 * 10
    assert context.decode(batch_of([1] * (left + 1), 40)) == DecodeStatus.NO_KV_SLOT
    assert context.decode(batch_of([1] * left, 40)) == DecodeStatus.OK


def test_a_copy_between_streams_overwrites_and_is_whole() -> None:
    context = open_context(n_seq_max=2, kv_unified=False)
    expected = prefill(context, TEXT[:10])
    prefill(context, TEXT, 0, 1)
    context.kv_cache.seq_cp(0, 1)
    assert context.kv_cache.seq_pos_max(1) == 9
    assert context.kv_cache.seq_rm(1, 9)
    np.testing.assert_allclose(prefill(context, [TEXT[9]], 9, 1), expected, atol=CLOSE)
    for p0, p1 in ((0, 5), (1, -1)):
        with pytest.raises(InvalidRequestError, match="only a whole sequence can be copied"):
            context.kv_cache.seq_cp(0, 1, p0, p1)
    context.kv_cache.seq_cp(0, 1, 0, 10)


def test_a_sequence_copied_onto_itself_stays() -> None:
    for kv_unified in (True, False):
        context = open_context(n_seq_max=2, kv_unified=kv_unified)
        prefill(context, TEXT)
        context.kv_cache.seq_cp(0, 0)
        assert context.kv_cache.seq_pos_max(0) == len(TEXT) - 1


def test_seq_keep_removes_the_others() -> None:
    context = open_context(n_seq_max=3)
    for seq_id in range(3):
        prefill(context, TEXT[:5], 0, seq_id)
    context.kv_cache.seq_keep(1)
    assert [context.kv_cache.seq_pos_max(i) for i in range(3)] == [-1, 4, -1]


@pytest.mark.parametrize("types", ["f16", "q8_0"])
def test_seq_add_moves_what_was_computed_elsewhere(types: str) -> None:
    params = {"type_k": types, "type_v": types, "flash_attn": "on"}
    context = open_context(**params)
    cache = context.kv_cache
    assert cache.can_shift
    prefill(context, PROMPT, 20)
    cache.seq_rm(0, 20 + len(PROMPT) - 1)
    cache.seq_add(0, 0, -1, -20)
    assert (cache.seq_pos_min(0), cache.seq_pos_max(0)) == (0, len(PROMPT) - 2)
    logits = prefill(context, PROMPT[-1:], len(PROMPT) - 1)
    np.testing.assert_allclose(logits, prefill(open_context(**params), PROMPT), atol=0.5)
    assert answer(context, logits, len(PROMPT)) == GOLDEN


def test_seq_add_of_a_part_closes_a_gap() -> None:
    context = open_context()
    cache = context.kv_cache
    prefill(context, TEXT[:10])
    cache.seq_rm(0, 2, 5)
    cache.seq_add(0, 5, -1, -3)
    assert (cache.seq_pos_min(0), cache.seq_pos_max(0)) == (0, 6)
    assert context.decode(batch_of([1], 7)) == DecodeStatus.OK


@pytest.mark.parametrize(
    ("p0", "p1", "delta", "says"),
    [(0, -1, -6, "negative"), (7, -1, -8, "negative"), (0, -1, 2**31 - 1, "overflow"), (0, -1, -(2**31), "negative")],
)
def test_seq_add_keeps_positions_in_range(p0: int, p1: int, delta: int, says: str) -> None:
    context = open_context()
    prefill(context, TEXT[:5], 5)
    with pytest.raises(InvalidRequestError, match=says) as caught:
        context.kv_cache.seq_add(0, p0, p1, delta)
    assert caught.value.param == "delta"
    assert (context.kv_cache.seq_pos_min(0), context.kv_cache.seq_pos_max(0)) == (5, 9)


def test_shared_cells_move_for_all_their_sequences() -> None:
    context = open_context(n_seq_max=2)
    prefill(context, TEXT[:5])
    context.kv_cache.seq_cp(0, 1)
    context.kv_cache.seq_add(0, 0, -1, 3)
    assert [context.kv_cache.seq_pos_max(i) for i in (0, 1)] == [7, 7]


def test_seq_div_divides_positions() -> None:
    context = open_context()
    cache = context.kv_cache
    prefill(context, TEXT[:10], 10)
    cache.seq_div(0, 0, -1, 1)
    assert cache.seq_pos_max(0) == 19
    cache.seq_div(0, 0, -1, 4)
    assert (cache.seq_pos_min(0), cache.seq_pos_max(0)) == (2, 4)
    assert context.decode(batch_of([1], 5)) == DecodeStatus.OK
    for d in (0, -2):
        with pytest.raises(InvalidRequestError, match="at least 1"):
            cache.seq_div(0, 0, -1, d)


def test_views_are_of_one_cache() -> None:
    context = open_context()
    view = context.kv_cache
    prefill(context, TEXT[:5])
    assert view.seq_pos_max(0) == context.kv_cache.seq_pos_max(0) == 4
