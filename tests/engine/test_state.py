"""Saved states: what was saved goes on as if nothing had happened, and anything else is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arithmetic import CLOSE, N_SAME
from token_loop import GOLDEN, PROMPT, answer, batch_of, open_context, prefill

from shimmy import demo_draft_path
from shimmy._core import Context, DecodeStatus, Model
from shimmy.errors import InvalidRequestError

TEXT = list(range(300, 330))
HEAD = 40
"""Bytes of the frame before what it protects."""


@pytest.mark.parametrize("kv_unified", [True, False])
def test_a_restored_sequence_gives_the_golden_text(kv_unified: bool) -> None:
    context = open_context(n_seq_max=2, kv_unified=kv_unified)
    logits = prefill(context, PROMPT)
    state = context.kv_cache.seq_save(0, PROMPT)
    context.kv_cache.clear()
    prefill(context, TEXT, 0, 1)
    assert context.kv_cache.seq_restore(1, state) == PROMPT
    assert context.kv_cache.seq_pos_max(1) == len(PROMPT) - 1
    assert answer(context, logits, len(PROMPT), 1) == GOLDEN

    other = open_context(n_seq_max=2, kv_unified=kv_unified, n_ctx=1024)
    assert other.kv_cache.seq_restore(0, bytearray(state)) == PROMPT
    assert answer(other, logits, len(PROMPT)) == GOLDEN


def test_a_sequence_goes_through_a_file(tmp_path: Path) -> None:
    context = open_context()
    logits = prefill(context, PROMPT)
    path = tmp_path / "🦊.state"
    path.write_bytes(b"older")
    context.kv_cache.seq_save_file(path, 0, PROMPT)
    assert path.read_bytes() == context.kv_cache.seq_save(0, PROMPT)
    assert list(tmp_path.iterdir()) == [path]
    other = open_context()
    assert other.kv_cache.seq_restore_file(str(path), 0) == PROMPT
    assert answer(other, logits, len(PROMPT)) == GOLDEN


@pytest.mark.parametrize("name", ["missing/file", "folder", "pipe", "a\0b"])
def test_files_that_cannot_be_used_are_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    os.mkfifo(tmp_path / "pipe")
    before = sorted(tmp_path.iterdir())
    path = f"{tmp_path}/{name}"
    cache = open_context().kv_cache
    for call in (lambda: cache.seq_save_file(path, 0), lambda: cache.seq_restore_file(path, 0)):
        with pytest.raises(InvalidRequestError) as caught:
            call()
        assert caught.value.param == "path"
    assert sorted(tmp_path.iterdir()) == before
    assert (tmp_path / "pipe").is_fifo()


def test_a_restored_context_gives_the_golden_text() -> None:
    context = open_context(n_seq_max=2, n_ubatch=N_SAME)
    logits = prefill(context, PROMPT)
    aside = prefill(context, TEXT, 0, 1)
    state = context.save_state()
    assert answer(context, logits, len(PROMPT)) == GOLDEN
    for target in (context, open_context(n_seq_max=2, n_ubatch=N_SAME)):
        target.load_state(state)
        assert [target.kv_cache.seq_pos_max(i) for i in (0, 1)] == [len(PROMPT) - 1, len(TEXT) - 1]
        assert answer(target, logits, len(PROMPT)) == GOLDEN
        target.kv_cache.seq_rm(1, len(TEXT) - 1)
        np.testing.assert_allclose(prefill(target, TEXT[-1:], len(TEXT) - 1, 1), aside, atol=CLOSE)


def test_an_empty_sequence_is_a_state() -> None:
    context = open_context(n_seq_max=2)
    state = context.kv_cache.seq_save(1)
    prefill(context, TEXT)
    assert context.kv_cache.seq_restore(0, state) == []
    assert context.kv_cache.seq_pos_max(0) == -1


def loaders(context: Context) -> list[tuple[bytes, Callable[[bytes], Any]]]:
    cache = context.kv_cache
    return [
        (cache.seq_save(0, TEXT), lambda state: cache.seq_restore(0, state)),
        (context.save_state(), context.load_state),
    ]


def test_every_flipped_byte_is_refused_and_changes_nothing() -> None:
    context = open_context(n_ubatch=N_SAME)
    expected = prefill(context, TEXT)
    for state, load in loaders(context):
        offsets = {
            *range(HEAD + 4 * len(TEXT) + 64),
            *range(HEAD, len(state), 997),
            *range(len(state) - 64, len(state)),
        }
        for offset in offsets:
            damaged = bytearray(state)
            damaged[offset] ^= 1 << offset % 8
            with pytest.raises(InvalidRequestError, match="no usable state"):
                load(damaged)
    context.kv_cache.seq_rm(0, len(TEXT) - 1)
    np.testing.assert_allclose(prefill(context, TEXT[-1:], len(TEXT) - 1), expected, atol=CLOSE)


def test_truncated_extended_and_swapped_states_are_refused() -> None:
    context = open_context()
    prefill(context, TEXT)
    (sequence, restore), (whole, load) = loaders(context)
    for state, use in ((sequence, restore), (whole, load)):
        for n in (0, 1, HEAD - 1, HEAD, HEAD + 1, len(state) // 2, len(state) - 1):
            with pytest.raises(InvalidRequestError, match="no usable state"):
                use(state[:n])
        with pytest.raises(InvalidRequestError, match="no usable state"):
            use(state + b"\0")
    with pytest.raises(InvalidRequestError, match="state of a sequence, not of a context"):
        load(sequence)
    with pytest.raises(InvalidRequestError, match="state of a context, not of a sequence"):
        restore(whole)


def test_a_state_is_of_one_model(tiny_models: Callable[..., Path]) -> None:
    """Also of models that differ in nothing but their weights, as fine-tunes of one base model do."""
    pairs = [(open_context(), open_context(Model(demo_draft_path())))]
    one, same, other = (open_context(Model(tiny_models("q4_0", seed))) for seed in (1, 1, 2))
    pairs.append((one, other))
    for mine, foreign in pairs:
        mine.decode(batch_of(TEXT))
        for state, _ in loaders(mine):
            with pytest.raises(InvalidRequestError, match="belongs to another model"):
                if state[8] == 1:
                    foreign.load_state(state)
                else:
                    foreign.kv_cache.seq_restore(0, state)
    same.load_state(one.save_state())


@pytest.mark.parametrize("params", [{"type_k": "q8_0", "type_v": "q8_0"}, {"n_seq_max": 2, "kv_unified": False}])
def test_a_state_of_other_settings_is_refused_and_leaves_nothing(params: dict[str, Any]) -> None:
    context = open_context()
    prefill(context, TEXT)
    for state, _ in loaders(context):
        other = open_context(**params)
        prefill(other, TEXT[:5])
        with pytest.raises(InvalidRequestError, match="does not fit"):
            (other.load_state if state[8] == 1 else lambda s, o=other: o.kv_cache.seq_restore(0, s))(state)
        assert other.kv_cache.seq_pos_max(0) == -1
        assert other.decode(batch_of(TEXT)) == DecodeStatus.OK


def test_a_state_without_room_is_refused_and_leaves_the_others() -> None:
    context = open_context()
    prefill(context, [5] * 200)
    state = context.kv_cache.seq_save(0)
    small = open_context(n_ctx=256, n_seq_max=2)
    prefill(small, TEXT * 3, 0, 1)
    with pytest.raises(InvalidRequestError, match="not enough free cells"):
        small.kv_cache.seq_restore(0, state)
    assert [small.kv_cache.seq_pos_max(i) for i in (0, 1)] == [-1, 89]


@pytest.mark.parametrize("how", ["seq_add", "seq_div", "seq_cp"])
def test_no_state_while_cells_wait_to_be_moved(how: str) -> None:
    context = open_context(n_seq_max=2, kv_unified=how != "seq_cp")
    cache = context.kv_cache
    prefill(context, TEXT, 10)
    states = loaders(context)
    moves = {
        "seq_add": lambda: cache.seq_add(0, 0, -1, -5),
        "seq_div": lambda: cache.seq_div(0, 0, -1, 2),
        "seq_cp": lambda: cache.seq_cp(0, 1),
    }
    moves[how]()
    for call in (lambda: cache.seq_save(0), context.save_state, *(lambda s=s, f=f: f(s) for s, f in states)):
        with pytest.raises(InvalidRequestError, match="decode before saving or restoring"):
            call()
    assert context.decode(batch_of([7], cache.seq_pos_max(0) + 1)) == DecodeStatus.OK
    assert len(cache.seq_save(0)) > HEAD
    states[1][1](states[1][0])


def test_a_state_after_a_shift_holds_the_shift() -> None:
    context, other = open_context(), open_context()
    prefill(context, TEXT)
    context.kv_cache.seq_rm(0, 0, 5)
    context.kv_cache.seq_add(0, 5, -1, -5)
    prefill(context, [9], 25)
    other.kv_cache.seq_restore(0, context.kv_cache.seq_save(0))
    np.testing.assert_allclose(prefill(context, [10], 26), prefill(other, [10], 26), atol=0.5)


@pytest.mark.parametrize("state", [None, "text", 5, memoryview(b"abcdef")[::2], np.zeros(4, np.int32)])
def test_what_is_no_bytes_is_a_type_error(state: object) -> None:
    context = open_context()
    for call in (context.load_state, lambda s: context.kv_cache.seq_restore(0, s)):
        with pytest.raises(TypeError):
            call(state)  # type: ignore[arg-type]
