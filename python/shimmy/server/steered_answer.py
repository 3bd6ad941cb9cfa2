"""An answer whose temperature changes while it is made."""

from __future__ import annotations

from contextlib import AsyncExitStack
from types import TracebackType

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.output import RequestOutput, Usage
from shimmy.request import GenerateRequest
from shimmy.server.backend import Backend
from shimmy.server.schemas.native import NATIVE_DEFAULTS


class SteeredAnswer:
    """The outputs of one request, and of those that go on from it.

    An engine's request keeps its sampling. A change therefore starts another request from the tokens so far, all of
    which it finds in the prefix cache, and then leaves the first. Together they count as one in the last usage.
    """

    def __init__(self, backend: Backend, model: str, request: GenerateRequest) -> None:
        self._backend = backend
        self._model = model
        self._request = request
        self._stack = AsyncExitStack()
        self._tokens: list[int] = []
        self._text = ""
        self._reasoned = False
        self._n_kept = 0  # tokens of the requests before the one that runs
        self._first = Usage()
        self.changes: list[tuple[int, float]] = []
        """After how many tokens the temperature became which."""

    @property
    def n_tokens(self) -> int:
        return len(self._tokens)

    async def __aenter__(self) -> SteeredAnswer:
        await self._go_on(self._request)
        self._request = self._backend.completed(self._model, self._request, NATIVE_DEFAULTS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> SteeredAnswer:
        return self

    async def __anext__(self) -> RequestOutput:
        output = await anext(self._stream)
        self._tokens += output.token_ids
        self._text += output.text
        self._reasoned = self._reasoned or bool(output.reasoning)
        if output.usage is None:
            return output
        if not self.changes:
            self._first = output.usage
            return output
        usage = msgspec.structs.replace(
            output.usage,
            prompt_tokens=self._first.prompt_tokens,
            cached_tokens=self._first.cached_tokens,
            completion_tokens=self._n_kept + output.usage.completion_tokens,
        )
        return msgspec.structs.replace(output, usage=usage)

    async def set_temperature(self, temperature: float) -> bool:
        """Go on with another one. False while the text of the last token is not complete: ask again after the next.

        InvalidRequestError for one that is out of range, and for answers that cannot be gone on with: of a grammar,
        and after reasoning. Whatever it raises, the answer goes on as before.
        """
        if self._request.grammar is not None:
            raise InvalidRequestError(
                "the temperature cannot change here: the answer follows a grammar, which cannot begin in its middle",
                "temperature",
            )
        if self._reasoned:
            raise InvalidRequestError("the temperature cannot change here: the model has reasoned", "temperature")
        kept, limit = len(self._tokens), self._request.max_tokens
        if kept == 0 or kept == limit or (await self._client.detokenize(self._tokens)).lstrip() != self._text.lstrip():
            return False
        prompt = self._request.prompt
        before = prompt if isinstance(prompt, list) else await self._client.tokenize(prompt)
        await self._go_on(
            msgspec.structs.replace(
                self._request,
                request_id=f"{self._request.request_id}-{len(self.changes) + 1}",
                prompt=[*before, *self._tokens],
                sampling={**self._request.sampling, "temperature": temperature},
                max_tokens=None if limit is None else limit - kept,
                min_tokens=max(0, self._request.min_tokens - kept),
            )
        )
        self._n_kept = kept
        self.changes.append((kept, temperature))
        return True

    async def _go_on(self, request: GenerateRequest) -> None:
        """Start it before the one that runs is left, so that nobody evicts the prefix between them."""
        stack = AsyncExitStack()
        try:
            running = await self._backend.open(self._model, [request], stack, NATIVE_DEFAULTS)
        except BaseException:
            await stack.aclose()
            raise
        before, self._stack = self._stack, stack
        self._client = running.client
        (self._stream,) = running.streams
        await before.aclose()
