"""Context: the token loop in all its forms gives one answer, and every limit is an error or a status of its own."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arithmetic import CLOSE, in_host_memory
from token_loop import GOLDEN, PROMPT, answer, batch_of, golden, open_context, prefill

from shimmy._core import Context, ContextParams, DecodeStatus, Model
from shimmy.errors import InvalidRequestError

TEXT = list(range(100, 148))
N_CPUS = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def test_the_token_loop_gives_the_golden_text() -> None:
    assert golden(open_context()) == GOLDEN


@pytest.mark.parametrize("chunk", [1, 2, 7, 16])
def test_a_prefill_in_chunks_gives_the_golden_text(chunk: int) -> None:
    context = open_context()
    logits = prefill(context, PROMPT, chunk=chunk)
    assert answer(context, logits, len(PROMPT)) == GOLDEN


@pytest.mark.parametrize(
    "params",
    [
        {"kv_unified": False, "n_seq_max": 3},
        {"type_k": "q8_0", "type_v": "q8_0", "flash_attn": "on"},
        {"type_k": "f32", "type_v": "bf16"},
        {"flash_attn": "off"},
        {"flash_attn": "on"},
        {"n_threads_batch": min(2, N_CPUS), "poll": 0},
        {"embeddings": True, "pooling": "none"},
        {"n_batch": 8, "n_ubatch": 4},
        {"swa_full": True, "op_offload": False, "offload_kqv": False},
    ],
    ids=str,
)
def test_settings_that_do_not_change_the_golden_text(params: dict[str, Any]) -> None:
    context = open_context(**params)
    assert answer(context, prefill(context, PROMPT, chunk=8), len(PROMPT)) == GOLDEN


def test_the_thread_counts_change_between_calls_and_not_the_text() -> None:
    if N_CPUS < 2:
        pytest.skip("this process has one CPU")
    context = open_context(n_threads=2, n_threads_batch=1)
    assert (context.n_threads, context.n_threads_batch) == (2, 1)
    for n_threads, n_threads_batch in [(1, 1), (2, 2), (1, 2), (2, 1)]:
        context.set_n_threads(n_threads, n_threads_batch)
        assert (context.n_threads, context.n_threads_batch) == (n_threads, n_threads_batch)
        context.kv_cache.clear()
        assert golden(context) == GOLDEN


@pytest.mark.parametrize(
    ("name", "counts"), [("n_threads", (0, 1)), ("n_threads", (2, 1)), ("n_threads_batch", (1, -1))]
)
def test_thread_counts_stay_within_what_the_context_was_made_with(name: str, counts: tuple[int, int]) -> None:
    context = open_context(n_threads=1)
    with pytest.raises(InvalidRequestError, match=f"^{name} is .*between 1 and 1") as caught:
        context.set_n_threads(*counts)
    assert caught.value.param == name
    assert (context.n_threads, context.n_threads_batch) == (1, 1)


@pytest.mark.parametrize("kv_unified", [True, False])
def test_two_sequences_in_one_batch_equal_each_alone(kv_unified: bool) -> None:
    prompts = [TEXT[:20], TEXT[5:40]]
    context = open_context(n_seq_max=2, kv_unified=kv_unified)
    batch = batch_of(prompts[0], 0, [0])
    for pos, token in enumerate(prompts[1]):
        batch.add(token, pos, [1], pos == len(prompts[1]) - 1)
    assert context.decode(batch) == DecodeStatus.OK
    for i, prompt in zip((19, 54), prompts, strict=True):
        alone = prefill(open_context(), prompt)
        np.testing.assert_allclose(context.logits(i), alone, atol=CLOSE)
        assert context.logits(i).argmax() == alone.argmax()


def test_interleaved_sequences_keep_apart() -> None:
    context = open_context(n_seq_max=3)
    others = [prefill(context, TEXT[i : i + 9], seq_id=i) for i in (1, 2)]
    assert golden(context) == GOLDEN
    for i, before in zip((1, 2), others, strict=True):
        context.kv_cache.seq_rm(i, 8)
        np.testing.assert_allclose(prefill(context, [TEXT[i + 8]], 8, i), before, atol=CLOSE)


# --- outputs


def test_logits_are_copies_by_index_or_from_the_end() -> None:
    context = open_context()
    batch = batch_of(TEXT[:5], outputs="none")
    for pos in (5, 6):
        batch.add(TEXT[pos], pos, [0], True)
    context.decode(batch)
    first, last = context.logits(5), context.logits(6)
    assert first.shape == (4096,)
    assert first.dtype == np.float32
    assert (context.logits() == last).all()
    assert (context.logits(-2) == first).all()
    assert not (first == last).all()
    last[:] = 0
    assert context.logits().any()
    for i in (0, 4, 7, -3, 2**31 - 1, -(2**31)):
        with pytest.raises(InvalidRequestError, match=f"token {i} of the last batch has no logits"):
            context.logits(i)


def test_outputs_end_with_the_next_call_that_is_not_ok() -> None:
    context = open_context(embeddings=True)
    for calls in (context.logits, context.embeddings):
        with pytest.raises(InvalidRequestError):
            calls()
    prefill(context, TEXT[:3])
    assert context.decode(batch_of([1], 77)) == DecodeStatus.INVALID
    for calls in (context.logits, context.embeddings):
        with pytest.raises(InvalidRequestError, match="no successful decode"):
            calls()
    with pytest.raises(InvalidRequestError):
        context.decode(batch_of([-1], 3))
    prefill(context, TEXT[3:4], 3)
    assert context.logits().shape == (4096,)


def test_embeddings_of_tokens() -> None:
    context = open_context(embeddings=True)
    context.decode(batch_of(TEXT[:4], outputs="none"))
    rows = [context.embeddings(i) for i in range(4)]
    assert all(row.shape == (256,) and np.isfinite(row).all() and row.any() for row in rows)
    assert (context.embeddings(-1) == rows[3]).all()
    assert not (rows[0] == rows[1]).all()
    assert np.isfinite(context.logits(0)).all()
    with pytest.raises(InvalidRequestError, match=r"needs\s+embeddings=True"):
        context.embeddings_seq(0)
    with pytest.raises(InvalidRequestError, match="made with embeddings=False"):
        open_context().embeddings(0)


def alike(one: np.ndarray[Any, Any], other: np.ndarray[Any, Any]) -> bool:
    """Whether vectors of the same tokens point the same way, whatever batches they were computed in."""
    return float(one @ other) > 0.995 * float(np.linalg.norm(one) * np.linalg.norm(other))


@pytest.mark.parametrize("pooling", ["mean", "last", "cls"])
def test_pooled_embeddings(pooling: str) -> None:
    def embed(context: Context, *texts: list[int]) -> list[np.ndarray[Any, Any]]:
        batch = batch_of([])
        for seq_id, tokens in enumerate(texts):
            for pos, token in enumerate(tokens):
                batch.add(token, pos, [seq_id], True)
        context.kv_cache.clear()
        assert context.decode(batch) == DecodeStatus.OK
        return [context.embeddings_seq(seq_id) for seq_id in range(len(texts))]

    context = open_context(embeddings=True, pooling=pooling, n_seq_max=3)
    assert context.pooling == pooling
    long, short, again = embed(context, TEXT[:30], TEXT[10:13], TEXT[:30])
    assert all(vector.shape == (256,) and np.isfinite(vector).all() for vector in (long, short))
    assert alike(long, again) and alike(embed(context, TEXT[10:13])[0], short)
    assert not alike(long, short)

    tokens = open_context(embeddings=True)
    tokens.decode(batch_of(TEXT[:30]))
    rows = np.stack([tokens.embeddings(i) for i in range(30)])
    expected = {"mean": rows.mean(0), "last": rows[-1], "cls": rows[0]}[pooling]
    assert alike(long, expected)
    for call in (lambda: context.embeddings_seq(2), lambda: context.embeddings(0)):
        with pytest.raises(InvalidRequestError):
            call()


@pytest.mark.parametrize("sizes", [(64, 3, 0), (16, 5, 2), (2, 4, 1), (300, 7, 0)], ids=str)
def test_pooling_works_at_any_sizes(sizes: tuple[int, int, int]) -> None:
    n_ubatch, n_seq_max, n_outputs_max = sizes
    params = {"n_ubatch": n_ubatch, "n_seq_max": n_seq_max, "n_outputs_max": n_outputs_max, "n_batch": 512}
    context = open_context(n_ctx=256, embeddings=True, pooling="mean", **params)
    assert context.n_ubatch % n_seq_max == 0
    assert context.decode(batch_of([5])) == DecodeStatus.OK
    assert np.isfinite(context.embeddings_seq(0)).all()


def test_a_pooled_sequence_is_not_cut() -> None:
    params = {"embeddings": True, "n_ubatch": 16, "n_batch": 64}
    with pytest.raises(InvalidRequestError, match="17 tokens, n_ubatch is 16"):
        open_context(**params, pooling="mean").decode(batch_of(TEXT[:17]))
    with pytest.raises(InvalidRequestError, match="pooling mean needs kv_unified"):
        open_context(**params, pooling="mean", n_seq_max=2, kv_unified=False)
    whole, pieces = (open_context(embeddings=True, pooling="last", n_ubatch=n) for n in (64, 16))
    for context in (whole, pieces):
        context.decode(batch_of(TEXT))
    np.testing.assert_allclose(whole.embeddings_seq(0), pieces.embeddings_seq(0), atol=CLOSE)


# --- limits


def test_a_full_cache_is_a_status_and_changes_nothing() -> None:
    context = open_context(n_ctx=256, n_batch=256)
    assert context.decode(batch_of([7] * 250)) == DecodeStatus.OK
    assert context.decode(batch_of([7] * 7, 250)) == DecodeStatus.NO_KV_SLOT
    assert context.kv_cache.seq_pos_max(0) == 249
    assert context.decode(batch_of([7] * 6, 250)) == DecodeStatus.OK
    assert context.decode(batch_of([7], 256)) == DecodeStatus.NO_KV_SLOT
    context.kv_cache.seq_rm(0)
    assert golden(context) == GOLDEN


@pytest.mark.parametrize("pos", [0, 2, 4, 1000])
def test_positions_out_of_order_are_a_status_and_change_nothing(pos: int) -> None:
    context, reference = open_context(), open_context()
    for each in (context, reference):
        prefill(each, TEXT[:3])
    assert context.decode(batch_of([9], pos)) == DecodeStatus.INVALID
    assert context.kv_cache.seq_pos_max(0) == 2
    assert (prefill(context, [TEXT[3]], 3) == prefill(reference, [TEXT[3]], 3)).all()


def test_sizes_are_what_was_asked_for_rounded_up() -> None:
    context = open_context(n_ctx=300, n_batch=100, n_ubatch=500, n_outputs_max=3)
    assert (context.n_ctx, context.n_ctx_seq) == (512, 512)
    assert (context.n_batch, context.n_ubatch, context.n_outputs_max, context.n_seq_max) == (100, 100, 3, 1)
    assert (context.n_threads, context.n_threads_batch) == (1, 1)
    assert context.pooling == "none"
    split = open_context(n_ctx=900, n_seq_max=3, kv_unified=False)
    assert (split.n_ctx, split.n_ctx_seq) == (1536, 512)
    assert split.n_outputs_max == split.n_batch


def test_n_ctx_0_is_what_the_model_was_trained_with(model: Model) -> None:
    context = Context(model)
    assert context.n_ctx == model.n_ctx_train
    assert context.n_threads >= 1


@pytest.mark.parametrize(("n_outputs_max", "n_seq_max"), [(2, 1), (1, 4)])
def test_outputs_are_limited_to_what_was_asked_for(n_outputs_max: int, n_seq_max: int) -> None:
    context = open_context(n_outputs_max=n_outputs_max, n_seq_max=n_seq_max)
    prefill(context, TEXT[:40])
    with pytest.raises(InvalidRequestError, match=f"n_outputs_max is {n_outputs_max}"):
        context.decode(batch_of(TEXT[40:44], 40, outputs="all"))
    assert context.decode(batch_of(TEXT[40:44], 40)) == DecodeStatus.OK


def test_refusals_name_the_batch_and_leave_the_context_as_it_is(model: Model) -> None:
    context = open_context()
    prefill(context, TEXT[:3])
    for batch in (
        batch_of([]),
        batch_of([1] * 257, 3),
        batch_of([model.n_vocab], 3),
        batch_of([-1], 3),
        batch_of([1], -1),
        batch_of([1], 0, [1]),
        batch_of([1], 0, [-1]),
    ):
        with pytest.raises(InvalidRequestError):
            context.decode(batch)
    with pytest.raises(InvalidRequestError, match="no encoder: use decode"):
        context.encode(batch_of([1]))
    assert context.kv_cache.seq_pos_max(0) == 2
    assert context.decode(batch_of([1], 3)) == DecodeStatus.OK


def test_a_prompt_without_causal_attention_is_computed_at_once() -> None:
    context = open_context(attention="non-causal", embeddings=True, n_ubatch=16)
    assert context.decode(batch_of(TEXT[:16])) == DecodeStatus.OK
    causal = open_context(embeddings=True)
    causal.decode(batch_of(TEXT[:16]))
    assert np.abs(context.embeddings(0) - causal.embeddings(0)).max() > 0.1
    with pytest.raises(InvalidRequestError, match="17 tokens, n_ubatch is 16"):
        open_context(attention="non-causal", n_ubatch=16).decode(batch_of(TEXT[:17]))


def test_rope_settings_reach_the_model() -> None:
    plain = prefill(open_context(), TEXT[:20])
    for params in ({"rope_freq_base": 500.0}, {"rope_freq_scale": 0.5}):
        assert np.abs(prefill(open_context(**params), TEXT[:20]) - plain).max() > 0.1


@in_host_memory
def test_a_cache_larger_than_the_machine_is_refused_in_numbers(model: Model) -> None:
    with pytest.raises(InvalidRequestError, match=r"67108864 cells takes \d+ MiB, this machine has \d+ MiB") as caught:
        Context(model, ContextParams(n_ctx=2**26))
    assert caught.value.param == "n_ctx"


@in_host_memory
@pytest.mark.skipif(not Path("/proc/meminfo").exists(), reason="tells what memory is available")
def test_a_cache_larger_than_the_available_memory_is_refused_in_numbers(model: Model) -> None:
    memory = dict(re.findall(r"^(\w+): +(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE))
    total, available = (int(memory[name]) * 1024 for name in ("MemTotal", "MemAvailable"))
    per_cell = 4096  # bytes of the demo model: 4 layers of 2 heads of 64, keys and values in two bytes each
    n_ctx = (available + total) // 2 // per_cell
    if not available // per_cell < n_ctx < 2**26:
        pytest.skip("no size lies between what is available and what there is")
    with pytest.raises(InvalidRequestError, match=r"has \d+ MiB of memory and \d+ MiB of them available") as caught:
        Context(model, ContextParams(n_ctx=n_ctx))
    assert caught.value.param == "n_ctx"


@pytest.mark.parametrize("field", ["n_threads", "n_threads_batch"])
def test_more_threads_than_cpus_are_refused_in_numbers(model: Model, field: str) -> None:
    for n in (N_CPUS + 1, 512):
        with pytest.raises(InvalidRequestError, match=f"{field} is {n} and .* {N_CPUS} logical CPUs") as caught:
            Context(model, ContextParams(n_ctx=256, **{field: n}))
        assert caught.value.param == field
    assert Context(model, ContextParams(n_ctx=256, **{field: N_CPUS})).n_ctx == 256
