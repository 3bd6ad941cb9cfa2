"""Measuring a model on this machine: what `shimmy tune` does, and `--tune on` at a load."""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import datetime, timezone
from statistics import median
from typing import Any

import msgspec

from shimmy import _core
from shimmy.device_choice import choose
from shimmy.errors import InvalidRequestError
from shimmy.machine_memory import machine_memory
from shimmy.model_info import LoadSpec
from shimmy.tuning.axes import axes
from shimmy.tuning.host import others_seconds, usable_cpus
from shimmy.tuning.identity import identify
from shimmy.tuning.rig import PIECE, Rig, Sizes
from shimmy.tuning.search import Findings, Search, Tell, UnmeasurableError, spread
from shimmy.tuning.setup import KvType, Setup, given_options
from shimmy.tuning.winner import Speed, Winner
from shimmy.tuning.workload import DECODE, DEEP_DECODE, DEEP_PREFILL, PREFILL

SECONDS = 45.0
"""The time for a search; the last duel may take a fifth more."""
DEPTH = 4096

_FIXED = {"n_ctx", "n_batch", "n_seq_max", "n_outputs_max", "kv_unified", "embeddings", "pooling", "attention"}
"""Options of ContextParams that timing chooses itself."""
_ALIVE = 2  # setups in memory at once: those of a duel
_DECODE_SHARE = 1 / 400  # of the time for the search, for which decoding is timed once
_PROMPT_SHARE = 1 / 100
_LONG_PROMPT = 512
_LONG_PROMPT_GPU = 2048
_HEADROOM = 1.3  # memory that must be free for each byte of weights


def tune(
    spec: LoadSpec,
    *,
    seconds: float = SECONDS,
    depth: int = DEPTH,
    kv_types: Sequence[KvType] = (),
    long: bool = False,
    tell: Tell | None = None,
) -> Winner:
    """Search for the fastest setup of what `spec` loads. Settings in `spec` stay as they are; nothing is stored. With
    `long` only what is timed at depth counts, and short contexts may get slower.

    Takes about `seconds`, after the model is loaded. Raises ModelLoadError, InvalidRequestError (options, and a model
    that generates no text) and UnmeasurableError.
    """
    identity = identify(spec)
    start = time.monotonic()
    chosen = choose(spec)
    placed = msgspec.structs.replace(spec, model=chosen.model, context=chosen.context)
    bench = _Bench(placed, depth, seconds, may_enlarge=spec.model.get("n_gpu_layers", -1) == -1)
    sizes = bench.sizes
    if long and not sizes.depth:
        raise InvalidRequestError(f"{spec.name} is not timed at depth, so it cannot be tuned for that alone", "long")
    may_lose = {*sizes.workloads, *sizes.extras} - {DEEP_DECODE, DEEP_PREFILL} if long else set()
    findings = Search(bench, sizes.workloads, seconds, tell, extras=sizes.extras, may_lose=may_lose).run(
        axes(
            n_threads=bench.n_threads,
            n_cpus=usable_cpus(),
            on_cpu=not identity.placement or chosen.model.get("n_gpu_layers") == 0,
            on_gpu=bench.on_gpu,
            two_layouts=bench.two_layouts,
            long_prompt=sizes.long_prompt,
            kv_types=kv_types,
            given=given_options(spec.model, spec.context),
        )
    )
    return Winner(
        identity=identity,
        setup=findings.best,
        created=datetime.now(timezone.utc).isoformat(timespec="seconds").replace("+00:00", "Z"),
        seconds=round(time.monotonic() - start, 1),
        depth=sizes.depth,
        long=long,
        busy=round(findings.busy, 3),
        speeds=_speeds(findings),
        trials=findings.trials,
    )


def _speeds(findings: Findings) -> dict[str, Speed]:
    gains = findings.trials[-1].gains if findings.best != Setup() else {}
    return {
        name: Speed(default_rate=round(1 / median(samples), 2), spread=round(spread(samples), 4), gain=gains.get(name))
        for name, samples in findings.samples.items()
    }


class _Bench:
    """Times setups; keeps the last two that were timed."""

    def __init__(self, spec: LoadSpec, depth: int, seconds: float, *, may_enlarge: bool) -> None:
        """`may_enlarge`: a load uses micro-batches larger than the default if they fit."""
        self._spec = spec
        self._context = {name: value for name, value in spec.context.items() if name not in _FIXED}
        self._models: dict[tuple[tuple[str, Any], ...], _core.Model] = {}
        self._rigs: dict[Setup, Rig] = {}
        model = self._model(Setup())
        if not model.can_generate:
            raise InvalidRequestError(f"{spec.name} ({model.architecture}) generates no text: there is nothing to tune")
        self.two_layouts = model.both_layouts_bytes > 0
        self.on_gpu = may_enlarge and model.offloaded_layers > model.n_layer and not model.partly_offloaded_layers
        self._weights = model.size_bytes
        self.n_threads, self.sizes = self._calibrate(model, depth, seconds)

    def seconds(self, setup: Setup, workload: str) -> float:
        rig = self._rigs.pop(setup, None)
        if rig is None:
            for oldest in list(self._rigs)[: len(self._rigs) + 1 - _ALIVE]:
                del self._rigs[oldest]
            rig = Rig(self._model(setup), {**self._context, **setup.context_options()}, self.sizes)
        self._rigs[setup] = rig  # the newest last
        return rig.seconds(workload)

    def clock(self) -> float:
        return time.monotonic()

    def others(self) -> float:
        return others_seconds()

    def _model(self, setup: Setup) -> _core.Model:
        """One copy of the weights for all setups that lay them out alike: two copies may differ in speed by where they
        lie. That of the defaults stays, beside one other.
        """
        options = setup.model_options()
        key = tuple(options.items())
        if key not in self._models:
            for other in [one for one in self._models if one]:
                del self._models[other]
            free = machine_memory().available
            if self._models and free is not None and free < _HEADROOM * self._weights:
                raise UnmeasurableError(f"{free >> 20} MiB of memory are too few for a second copy of the weights")
            self._models[key] = _core.Model(self._spec.path, _core.ModelParams(**{**self._spec.model, **options}))
        return self._models[key]

    def _calibrate(self, model: _core.Model, depth: int, seconds: float) -> tuple[int, Sizes]:
        """The default number of threads, and sizes that take a small share of `seconds` each."""
        depth = 0 if model.is_recurrent else min(depth, model.n_ctx_train // 2) // PIECE * PIECE
        tiny = Sizes(steps=2, prompt=64, long_prompt=0, deep_steps=2, deep_prompt=64, depth=0)
        rig = Rig(model, self._context, tiny)
        step, token = rig.seconds(DECODE), rig.seconds(PREFILL)
        threads = _core.Context(model, _core.ContextParams(n_ctx=256, **self._context)).n_threads
        steps = _within(round(_DECODE_SHARE * seconds / step), 2, 12)
        wanted = self._spec.context.get("n_batch", _LONG_PROMPT_GPU) if self.on_gpu else _LONG_PROMPT
        long_prompt = min(wanted, _LONG_PROMPT_GPU, model.n_ctx_train)  # a table of positions may be no longer
        return threads, Sizes(
            steps=steps,
            prompt=_within(int(_PROMPT_SHARE * seconds / token) // 64 * 64, 64, 256),
            long_prompt=long_prompt if long_prompt * token < 4 * _PROMPT_SHARE * seconds else 0,
            deep_steps=_within(steps // 3, 2, 4),
            deep_prompt=64,
            depth=depth,
        )


def _within(value: int, least: int, most: int) -> int:
    return max(least, min(value, most))
