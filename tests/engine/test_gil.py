"""Heavy calls release the GIL: another Python thread goes on while they run."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from token_loop import GOLDEN, PROMPT, answer, batch_of, golden, open_context, prefill

from shimmy import demo_model_path
from shimmy._core import Context, ContextParams, DecodeStatus, Model, ModelParams, Tokenizer

TEXT = "The quick brown fox jumps over the lazy dog. " * 10_000
TOKENS = [token % 4000 for token in range(1024)]


class Counter:
    """A thread that counts as often as it gets to run, at most once a millisecond."""

    def __init__(self) -> None:
        self.value = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while not self._stop.wait(0.001):
            self.value += 1

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


@pytest.fixture
def counter() -> Iterator[Counter]:
    made = Counter()
    yield made
    made.stop()


def ticks_during(counter: Counter, call: Callable[[], object]) -> tuple[int, float]:
    """What a second thread counts inside of `call`, repeated until it took 0.3 seconds, and the number of calls."""
    ticks = calls = 0
    busy = 0.0
    while busy < 0.3:
        before, start = counter.value, time.monotonic()
        call()
        ticks += counter.value - before
        busy += time.monotonic() - start
        calls += 1
    return ticks, calls


def heavy_calls() -> dict[str, Callable[[], object]]:
    context = open_context(n_ctx=1024, n_batch=1024, n_ubatch=512)
    batch = batch_of(TOKENS)
    tokenizer = Tokenizer(context.model)

    def decode() -> None:
        context.kv_cache.clear()
        assert context.decode(batch) == DecodeStatus.OK

    def decode_a_full_cache() -> list[object]:
        decode()
        return [context.kv_cache.seq_save(0) for _ in range(8)]

    return {
        "decode": decode,
        "tokenize": lambda: tokenizer.encode(TEXT),
        "load": lambda: Model(demo_model_path(), ModelParams(use_mmap=False, check_tensors=True)),
        "open": lambda: Context(context.model, ContextParams(n_ctx=32768)),
        "save": decode_a_full_cache,
    }


@pytest.mark.parametrize("name", ["decode", "tokenize", "load", "open", "save"])
def test_a_second_thread_goes_on(name: str, counter: Counter) -> None:
    call = heavy_calls()[name]
    # A call that held the GIL would let the other thread in at its edges only, once at most. A busy machine has no core
    # for it now and then.
    assert any(ticks > calls for ticks, calls in (ticks_during(counter, call) for _ in range(5)))


def test_two_threads_share_a_context() -> None:
    context = open_context(n_ctx=1024, n_seq_max=4)

    def converse(seq_id: int) -> set[str]:
        texts = set()
        for _ in range(3):
            # Logits are those of the last call, so a thread takes its own in a cache of its own.
            for pos in range(0, 60, 20):
                assert context.decode(batch_of(TOKENS[pos : pos + 20], pos, [seq_id])) == DecodeStatus.OK
            assert context.kv_cache.seq_pos_max(seq_id) == 59
            texts.add(str(context.kv_cache.seq_save(seq_id, TOKENS[:60])[:40]))
            assert context.logits().shape == (4096,)
            context.kv_cache.seq_rm(seq_id)
        return texts

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(converse, range(4)))
    assert golden(context) == GOLDEN


def test_threads_with_contexts_of_their_own_share_a_model(model: Model) -> None:
    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(lambda _: golden(open_context(model)), range(8))) == {GOLDEN}


def test_a_batch_that_changes_under_a_decode_is_the_one_that_was_passed() -> None:
    context = open_context(n_ctx=1024, n_batch=1024, n_ubatch=64)
    batch = batch_of(TOKENS)
    started = threading.Event()
    statuses: list[DecodeStatus] = []

    def decode() -> None:
        started.set()
        statuses.append(context.decode(batch))

    thread = threading.Thread(target=decode)
    thread.start()
    started.wait()
    time.sleep(0.02)
    batch.clear()
    for _ in range(5000):
        batch.add(1, 0)
    thread.join()
    assert statuses == [DecodeStatus.OK]
    assert context.kv_cache.seq_pos_max(0) == len(TOKENS) - 1


def test_one_thread_decodes_while_another_waits_its_turn() -> None:
    context = open_context(n_seq_max=2)
    logits = prefill(context, PROMPT)
    other = threading.Thread(target=lambda: prefill(context, TOKENS[:200], 0, 1))
    other.start()
    other.join()
    assert answer(context, logits, len(PROMPT)) == GOLDEN
