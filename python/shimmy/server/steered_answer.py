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
    which it finds in the prefix cache, and then leaves the first. To everyone else they are one.
    """

    def __init__(self, backend: Backend, model: str, request: GenerateRequest) -> None:
        self._backend = backend
        self._model = model
        self._request = request
        self._stack = AsyncExitStack()
        self._wanted: float | None = None
        self.changes: list[tuple[int, float]] = []
        """After how many tokens the temperature became which."""

    @property
    def usage(self) -> Usage:
        """What is counted so far."""
        return self._tracked.usage

    def stop(self) -> None:
        """End it within one step, by an output that says so."""
        self._tracked.cancel()

    async def __aenter__(self) -> SteeredAnswer:
        try:
            running = await self._backend.open(self._model, [self._request], self._stack, NATIVE_DEFAULTS)
        except BaseException:
            await self._stack.aclose()
            raise
        (self._stream,) = running.streams
        self._tracked = self._backend.tracker.get(self._request.request_id)
        self._request = self._tracked.request  # with all defaults
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> SteeredAnswer:
        return self

    async def __anext__(self) -> RequestOutput:
        return await anext(self._stream)

    def want(self, temperature: float) -> None:
        """From the next `steer` on; it replaces one that is still wanted."""
        self._wanted = temperature

    async def steer(self) -> None:
        """Go on with the temperature that is wanted, if one is; before the first token, behind one of the next outputs.

        InvalidRequestError for one that is out of range, and for an answer that has ended. Whatever it raises, the
        answer goes on as before.
        """
        if self._wanted is None:
            return
        n_tokens = len(self._tracked.token_ids)
        if self._tracked.open and n_tokens in (0, self._request.max_tokens):
            return
        temperature, self._wanted = self._wanted, None
        if not self._tracked.open:
            raise _refused("the answer has ended")
        await self._go_on(self._continued(temperature))
        self.changes.append((n_tokens, temperature))

    def _continued(self, temperature: float) -> GenerateRequest:
        request = self._tracked.answer().rest()
        return msgspec.structs.replace(
            request,
            request_id=f"{request.request_id}-{len(self.changes) + 1}",
            sampling={**request.sampling, "temperature": temperature},
        )

    async def _go_on(self, request: GenerateRequest) -> None:
        """Start it before the one that runs is left, so that nobody evicts the prefix between them."""
        stack = AsyncExitStack()
        try:
            self._stream = await self._backend.go_on(self._tracked, request, stack)
        except BaseException:
            await stack.aclose()
            raise
        before, self._stack = self._stack, stack
        await before.aclose()


def _refused(why: str) -> InvalidRequestError:
    return InvalidRequestError(f"the temperature cannot change here: {why}", "temperature")
