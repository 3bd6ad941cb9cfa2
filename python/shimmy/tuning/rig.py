"""A model in one setup, and the timing of workloads on it. Uses the token-level API: no sampling, no scheduling."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from statistics import median
from typing import Any

import msgspec

from shimmy import _core
from shimmy.errors import ShimmyError
from shimmy.tuning.search import UnmeasurableError
from shimmy.tuning.workload import BATCH, DECODE, DEEP_DECODE, DEEP_PREFILL, LONG_PREFILL, PREFILL, STREAMS

PIECE = 128
"""Tokens that are computed once and copied until the deep context is full."""
_HELD = 64  # tokens of each sequence of the short context


class Sizes(msgspec.Struct, frozen=True, kw_only=True):
    """How much is computed to time something once."""

    steps: int
    """Of decoding."""
    prompt: int
    """Tokens."""
    long_prompt: int
    """0: LONG_PREFILL is not timed."""
    deep_steps: int
    deep_prompt: int
    depth: int
    """Tokens in the cache before those of the deep workloads; a multiple of PIECE, 0: there are no deep workloads."""

    @property
    def workloads(self) -> tuple[str, ...]:
        """What is timed of every setup."""
        deep = (DEEP_DECODE, DEEP_PREFILL) if self.depth else ()
        return (DECODE, BATCH, PREFILL, *deep)

    @property
    def extras(self) -> tuple[str, ...]:
        """What can be timed besides."""
        return (LONG_PREFILL,) if self.long_prompt else ()


class _Filled:
    """A context that holds the same tokens before each timing. `fill` computes them in an empty cache."""

    def __init__(self, context: _core.Context, n_vocab: int, fill: Callable[[_Filled], None]) -> None:
        self.context = context
        self._n_vocab = n_vocab
        self._fill = fill
        self.refill()

    def refill(self) -> None:
        self.context.kv_cache.clear()
        self._fill(self)

    def cut(self, seq: int, pos: int) -> None:
        """Back to `pos`; caches that cannot be cut are filled again."""
        if not self.context.kv_cache.seq_rm(seq, pos):
            self.refill()

    def steps(self, streams: int, pos: int, n: int) -> float:
        """Seconds per token of `n` steps of one token for each stream, from `pos` on: of the median step."""
        passed = []
        for step in range(n):
            start = time.perf_counter()
            batch = _core.Batch()
            for seq in range(streams):
                batch.add(self._token(step + seq), pos + step, [seq], True)
            self._decode(batch)
            passed.append(time.perf_counter() - start)
        for seq in range(streams):
            self.cut(seq, pos)
        return median(passed) / streams

    def prompt(self, seq: int, pos: int, n: int) -> float:
        """Seconds per token of a prompt of `n` tokens from `pos` on, which stays."""
        start = time.perf_counter()
        for first in range(0, n, self.context.n_batch):
            batch = _core.Batch()
            for i in range(first, min(n, first + self.context.n_batch)):
                batch.add(self._token(i), pos + i, [seq], i == n - 1)
            self._decode(batch)
        return (time.perf_counter() - start) / n

    def _decode(self, batch: _core.Batch) -> None:
        status = self.context.decode(batch)
        if status != _core.DecodeStatus.OK:
            raise UnmeasurableError(f"a step ended with {status.name}")
        self.context.logits()  # of a GPU's step too, the end

    def _token(self, i: int) -> int:
        return (100 + 7 * i) % self._n_vocab


class Rig:
    """Contexts are made when a workload first needs them. What does not run raises UnmeasurableError."""

    def __init__(self, model: _core.Model, context: dict[str, Any], sizes: Sizes) -> None:
        """`context` holds fields of ContextParams, sizes left out."""
        self._model = model
        self._options = context
        self._sizes = sizes
        self._short: _Filled | None = None
        self._deep: _Filled | None = None

    def seconds(self, workload: str) -> float:
        """For a token of `workload`, on average."""
        try:
            return self._deep_seconds(workload) if workload in (DEEP_DECODE, DEEP_PREFILL) else self._time(workload)
        except UnmeasurableError:
            raise
        except ShimmyError as error:
            raise UnmeasurableError(f"{workload}: {error.message}") from error

    def _time(self, workload: str) -> float:
        sizes = self._sizes
        if self._short is None:
            n_cells = 2 * _HELD + max(sizes.prompt, sizes.long_prompt) + STREAMS * (sizes.steps + 1)
            self._short = self._filled(n_cells, STREAMS + 1, _fill_short)
            self._short.steps(1, _HELD, 1)
        if workload == DECODE:
            return self._short.steps(1, _HELD, sizes.steps)
        if workload == BATCH:
            return self._short.steps(STREAMS, _HELD, max(2, sizes.steps // 2))
        seconds = self._short.prompt(STREAMS, 0, sizes.long_prompt if workload == LONG_PREFILL else sizes.prompt)
        self._short.context.kv_cache.seq_rm(STREAMS)
        return seconds

    def _deep_seconds(self, workload: str) -> float:
        sizes = self._sizes
        if self._deep is None:
            n_cells = sizes.depth + sizes.deep_prompt + sizes.deep_steps + PIECE
            self._deep = self._filled(n_cells, 2, partial(_fill_deep, depth=sizes.depth))
            self._deep.steps(1, PIECE, 1)
        if workload == DEEP_DECODE:
            return self._deep.steps(1, PIECE, sizes.deep_steps)
        seconds = self._deep.prompt(0, PIECE, sizes.deep_prompt)
        self._deep.cut(0, PIECE)
        return seconds

    def _filled(self, n_cells: int, n_seq_max: int, fill: Callable[[_Filled], None]) -> _Filled:
        n_ctx = (n_cells + 255) // 256 * 256
        params = _core.ContextParams(
            n_ctx=n_ctx, n_batch=min(n_ctx, 2048), n_seq_max=n_seq_max, n_outputs_max=n_seq_max, **self._options
        )
        return _Filled(_core.Context(self._model, params), self._model.n_vocab, fill)


def _fill_short(filled: _Filled) -> None:
    """One sequence for each stream, sharing cells."""
    filled.prompt(0, 0, _HELD)
    for seq in range(1, STREAMS):
        filled.context.kv_cache.seq_cp(0, seq)


def _fill_deep(filled: _Filled, *, depth: int) -> None:
    """Sequence 0 gets `depth` cells at PIECE positions: what attention costs depends on cells alone."""
    filled.prompt(0, 0, PIECE)
    cache = filled.context.kv_cache
    state = cache.seq_save(0)
    for _ in range(depth // PIECE - 1):
        cache.seq_restore(1, state)
        cache.seq_cp(1, 0)
        cache.seq_rm(1)
