"""The one interface of a loaded model: `AsyncEngine` implements it in process, `runner.RunnerClient` over a pipe."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from typing import Protocol, runtime_checkable

from shimmy.embedding import Embeddings, EmbedRequest, Ranking, RerankRequest
from shimmy.model_info import EngineStats, ModelInfo
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest


class OutputStream(Protocol):
    """An asynchronous iterator of the outputs of one request, up to the one with `finish_reason`."""

    def __aiter__(self) -> AsyncIterator[RequestOutput]: ...

    async def __anext__(self) -> RequestOutput: ...

    def cancel(self) -> None:
        """End the request within one step: its last output says "cancelled", with the usage so far. Idempotent."""
        ...


@runtime_checkable
class PouringStream(OutputStream, Protocol):
    """One that also gives outputs to a function, which costs less than to iterate."""

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        """Call `take` with each output as it comes, until it says no, which leaves that output here, or there are none
        left. May return before that: whoever wants the next output iterates, and may pour again then. What ended the
        outputs is raised by iterating; this raises what `take` does.
        """
        ...


class EngineClient(Protocol):
    """A loaded model that serves many requests at once, on one event loop."""

    @property
    def info(self) -> ModelInfo: ...

    @property
    def pid(self) -> int:
        """Process id of where it runs."""
        ...

    @property
    def alive(self) -> bool:
        """False once the engine or its process ended; then every call raises EngineDeadError."""
        ...

    def stream(self, request: GenerateRequest) -> AbstractAsyncContextManager[OutputStream]:
        """Run one request. Entering returns once it was accepted: InvalidRequestError, PromptTooLongError,
        TemplateError, ModelNotFoundError (adapter), QueueFullError and EngineDeadError are raised there. Iterating
        yields outputs until the one with `finish_reason`; it raises EngineDeadError if the engine dies meanwhile.
        Leaving the block cancels what still runs, within one step.
        """
        ...

    async def tokenize(
        self, prompt: str | ChatPrompt, *, add_special: bool = True, parse_special: bool = True
    ) -> list[int]:
        """Token ids of a text; of a conversation, those that a request for it begins with (and the options say
        nothing). Raises InvalidRequestError and TemplateError.
        """
        ...

    async def detokenize(self, tokens: list[int]) -> str: ...

    async def pieces(self, tokens: list[int]) -> list[bytes]:
        """The bytes of each token, control tokens by their names. InvalidRequestError for one out of the vocabulary."""
        ...

    async def render_chat(self, prompt: ChatPrompt) -> str:
        """The text that the chat template makes of a conversation."""
        ...

    async def embed(self, request: EmbedRequest) -> Embeddings:
        """Embed texts, batched with those of other requests. Raises InvalidRequestError, PromptTooLongError,
        QueueFullError, DecodeError (no finite values), ModelLoadError (no memory for it) and EngineDeadError. Being
        cancelled ends the computing after the batch that runs.
        """
        ...

    async def rerank(self, request: RerankRequest) -> Ranking:
        """Put documents in the order of their relevance. Raises as `embed`; InvalidRequestError for a model that is no
        reranker.
        """
        ...

    async def load_adapter(self, name: str, path: str) -> None:
        """Load a LoRA adapter from a file, or replace the one of that name for later requests; those that run keep
        theirs. Raises ModelLoadError (the file, or another base model), InvalidRequestError (a model that only embeds)
        and EngineDeadError.
        """
        ...

    async def unload_adapter(self, name: str) -> None:
        """Forget an adapter; requests that use it finish with it. Raises ModelNotFoundError and EngineDeadError."""
        ...

    async def stats(self) -> EngineStats: ...

    async def close(self) -> None:
        """Cancel what runs and free the model. Idempotent."""
        ...
