"""Prefixes of the cache that outlive the process: what prompts have in common is kept on disk, and brought back."""

from __future__ import annotations

import logging
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import NamedTuple

import numpy as np

from shimmy import __version__, _core
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.kv_store.prefix_file import MIN_TOKENS, Space
from shimmy.kv_store.prefix_index import StoredPrefix
from shimmy.kv_store.prefix_store import PrefixStore
from shimmy.kv_store.recurring_prefixes import MAX_PROMPTS, RecurringPrefix, RecurringPrefixes, worth_writing
from shimmy.kv_store.trial import Trial
from shimmy.model_info import KvStoreSpec
from shimmy.output import Usage
from shimmy.request import GenerateRequest

IDLE_SECONDS = 2.0
"""After an engine had nothing to do for so long it writes; a busy one after BUSY_SECONDS, between two steps."""
BUSY_SECONDS = 60.0

CLOSE_SECONDS = 3.0
"""How long the end of a model may wait for what is not written yet."""

_MIN_GAIN = 64
"""Tokens that are worth reading a file for."""
_MEASURED_BYTES = 16 << 20  # smaller files say nothing about the disk
_READ_RATE = 500e6  # bytes a second, until it is measured
_WRITE_RATE = 200e6

logger = logging.getLogger("shimmy.kv_store")


class _Resident(NamedTuple):
    """What was in memory of a stored prefix when `n_lost` was the engine's count."""

    n_lost: int
    n_tokens: int


class _Prompt(NamedTuple):
    space: Space
    lora: tuple[tuple[str, float], ...]
    tokens: list[int]


class KeptPrefixes:
    """Between an engine and its store. `restore` is called before a request is queued, by whoever queues it; `used`
    with its final usage. A thread of its own does the writing.
    """

    def __init__(
        self,
        engine: _core.Engine,
        store: PrefixStore,
        *,
        idle_seconds: float = IDLE_SECONDS,
        busy_seconds: float = BUSY_SECONDS,
    ) -> None:
        self._engine = engine
        self._store = store
        self._idle_seconds = idle_seconds
        self._busy_seconds = busy_seconds
        self._loading = threading.Lock()  # one file at a time
        self._resident: dict[Path, _Resident] = {}
        self._read_rate = _READ_RATE
        self._token_seconds = 0.0  # that a prompt token takes here; 0: not known yet
        self._changed = threading.Condition()
        self._prompts: deque[_Prompt] = deque(maxlen=MAX_PROMPTS)
        self._closes_at: float | None = None
        self._last_use = time.monotonic()
        self._recurring = RecurringPrefixes()  # of the thread, as what follows
        self._token_bytes = 0.0
        self._wanted_since: float | None = None
        self._thread = threading.Thread(target=self._run, name="shimmy-kept-prefixes", daemon=True)
        self._thread.start()

    def restore(self, request: GenerateRequest, tokens: list[int]) -> Trial | None:
        """Bring back what is stored of a prompt when that is faster than computing it. The trial is to be ended when
        the request has its first token: only then is the state known to do no harm.
        """
        if len(tokens) <= MIN_TOKENS or request.prompt_logprobs is not None:
            return None
        try:
            space = self._space(request, tokens)
            found = self._store.find(space, np.array(tokens[:-1], dtype=np.int32))  # the last is computed anyway
            if found is None or self._is_resident(*found):
                return None
            with self._loading:
                return self._restore(request, tokens, *found)
        except ShimmyError as error:  # queueing it will say so, if it matters
            logger.debug("nothing is restored: %s", error.message)
            return None

    def used(self, request: GenerateRequest, tokens: list[int], usage: Usage) -> None:
        """A request has ended. Takes no time."""
        if len(tokens) < MIN_TOKENS or usage.completion_tokens == 0:
            return
        computed = usage.prompt_tokens - usage.cached_tokens
        if computed >= MIN_TOKENS:
            measured = usage.prefill_seconds / computed
            self._token_seconds = (self._token_seconds + measured) / 2 if self._token_seconds else measured
        try:
            space = self._space(request, tokens)
        except ShimmyError:  # an adapter that switches on within the prompt, or one that is gone
            return
        with self._changed:
            self._last_use = time.monotonic()
            self._prompts.append(_Prompt(space, tuple(request.lora.items()), tokens))
            self._changed.notify()

    def close(self, seconds: float = CLOSE_SECONDS) -> None:
        """Write what there is time for, and end the thread. Idempotent. Before the engine's end."""
        with self._changed:
            if self._closes_at is None:
                self._closes_at = time.monotonic() + seconds
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(seconds + 0.5)

    def _space(self, request: GenerateRequest, tokens: list[int]) -> Space:
        adapters = self._engine.prefix_adapters(tokens, lora=list(request.lora.items())) if request.lora else 0
        return Space(request.tenant, adapters)

    def _is_resident(self, stored: StoredPrefix, n: int) -> bool:
        resident = self._resident.get(stored.path)
        return resident is not None and resident.n_lost == self._engine.prefixes_lost and resident.n_tokens >= n

    def _restore(self, request: GenerateRequest, tokens: list[int], stored: StoredPrefix, n: int) -> Trial | None:
        if self._is_resident(stored, n):
            return None
        lora = list(request.lora.items())
        n_lost = self._engine.prefixes_lost
        n_cached = self._engine.cached_prefix(tokens[:n], tenant=request.tenant, lora=lora)
        if n - n_cached < _MIN_GAIN:
            self._resident[stored.path] = _Resident(n_lost, n)
            return None
        token_seconds = self._token_seconds or stored.seconds / len(stored.tokens)
        slow = token_seconds and stored.state_bytes / self._read_rate > (n - n_cached) * token_seconds
        if slow or len(stored.tokens) > self._engine.n_ctx:
            return None
        trial = Trial.of(stored.path)
        if trial is None:
            return None
        started = time.monotonic()
        try:
            state = self._store.read(stored)
            loaded = state is not None and self._load(request, stored, state)
        except BaseException:
            trial.end()
            raise
        if not loaded:
            trial.end()
            return None
        seconds = time.monotonic() - started
        if stored.state_bytes >= _MEASURED_BYTES:
            self._read_rate = stored.state_bytes / max(seconds, 1e-6)
        self._resident[stored.path] = _Resident(self._engine.prefixes_lost, len(stored.tokens))
        logger.debug("%d tokens were restored from %d bytes in %.3f s", n, stored.state_bytes, seconds)
        return trial

    def _load(self, request: GenerateRequest, stored: StoredPrefix, state: bytes) -> bool:
        try:
            loaded = self._engine.load_prefix(state, tenant=request.tenant, lora=list(request.lora.items()))
        except InvalidRequestError as error:
            if error.param == "state":
                logger.info("a stored prefix is removed: %s", error.message)
                self._store.remove(stored)
            return False
        if loaded != stored.tokens.tolist():
            logger.info("a stored prefix is removed: its state is of other tokens")
            self._store.remove(stored)
            return False
        return True

    def _run(self) -> None:
        self._store.tidy()
        while True:
            with self._changed:
                wait = None if self._wanted_since is None else self._idle_seconds / 4
                if not self._prompts and self._closes_at is None:
                    self._changed.wait(wait)
                prompts, closes_at = list(self._prompts), self._closes_at
                self._prompts.clear()
            for space, lora, tokens in prompts:
                self._recurring.add(RecurringPrefix(space, lora, np.array(tokens, dtype=np.int32)))
            try:
                if not self._write_when_due(closes_at) and closes_at is not None:
                    return
            except ShimmyError as error:
                logger.debug("nothing is kept: %s", error.message)  # the engine has ended
                return
            except Exception:
                logger.exception("prompts are kept on disk no more")
                return

    def _write_when_due(self, closes_at: float | None) -> bool:
        """Write one prefix if now is the time. False: none was written."""
        wanted = [one for one in self._recurring.found() if self._is_wanted(one)]
        if not wanted:
            self._wanted_since = None
            return False
        now = time.monotonic()
        if self._wanted_since is None:
            self._wanted_since = now
        stats = self._engine.stats
        idle = not stats.running and not stats.waiting and now - self._last_use >= self._idle_seconds
        if closes_at is None and not idle and now - self._wanted_since < self._busy_seconds:
            return False
        prefix = wanted[0]
        if closes_at is not None and now + self._token_bytes * len(prefix.tokens) / _WRITE_RATE > closes_at:
            return False
        self._write(prefix)
        self._wanted_since = now if len(wanted) > 1 else None
        return True

    def _is_wanted(self, prefix: RecurringPrefix) -> bool:
        if worth_writing(len(prefix.tokens), self._store.covered(prefix.space, prefix.tokens)):
            return True
        self._recurring.drop(prefix)
        return False

    def _write(self, prefix: RecurringPrefix) -> None:
        self._recurring.drop(prefix)  # whatever comes of it: when the prompt comes again, so does this
        tokens = prefix.tokens.tolist()
        try:
            state = self._engine.save_prefix(tokens, tenant=prefix.space.tenant, lora=list(prefix.lora))
        except InvalidRequestError as error:
            logger.debug("a prefix of %d tokens is not kept: %s", len(tokens), error.message)
            return
        self._token_bytes = len(state) / len(tokens)
        seconds = self._token_seconds * len(tokens)
        if seconds and len(state) / self._read_rate > seconds:
            logger.debug("a prefix of %d tokens is not kept: computing it is faster than reading it", len(tokens))
            return
        if self._store.write(prefix.space, prefix.tokens, seconds, state):
            logger.debug("a prefix of %d tokens is kept in %d bytes", len(tokens), len(state))


def kept_prefixes(engine: _core.Engine, spec: KvStoreSpec, version: str) -> KeptPrefixes:
    """Those of an engine, in the folder of `spec`. `version` is that of the model's files (see `files_version`)."""
    return KeptPrefixes(engine, PrefixStore(Path(spec.folder), _fingerprint(engine, version), spec.budget))


def _fingerprint(engine: _core.Engine, version: str) -> str:
    """What states depend on: the model and its settings, the build, and what computes. The engine's own fingerprint of
    the file is made of samples, which an edit between them leaves as they are.
    """
    build = _core.build_info()
    devices = ",".join(device.name for device in _core.devices())
    features = ",".join(build["cpu_features"])
    return (
        f"{engine.prefix_settings} files={version} shimmy={__version__} llama.cpp={build['llama_cpp_commit']}"
        f" {sys.byteorder} devices={devices} cpu={features}"
    )
