"""Embedding and reranking with a loaded model: requests in, futures out, batched by one native embedder."""

from __future__ import annotations

import contextlib
import logging
import math
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, InvalidStateError
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from shimmy import _core
from shimmy.device_choice import uses_of
from shimmy.embedding import Embeddings, EmbedRequest, RankedDocument, Ranking, RerankRequest
from shimmy.errors import DecodeError, EngineDeadError, InvalidRequestError, ShimmyError
from shimmy.model_info import DeviceUse, LoadSpec
from shimmy.rerank_prompt import RerankPrompt

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Rows: TypeAlias = list[NDArray[np.float32]]

Answer = TypeVar("Answer", Embeddings, Ranking)

logger = logging.getLogger("shimmy.embedder")

# llama.cpp's graph ends with a softmax for these.
_SOFTMAX_HEADS = {"qwen3", "qwen3vl"}


class Embedder:
    """Makes its native embedder on first use. One thread computes while anything waits. Thread-safe."""

    def __init__(self, model: _core.Model, tokenizer: _core.Tokenizer, spec: LoadSpec) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._context = _core.ContextParams(**spec.context)
        self._params = _core.EmbedderParams(**spec.embedder)
        self._rerank_prompt = RerankPrompt(model, tokenizer)
        self._lock = threading.Lock()
        self._made: _core.Embedder | None = None
        self._thread: threading.Thread | None = None  # while it computes
        self._open: dict[int, tuple[Future[Any], Callable[[Rows], Any]]] = {}
        self._closed = False

    @property
    def max_input_tokens(self) -> int:
        """Tokens of the longest input."""
        return self._native().max_input_tokens

    @property
    def n_seq_max(self) -> int:
        """Most inputs that are computed together."""
        return self._native().n_seq_max

    @property
    def memory(self) -> list[DeviceUse]:
        """What model and context take of each device; the last one is the host."""
        return uses_of(self._native().memory)

    @property
    def death(self) -> str:
        """Why it ended; empty while it lives."""
        return "" if self._made is None else self._made.death

    def embed(self, request: EmbedRequest) -> Future[Embeddings]:
        """Queue texts. Cancelling the future ends their computing after the batch that runs.

        Raises InvalidRequestError, PromptTooLongError, QueueFullError, EngineDeadError or, the first time,
        ModelLoadError; the future raises DecodeError (no finite values) or EngineDeadError.
        """
        native = self._native()
        if native.pooling == "rank":
            raise InvalidRequestError(
                f"{self._model.path} is a reranker: it ranks documents and does not embed", "model"
            )
        if isinstance(request.input, str) or not isinstance(request.input, Sequence):
            raise InvalidRequestError("input must be a list of texts and lists of token ids", "input")
        _check_range("dimensions", request.dimensions)
        tokens = [self._tokens(item) for item in request.input]
        dimensions = request.dimensions or native.width
        n_tokens = sum(map(len, tokens))

        def answer(rows: Rows) -> Embeddings:
            data = [array.tobytes() for array in rows]
            return Embeddings(data=data, dimensions=dimensions, pooling=native.pooling, prompt_tokens=n_tokens)

        if not tokens:
            return _finished(answer([]))
        return self._submit(native, tokens, answer, normalize=request.normalize, dimensions=request.dimensions)

    def rerank(self, request: RerankRequest) -> Future[Ranking]:
        """Queue documents. Cancelling and errors are those of `embed`; a model without a classification head for one
        score raises InvalidRequestError.
        """
        if self._model.pooling != "rank":
            raise InvalidRequestError(
                f"{self._model.path} has no classification head to rank documents with: load a reranker", "model"
            )
        native = self._native()
        softmax = self._model.architecture in _SOFTMAX_HEADS
        if native.pooling != "rank":
            raise InvalidRequestError(f"{self._model.path} was loaded with pooling {native.pooling}, not rank", "model")
        if native.width != 1 and not softmax:
            raise InvalidRequestError(
                f"{self._model.path} has a classification head of {native.width} labels, a reranker has one", "model"
            )
        if request.top_n is not None and request.top_n < 1:
            raise InvalidRequestError(f"top_n is {request.top_n}, it must be at least 1", "top_n")
        if not isinstance(request.documents, list) or not all(isinstance(text, str) for text in request.documents):
            raise InvalidRequestError("documents must be a list of texts", "documents")
        tokens = self._rerank_prompt.tokens(request.query, request.documents)
        n_tokens = sum(map(len, tokens))

        def answer(rows: Rows) -> Ranking:
            scores = [float(array[0, 0]) for array in rows]
            if not request.raw_scores and not softmax:
                scores = [_sigmoid(score) for score in scores]
            ranked = sorted(range(len(scores)), key=lambda index: -scores[index])
            results = [RankedDocument(index, scores[index]) for index in ranked[: request.top_n]]
            return Ranking(results=results, prompt_tokens=n_tokens)

        if not tokens:
            return _finished(answer([]))
        try:
            return self._submit(native, tokens, answer, normalize=False, dimensions=None)
        except InvalidRequestError as error:
            error.param = "documents"
            raise

    def prepare(self) -> None:
        """Make the native embedder now. Raises InvalidRequestError or ModelLoadError when the model cannot embed."""
        self._native()

    def close(self) -> None:
        """End what runs; open futures raise EngineDeadError. Idempotent."""
        with self._lock:
            self._closed = True
            native, thread = self._made, self._thread
        if native is not None:
            native.shutdown()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _native(self) -> _core.Embedder:
        with self._lock:
            if self._closed:
                raise EngineDeadError("the engine was closed")
            if self._made is None:
                self._made = _core.Embedder(self._model, self._context, self._params)
            return self._made

    def _tokens(self, item: str | list[int]) -> list[int]:
        if isinstance(item, str):
            return self._tokenizer.encode(item)
        if not isinstance(item, list) or not all(isinstance(token, int) for token in item):
            raise InvalidRequestError("input must be a list of texts and lists of token ids", "input")
        for token in (min(item), max(item)) if item else ():
            _check_range("input", token)
        return item

    def _submit(
        self,
        native: _core.Embedder,
        tokens: list[list[int]],
        answer: Callable[[Rows], Answer],
        *,
        normalize: bool,
        dimensions: int | None,
    ) -> Future[Answer]:
        future: Future[Answer] = Future()
        with self._lock:
            if self._closed:
                raise EngineDeadError("the engine was closed")
            job = native.add(tokens, normalize=normalize, dimensions=dimensions)
            self._open[job] = (future, answer)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, args=(native,), name="shimmy-embedder", daemon=True)
                self._thread.start()
        future.add_done_callback(lambda done: self._forget(native, job) if done.cancelled() else None)
        return future

    def _forget(self, native: _core.Embedder, job: int) -> None:
        native.cancel(job)
        with self._lock:
            self._open.pop(job, None)

    def _run(self, native: _core.Embedder) -> None:
        while True:
            try:
                outputs = native.step()
            except Exception:  # no memory for the outputs: nobody may wait for them for ever
                logger.exception("the embedder failed")
                native.shutdown()
                outputs = []
                self._fail_all(EngineDeadError(native.death))
            self._settle(native, outputs)
            with self._lock:
                if native.stats.jobs == 0:
                    self._thread = None
                    return

    def _fail_all(self, error: ShimmyError) -> None:
        with self._lock:
            futures = [future for future, _ in self._open.values()]
            self._open.clear()
        for future in futures:
            with contextlib.suppress(InvalidStateError):
                future.set_exception(error)

    def _settle(self, native: _core.Embedder, outputs: Iterable[_core.EmbedOutput]) -> None:
        for output in outputs:
            with self._lock:
                entry = self._open.pop(output.id, None)
            if entry is None:
                continue
            future, answer = entry
            with contextlib.suppress(InvalidStateError):  # cancelled meanwhile
                try:
                    if output.error:
                        raise EngineDeadError(output.error) if native.death else DecodeError(output.error)
                    future.set_result(answer(output.rows))
                except InvalidStateError:
                    raise
                except ShimmyError as error:
                    future.set_exception(error)
                except Exception as error:
                    logger.exception("an embedding was lost")
                    future.set_exception(ShimmyError(f"internal error: {type(error).__name__}: {error}"))


def _check_range(field: str, number: int | None) -> None:
    """The native integers have 32 bits; what they mean is checked there. Raises InvalidRequestError."""
    if number is not None and not (-(2**31) if field == "input" else 0) <= number < 2**31:
        raise InvalidRequestError(f"{field} holds {number}, which is out of range", field)


def _finished(answer: Answer) -> Future[Answer]:
    future: Future[Answer] = Future()
    future.set_result(answer)
    return future


def _sigmoid(logit: float) -> float:
    if logit >= 0:
        return 1 / (1 + math.exp(-logit))
    return math.exp(logit) / (1 + math.exp(logit))
