"""From a decoded request to a running stream."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing
from typing import NamedTuple, TypeVar

from shimmy.engine_client import PouringStream
from shimmy.errors import InvalidRequestError, ShimmyError
from shimmy.models.virtual_names import answering
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner.merge import merge_outputs
from shimmy.server.schemas.generation import GenerationFields
from shimmy.server.structure import grammar_of

Item = TypeVar("Item")


class Identity(NamedTuple):
    """What every part of one answer says about it."""

    id: str
    created: int
    """Unix time in seconds."""
    model: str
    system_fingerprint: str

    @classmethod
    def new(cls, prefix: str, model: str, version: str) -> Identity:
        return cls(f"{prefix}-{secrets.token_hex(12)}", int(time.time()), model, f"shimmy-{version}")

    def answered(self) -> Identity:
        """With the model that a virtual name turned out to mean."""
        return self._replace(model=answering(self.model))


def generate_request(
    request_id: str,
    fields: GenerationFields,
    prompt: str | list[int] | ChatPrompt,
    *,
    max_tokens: int | None,
    logprobs: int | None = None,
    prompt_logprobs: int | None = None,
) -> GenerateRequest:
    """What the client said; `Backend.open` completes it."""
    min_tokens = fields.min_tokens or 0
    if max_tokens is not None and min_tokens > max_tokens:
        raise InvalidRequestError(f"min_tokens is {min_tokens}, more than max_tokens, {max_tokens}", "min_tokens")
    return GenerateRequest(
        request_id=request_id,
        prompt=prompt,
        sampling=fields.sampling(),
        max_tokens=max_tokens,
        min_tokens=min_tokens,
        stop=fields.stop_strings(),
        stop_token_ids=fields.stop_token_ids or [],
        ignore_eos=bool(fields.ignore_eos),
        banned_strings=fields.banned(),
        logprobs=logprobs,
        prompt_logprobs=prompt_logprobs,
        grammar=grammar_of(fields),
        speculation=fields.speculation is not False,
        context_policy=fields.policy(),
        n_keep=fields.kept(),
        cache_diagnostics=bool(fields.cache_diagnostics),
        lora=fields.adapters(),
        priority=fields.priority or 0,
    )


def whole(outputs: Sequence[RequestOutput]) -> RequestOutput:
    """All outputs of one request as one."""
    if not outputs or not outputs[-1].finished:
        raise _cut_off()
    return merge_outputs(outputs)


async def collect(stream: AsyncIterator[RequestOutput]) -> RequestOutput:
    """The whole answer of one request."""
    return whole([output async for output in stream])


async def collect_all(streams: Sequence[AsyncIterator[RequestOutput]]) -> list[RequestOutput]:
    """The whole answers of requests that run at the same time; the first error ends all of them."""
    parts: list[list[RequestOutput]] = [[] for _ in streams]
    async with aclosing(interleave(streams)) as outputs:
        async for index, output in outputs:
            parts[index].append(output)
    return [whole(part) for part in parts]


async def parts_of(
    items: AsyncIterator[Item], write: Callable[[Item], bytes], last: bytes = b""
) -> AsyncGenerator[bytes, None]:
    """What `write` makes of each item, without what is empty, then `last`. ShimmyError when there is no item."""
    begun = False
    try:
        async for item in items:
            begun = True
            if part := write(item):
                yield part
        if not begun:
            raise _cut_off()
        if last:
            yield last
    finally:
        if isinstance(items, AsyncGenerator):  # what it waits for ends with the answer
            await items.aclose()


class OutputParts:
    """`parts_of` the outputs of one request. Between two of them the next ones may be poured."""

    def __init__(
        self, outputs: AsyncIterator[RequestOutput], write: Callable[[RequestOutput], bytes], last: bytes = b""
    ) -> None:
        self._outputs = outputs if isinstance(outputs, PouringStream) else None
        self._write = write
        self._parts = parts_of(outputs, write, last)

    def __aiter__(self) -> OutputParts:
        return self

    async def __anext__(self) -> bytes:
        return await self._parts.__anext__()

    async def pour(self, is_open: Callable[[], bool], send: Callable[[bytes], None]) -> None:
        """Have parts sent as they come, for as long as it `is_open`; then, and at the end, go on iterating."""

        def take(output: RequestOutput) -> bool:
            if not is_open():
                return False
            if part := self._write(output):
                send(part)
            return True

        if self._outputs is not None:
            await self._outputs.pour(take)

    async def aclose(self) -> None:
        await self._parts.aclose()


async def interleave(
    streams: Sequence[AsyncIterator[RequestOutput]],
) -> AsyncGenerator[tuple[int, RequestOutput], None]:
    """Outputs of several streams as they come, each with the number of its stream. ShimmyError when one of them ends
    without a finish reason.
    """
    if len(streams) == 1:
        finished = False
        async for output in streams[0]:
            finished = output.finished
            yield 0, output
        if not finished:
            raise _cut_off()
        return
    waiting = {asyncio.ensure_future(_next(stream)): number for number, stream in enumerate(streams)}
    try:
        while waiting:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: waiting[task]):
                number = waiting.pop(task)
                taken = task.result()
                if taken is None:
                    raise _cut_off()
                if not taken.finished:
                    waiting[asyncio.ensure_future(_next(streams[number]))] = number
                yield number, taken
    finally:
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)


async def _next(stream: AsyncIterator[RequestOutput]) -> RequestOutput | None:
    try:
        return await stream.__anext__()
    except StopAsyncIteration:
        return None


def _cut_off() -> ShimmyError:
    return ShimmyError("the engine ended the answer without a finish reason")
