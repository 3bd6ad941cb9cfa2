"""The one thread that takes outputs out of a native engine and hands them on, a step at a time."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Generic, TypeAlias, TypeVar

from shimmy import _core
from shimmy.errors import EngineDeadError, ShimmyError
from shimmy.generation import Generation
from shimmy.loaded_model import LoadedModel
from shimmy.output import RequestOutput
from shimmy.thread_name import thread_name

Consumer = TypeVar("Consumer")
Delivery: TypeAlias = "list[tuple[Consumer, RequestOutput | ShimmyError]]"

logger = logging.getLogger("shimmy.pump")

_WAIT_SECONDS = 1.0
_INTERVAL_SECONDS = 0.002
"""Tokens that come faster than this are told together: nobody reads so fast, and to tell each costs as much as to make
it where models are small."""
_UNFINISHED = _core.FinishReason.NONE.value  # enums of the extension are slow to compare


class Pump(Generic[Consumer]):
    """Delivers the outputs of each step, per consumer, through one call of `deliver` on the pump's thread.

    A request's last item is an output with a finish_reason, or the error that ended it; nothing follows it.
    """

    def __init__(self, model: LoadedModel, deliver: Callable[[Delivery[Consumer]], None]) -> None:
        self._model = model
        self._deliver = deliver
        self._lock = threading.Lock()  # held from queueing a request until it is known here
        self._open: dict[int, tuple[Generation, Consumer]] = {}
        self._closed = False
        self._thread: threading.Thread | None = None  # none for a model that does not generate
        if model.engine is not None:
            self._thread = threading.Thread(target=self._run, args=(model.engine,), name="shimmy-pump", daemon=True)
            with thread_name("shimmy-pump"):
                self._thread.start()

    def submit(self, generation: Generation, consumer: Consumer) -> int:
        """Queue a prepared request. Returns the engine's id for `cancel`. Raises what the engine raises."""
        self._model.restore(generation)
        try:
            with self._lock:
                if self._closed:
                    raise EngineDeadError("the engine was closed")
                engine_id = self._model.add(generation)
                self._open[engine_id] = (generation, consumer)
        except BaseException:
            generation.end_trial()
            raise
        return engine_id

    def cancel(self, engine_id: int) -> None:
        """End a request within one step; its last output says so. Unknown ids are ignored."""
        if self._model.engine is not None:
            self._model.engine.cancel(engine_id)

    def close(self) -> None:
        """Cancel everything, deliver the last outputs and end the thread. Idempotent."""
        with self._lock:
            self._closed = True
        self._model.close()
        if self._thread is not None and threading.current_thread() is not self._thread:
            self._thread.join()

    def _run(self, engine: _core.Engine) -> None:
        try:
            self._pump(engine)
        except Exception as caught:
            logger.exception("the outputs of the engine are lost")
            error = EngineDeadError(f"the outputs of the engine are lost: {type(caught).__name__}: {caught}")
            with self._lock:
                self._closed = True
                consumers = [consumer for _, consumer in self._open.values()]
                self._open.clear()
            self._deliver([(consumer, error) for consumer in consumers])

    def _pump(self, engine: _core.Engine) -> None:
        def piece(token: int) -> bytes:
            return self._model.tokenizer.piece(token, special=True)

        while True:
            closing = self._closed
            outputs = engine.wait(_WAIT_SECONDS, _INTERVAL_SECONDS)
            if outputs:
                death = engine.death
                items = [self._convert(output, piece, death) for output in outputs]
                self._deliver([item for item in items if item is not None])
            elif closing:
                return

    def _convert(
        self, output: _core.Output, piece: Callable[[int], bytes], death: str
    ) -> tuple[Consumer, RequestOutput | ShimmyError] | None:
        finished = output.finish_reason.value != _UNFINISHED
        with self._lock:
            entry = self._open.pop(output.id, None) if finished else self._open.get(output.id)
        if entry is None:  # it failed here before
            return None
        generation, consumer = entry
        try:
            item = generation.convert(output, piece, death)
            generation.end_trial()
            if item.finished and item.usage is not None:
                self._model.used(generation, item.usage)
            if item.finished and not finished:
                self._drop(output.id)
            return consumer, item
        except ShimmyError as caught:
            error = caught
        except Exception as caught:
            logger.exception("an output of request %s was lost", generation.request.request_id)
            error = ShimmyError(f"internal error: {type(caught).__name__}: {caught}")
        if not finished:
            self._drop(output.id)
        return consumer, error

    def _drop(self, engine_id: int) -> None:
        """End a request of which nothing more is wanted."""
        with self._lock:
            del self._open[engine_id]
        self.cancel(engine_id)
