"""The blocking API: one model in this process."""

from __future__ import annotations

import itertools
import weakref
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, TypeAlias

from shimmy import _core
from shimmy.completion import Completion
from shimmy.errors import ShimmyError
from shimmy.generation import Generation
from shimmy.loaded_model import LoadedModel, Progress
from shimmy.model_info import EngineStats, LoadSpec, ModelInfo
from shimmy.output import RequestOutput
from shimmy.pump import Delivery, Pump
from shimmy.request import ChatPrompt, GenerateRequest

_Queue: TypeAlias = "SimpleQueue[RequestOutput | ShimmyError]"


class LLM:
    """A language model, loaded in this process::

        with LLM("model.gguf") as llm:
            print(llm.generate("Once upon a time", max_tokens=32).text)

    `model` is a GGUF file or a LoadSpec. `progress` is called with 0.0 to 1.0 while loading. Threads may share an LLM:
    their requests are batched. Raises ModelLoadError, InvalidRequestError (options) or TemplateError.

    The generating methods take the fields of `_core.SamplingParams` as keyword arguments and raise InvalidRequestError,
    PromptTooLongError, ModelNotFoundError (adapter), TemplateError or EngineDeadError.
    """

    def __init__(self, model: str | Path | LoadSpec, *, progress: Progress | None = None) -> None:
        spec = model if isinstance(model, LoadSpec) else LoadSpec(name=Path(model).stem, path=str(model))
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

    def stream(
        self,
        prompt: str | list[int] | ChatPrompt,
        *,
        max_tokens: int | None = None,
        stop: list[str] | None = None,
        stop_token_ids: list[int] | None = None,
        ignore_eos: bool = False,
        logprobs: int | None = None,
        lora: dict[str, float] | None = None,
        **sampling: Any,
    ) -> OutputStream:
        """Yield what each step adds, until the output with a finish_reason. Closing the iterator cancels."""
        request = GenerateRequest(
            request_id=str(next(self._ids)),
            prompt=prompt,
            sampling=sampling,
            max_tokens=max_tokens,
            stop=stop or [],
            stop_token_ids=stop_token_ids or [],
            ignore_eos=ignore_eos,
            logprobs=logprobs,
            lora=lora or {},
        )
        return OutputStream(self._pump, self._model.prepare(request))

    def generate(self, prompt: str | list[int] | ChatPrompt, **options: Any) -> Completion:
        """The whole answer to a prompt. Options are those of `stream`."""
        return Completion.collect(self.stream(prompt, **options))

    def chat(
        self, messages: list[dict[str, Any]], *, tools: list[dict[str, Any]] | None = None, **options: Any
    ) -> Completion:
        """The whole answer to a conversation in OpenAI's shape, through the model's chat template."""
        return self.generate(ChatPrompt(messages=messages, tools=tools or []), **options)

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
