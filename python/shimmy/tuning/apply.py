"""What tuning has found, put under the settings of a load: in the process that loads the model."""

from __future__ import annotations

import logging

import msgspec

from shimmy import _core
from shimmy.device_choice import Chosen, choose
from shimmy.errors import ShimmyError
from shimmy.machine_memory import machine_memory
from shimmy.model_info import LoadSpec
from shimmy.tuning.identity import identify
from shimmy.tuning.search import Tell
from shimmy.tuning.setup import Setup, given_options
from shimmy.tuning.store import Store
from shimmy.tuning.tuner import tune
from shimmy.tuning.winner import Winner

_MOST_OF_MEMORY = 0.25
"""Share of the memory available now that attention's scores may take, without flash attention."""

logger = logging.getLogger("shimmy.tuning")


def tuned_setup(spec: LoadSpec, store: Store | None = None, tell: Tell | None = None) -> Setup:
    """What is to be added to `spec`: nothing with tune "off" and for deterministic engines, whose answers shall not
    depend on what was measured when; with "on" a model without a stored winner is measured first, and the winner
    stored.

    What a user has set wins, with the group it belongs to. A search or a store that fails costs the tuning, never the
    load. Raises ModelLoadError for a file that cannot be read.
    """
    if spec.tune == "off" or spec.engine.get("deterministic"):
        return Setup()
    store = store or Store()
    if spec.tune == "auto" and store.empty:
        return Setup()
    winner = store.find(identify(spec))
    if winner is None and spec.tune == "on":
        winner = _measure(spec, store, tell)
    if winner is None:
        return Setup()
    setup = _fitting(winner.setup.without(given_options(spec.model, spec.context)), spec)
    if setup != Setup():
        logger.info("%s: tuned on %s: %s", spec.name, winner.created, setup.text())
    return setup


def with_setup(spec: LoadSpec, setup: Setup) -> LoadSpec:
    """`spec` with `setup` under its own options."""
    return msgspec.structs.replace(
        spec,
        model={**setup.model_options(), **spec.model},
        context={**setup.context_options(), **spec.context},
    )


def place(spec: LoadSpec, setup: Setup) -> tuple[Setup, Chosen]:
    """Where `spec` goes with `setup`, and what is left of that: larger micro-batches than the default only where layers
    are chosen by what fits, and take nothing else from GPUs. Raises as `choose`.
    """
    n_ubatch, default = setup.n_ubatch or 0, _core.ContextParams()
    if n_ubatch <= default.n_ubatch:
        return setup, choose(with_setup(spec, setup))
    plain = setup.without({"n_ubatch"})
    fits = n_ubatch <= spec.context.get("n_batch", default.n_batch)
    chosen = choose(with_setup(spec, plain), n_ubatch if fits else None)
    if chosen.context.get("n_ubatch") == n_ubatch:
        return setup, chosen
    logger.info(
        "%s: micro-batches of %d tokens are not used: they need as large an n_batch, layers left to what fits, and "
        "room on GPUs beside all of them and the context",
        spec.name,
        n_ubatch,
    )
    return plain, chosen


def _measure(spec: LoadSpec, store: Store, tell: Tell | None) -> Winner | None:
    logger.info("%s: measuring what is fastest on this machine", spec.name)
    try:
        winner = tune(spec, tell=tell)
    except ShimmyError as error:
        logger.warning("%s: not tuned: %s", spec.name, error.message)
        return None
    try:
        store.save(winner)
    except OSError as error:
        logger.warning("%s: what was measured cannot be stored in %s: %s", spec.name, store.folder, error.strerror)
    return winner


def _fitting(setup: Setup, spec: LoadSpec) -> Setup:
    """Less flash attention off where a context this long could take much memory for it: a score for each head, token of
    a micro-batch and cell, twice.
    """
    free = machine_memory().available
    if setup.flash_attn != "off" or free is None:
        return setup
    header = _core.read_gguf(spec.path)
    n_cells = spec.context.get("n_ctx") or header.context_length
    n_ubatch = spec.context.get("n_ubatch") or setup.n_ubatch or _core.ContextParams().n_ubatch
    n_heads = max(1, header.embedding_length // 64)  # at most: few models have narrower ones
    n_bytes = 2 * 4 * n_heads * n_ubatch * n_cells
    if n_bytes <= _MOST_OF_MEMORY * free:
        return setup
    logger.info(
        "%s: flash attention stays on: without it, %d cells could need %d MiB; a smaller --ctx lets it be tuned",
        spec.name,
        n_cells,
        n_bytes >> 20,
    )
    return setup.without({"flash_attn"})
