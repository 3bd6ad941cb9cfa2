"""The blocking API: one model in this process."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator, Sequence
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeAlias

from shimmy import _core
from shimmy.completion import Completion
from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.generation import Generation
from shimmy.loaded_model import LoadedModel, Progress
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import RequestOutput
from shimmy.placement import Placement
from shimmy.pump import Delivery, Pump
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.samples import MAX_SAMPLES, mean_logprob, nth_seed
from shimmy.session import Session

_Queue: TypeAlias = "SimpleQueue[RequestOutput | ShimmyError]"

_REQUEST_OPTIONS = frozenset(GenerateRequest.__struct_fields__) - {"request_id", "prompt", "sampling"}


class LLM:
    """A language model, loaded in this process::

        with LLM("model.gguf") as llm:
            print(llm.generate("Once upon a time", max_tokens=32).text)

    `model` is a GGUF file or a LoadSpec, which has everything that can be chosen. `placement` says which devices a file
    is put on (`Placement(gpu_layers="all")`). `progress` is called with 0.0 to 1.0 while loading. Threads may share an
    LLM: their requests are batched. Raises ModelLoadError, InvalidRequestError (options) or TemplateError.

    The generating methods take the fields of `GenerateRequest` and of `_core.SamplingParams` as keyword arguments and
    raise InvalidRequestError, PromptTooLongError, ModelNotFoundError (adapter), TemplateError or EngineDeadError.
    """

    def __init__(
        self, model: str | Path | LoadSpec, *, placement: Placement | None = None, progress: Progress | None = None
    ) -> None:
        spec = model if isinstance(model, LoadSpec) else LoadSpec(name=Path(model).stem, path=str(model))
        if placement is not None:
            if spec is model:
                raise InvalidRequestError(
                    "a LoadSpec says where it is put: give it the placement's options", "placement"
                )
            spec = placement.onto(spec)
        self._model = LoadedModel(spec, progress)
        self._pump: Pump[_Queue] = Pump(self._model, _deliver)
        self._ids = itertools.count(1)
        self._finalizer = weakref.finalize(self, self._pump.close)  # dropped, or still open when Python ends

    @property
    def info(self) -> ModelInfo:
        return self._model.info

    @property
    def tokenizer(self) -> _core.Tokenizer:
        return self._model.tokenizer

    @property
    def engine(self) -> _core.Engine:
        """The native engine. Raises InvalidRequestError for a model that cannot generate."""
        return self._model.generator()

    def session(
        self, tokens: list[int] | None = None, *, tenant: str = "", lora: dict[str, float] | None = None
    ) -> Session:
        """A list of tokens whose KV cells can be forked, cut, saved and shifted."""
        return Session(self, tokens, tenant=tenant, lora=lora)

    def stream(self, prompt: str | list[int] | ChatPrompt, **options: Any) -> OutputStream:
        """Yield what each step adds, until the output with a finish_reason. Closing the iterator cancels."""
        return OutputStream(self._pump, self._model.prepare(self._request(prompt, options)))

    def generate(self, prompt: str | list[int] | ChatPrompt, **options: Any) -> Completion:
        """The whole answer to a prompt."""
        return Completion.collect(self.stream(prompt, **options))

    def samples(
        self, prompt: str | list[int] | ChatPrompt, n: int, *, best_of: int | None = None, **options: Any
    ) -> list[Completion]:
        """`n` answers to a prompt that is computed once; a `seed` counts up from one to the next. With `best_of`, that
        many are made and those with the highest mean log-probability returned, the best first.
        """
        n_made = n if best_of is None else best_of
        if not 1 <= n <= n_made <= MAX_SAMPLES:
            raise InvalidRequestError(
                f"n is {n} and best_of {best_of}; 1 <= n <= best_of <= {MAX_SAMPLES} must hold", "n"
            )
        if best_of is not None and options.get("logprobs") is None:
            options = {**options, "logprobs": 0}
        seed = options.pop("seed", None)
        counts = isinstance(seed, int) and 0 <= seed < 2**32  # anything else is refused below
        if counts:
            streams = [self.stream(prompt, **options, seed=nth_seed(seed, i)) for i in range(n_made)]
        else:
            given = {} if seed is None else {"seed": seed}
            streams = [self.stream(prompt, **options, **given) for _ in range(n_made)]
        answers = [Completion.collect(stream) for stream in streams]
        if best_of is not None:
            answers.sort(key=lambda answer: mean_logprob(answer.logprobs), reverse=True)
        return answers[:n]

    def chat(
        self, messages: list[dict[str, Any]], *, tools: list[dict[str, Any]] | None = None, **options: Any
    ) -> Completion:
        """The whole answer to a conversation in OpenAI's shape, through the model's chat template."""
        return self.generate(ChatPrompt(messages=messages, tools=tools or []), **options)

    def embed(
        self, texts: str | Sequence[str | list[int]], *, dimensions: int | None = None, normalize: bool = True
    ) -> Embeddings:
        """An embedding for each text (or list of token ids); see `EmbedRequest`. Any model can, not rerankers.

        Raises InvalidRequestError, PromptTooLongError, QueueFullError, DecodeError (no finite values), ModelLoadError
        (no memory for it, at the first call) or EngineDeadError.
        """
        given = [texts] if isinstance(texts, str) else texts
        request = EmbedRequest(input=given, dimensions=dimensions, normalize=normalize)
        return self._model.embedder.embed(request).result()

    def rerank(
        self, query: str, documents: list[str], *, top_n: int | None = None, raw_scores: bool = False
    ) -> Ranking:
        """The documents in the order of their relevance to the query, best first; see `RankedDocument` for scores.

        Raises what `embed` raises; InvalidRequestError for a model that is no reranker.
        """
        request = RerankRequest(query=query, documents=documents, top_n=top_n, raw_scores=raw_scores)
        return self._model.embedder.rerank(request).result()

    def _request(self, prompt: str | list[int] | ChatPrompt, options: dict[str, Any]) -> GenerateRequest:
        own = {name: value for name, value in options.items() if name in _REQUEST_OPTIONS and value is not None}
        sampling = {name: value for name, value in options.items() if name not in _REQUEST_OPTIONS}
        return GenerateRequest(request_id=str(next(self._ids)), prompt=prompt, sampling=sampling, **own)

    def stats(self) -> EngineStats:
        return self._model.stats()

    def close(self) -> None:
        """Cancel what runs and free the model. Idempotent."""
        self._finalizer.detach()
        self._pump.close()

    def __enter__(self) -> LLM:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


class OutputStream(Iterator[RequestOutput]):
    """The outputs of one request, in order. Closing or dropping it before the last one cancels the request."""

    def __init__(self, pump: Pump[_Queue], generation: Generation) -> None:
        self._finished = True
        self._pump = pump
        self._queue: _Queue = SimpleQueue()
        self._engine_id = pump.submit(generation, self._queue)
        self._finished = False

    def __next__(self) -> RequestOutput:
        if self._finished:
            raise StopIteration
        item = self._queue.get()
        self._finished = isinstance(item, ShimmyError) or item.finished
        if isinstance(item, ShimmyError):
            raise item
        return item

    def close(self) -> None:
        """Cancel what still runs, within one step. Idempotent."""
        if not self._finished:
            self._finished = True
            self._pump.cancel(self._engine_id)

    def __enter__(self) -> OutputStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


def _deliver(delivery: Delivery[_Queue]) -> None:
    for queue, item in delivery:
        queue.put(item)
