"""abort(): stops a decode of another thread at once, keeps finished micro-batches, and leaves the context usable."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from token_loop import GOLDEN, PROMPT, batch_of, golden, open_context, prefill

from shimmy._core import Batch, Context, DecodeStatus
from shimmy.errors import InvalidRequestError

N_UBATCH = 16
TOKENS = [5 * token % 4000 for token in range(2000)]


def open_long() -> Context:
    return open_context(n_ctx=2048, n_batch=2048, n_ubatch=N_UBATCH)


def abort_after(context: Context, seconds: float, batch: Batch) -> DecodeStatus:
    """Decode `batch` on another thread and abort it from this one."""
    statuses: list[DecodeStatus] = []
    started = threading.Event()

    def decode() -> None:
        started.set()
        statuses.append(context.decode(batch))

    thread = threading.Thread(target=decode)
    thread.start()
    started.wait()
    time.sleep(seconds)
    context.abort()
    thread.join()
    return statuses[0]


def aborted_midway() -> tuple[Context, int]:
    """A context whose decode was stopped between its first and its last micro-batch, and the tokens it kept."""
    seconds = 0.1
    for _ in range(20):
        context = open_long()
        status = abort_after(context, seconds, batch_of(TOKENS))
        kept = context.kv_cache.seq_pos_max(0) + 1
        if status == DecodeStatus.ABORTED and 0 < kept < len(TOKENS):
            return context, kept
        seconds = seconds / 2 if status == DecodeStatus.OK else seconds * 1.5
    raise AssertionError("no decode could be stopped midway")


def test_a_running_decode_stops_and_keeps_its_finished_micro_batches() -> None:
    context, kept = aborted_midway()
    assert kept % N_UBATCH == 0
    for call in (context.logits, lambda: context.logits(0)):
        with pytest.raises(InvalidRequestError, match="no successful decode"):
            call()
    end = min(kept + 100, len(TOKENS))
    resumed = prefill(context, TOKENS[kept:end], kept, chunk=2048)
    whole = prefill(open_long(), TOKENS[:end], chunk=2048)
    np.testing.assert_allclose(resumed, whole, atol=0.02)


def test_the_context_works_afterwards() -> None:
    context, _ = aborted_midway()
    context.kv_cache.clear()
    assert golden(context) == GOLDEN


def test_without_a_running_call_the_next_one_is_stopped_and_only_that() -> None:
    context = open_context()
    prefill(context, PROMPT)
    context.abort()
    context.abort()
    assert context.decode(batch_of([1, 2, 3], len(PROMPT))) == DecodeStatus.ABORTED
    assert context.kv_cache.seq_pos_max(0) == len(PROMPT) - 1
    assert context.decode(batch_of([1, 2, 3], len(PROMPT))) == DecodeStatus.OK


def test_what_is_refused_does_not_use_an_abort_up() -> None:
    context = open_context()
    context.abort()
    with pytest.raises(InvalidRequestError):
        context.decode(batch_of([-1]))
    assert context.decode(batch_of([1])) == DecodeStatus.ABORTED


def shifted() -> Context:
    context = open_long()
    prefill(context, TOKENS[:30])
    context.kv_cache.seq_rm(0, 0, 10)
    context.kv_cache.seq_add(0, 10, -1, -10)
    return context


def test_an_aborted_shift_is_made_up_for() -> None:
    context = shifted()
    context.abort()
    assert context.decode(batch_of([7], 20)) == DecodeStatus.ABORTED
    with pytest.raises(InvalidRequestError, match="decode before saving"):
        context.save_state()
    assert (prefill(context, [7], 20) == prefill(shifted(), [7], 20)).all()


def test_a_decode_that_moves_cells_is_not_stopped_halfway() -> None:
    for _ in range(10):
        context = shifted()
        if abort_after(context, 0.05, batch_of(TOKENS[:1000], 20)) == DecodeStatus.OK:
            break
    else:
        raise AssertionError("stopped although it had cells to move")
    assert context.kv_cache.seq_pos_max(0) == 1019
    assert context.decode(batch_of([7], 1020)) == DecodeStatus.ABORTED
    assert context.kv_cache.seq_rm(0, 20)
    np.testing.assert_allclose(prefill(context, [7], 20), prefill(shifted(), [7], 20), atol=0.02)


def test_every_sequence_of_an_aborted_batch_can_go_on() -> None:
    context = open_context(n_seq_max=2)
    for seq_id in (0, 1):
        prefill(context, TOKENS[:5], 0, seq_id)
    batch = batch_of([1], 5, [0])
    batch.add(2, 5, [1], True)
    context.abort()
    assert context.decode(batch) == DecodeStatus.ABORTED
    assert [context.kv_cache.seq_pos_max(i) for i in (0, 1)] == [4, 4]
    assert context.decode(batch) == DecodeStatus.OK
