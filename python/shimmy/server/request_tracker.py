"""The requests under way and those that ended lately, for whoever asks about them."""

from __future__ import annotations

import asyncio
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable
from functools import cached_property
from typing import Literal, TypeAlias

import msgspec

from shimmy.engine_client import OutputStream, PouringStream
from shimmy.errors import ShimmyError
from shimmy.models.continuation import Answer
from shimmy.output import RequestOutput, Usage
from shimmy.request import GenerateRequest
from shimmy.server import request_id as http_ids
from shimmy.server.errors import HttpError
from shimmy.server.metrics import ModelMetrics

State: TypeAlias = Literal["queued", "running", "finished", "cancelled", "failed"]

MAX_ENDED = 256
"""Requests that are remembered after their end."""
MAX_BYTES = 64 * 1024 * 1024
"""Of all of these, as JSON."""


class TrackedRequest:
    """One request, its answer so far, and the stream that it comes from."""

    def __init__(
        self, model: str, request: GenerateRequest, metrics: ModelMetrics, known: Answer | None = None
    ) -> None:
        """`known`: what of the answer is not told here, but was by the request that this one goes on from."""
        self._known = known
        self.model = model
        self.request = request
        self.engine: str | None = None
        """The name of the one that answers, which other models may share."""
        self.http_id = http_ids.current.get()
        """Of the HTTP request that it is a part of; None on a WebSocket."""
        self.state: State = "queued"
        self.created = time.time()
        self.ended: float | None = None
        self._texts: list[str] = []
        self._thoughts: list[str] = []
        self.token_ids: list[int] = []
        self._marks: list[tuple[int, int, int]] = []
        """After each output: tokens, and characters of text and of reasoning."""
        self._usage = Usage()
        self.finish_reason: str | None = None
        self.error: str | None = None
        self.done = asyncio.Event()
        self._cancelled = False
        self._stream: OutputStream | None = None
        self._metrics = metrics
        self._last = time.perf_counter()
        self.first_output: float | None = None
        """When it came, as time.perf_counter tells it."""

    @property
    def id(self) -> str:
        return self.request.request_id

    @property
    def text(self) -> str:
        return "".join(self._texts)

    @property
    def reasoning(self) -> str:
        return "".join(self._thoughts)

    @property
    def usage(self) -> Usage:
        """What the engine counted last. It counts an answer at its end, so before that, and when nobody waited for it,
        the tokens are those that came.
        """
        if self.finish_reason is not None:
            return self._usage
        return msgspec.structs.replace(self._usage, completion_tokens=len(self.token_ids))

    @cached_property
    def size(self) -> int:
        """In bytes as JSON; asked for once it has ended."""
        return len(msgspec.json.encode([self.request, self.text, self.reasoning, self.token_ids]))

    @property
    def open(self) -> bool:
        return self.ended is None

    def answer(self, n_tokens: int | None = None) -> Answer:
        """What has come of it so far, or of its first `n_tokens` with the text that had come with these; behind what
        was known before it began.
        """
        known = self._known or Answer(self.request)
        answer = Answer(self.request)
        if n_tokens is None:
            text, reasoning, usage = self.text, self.reasoning, self.usage
        else:
            at = bisect_right(self._marks, n_tokens, key=lambda mark: mark[0])
            _, n_text, n_reasoning = self._marks[at - 1] if at else (0, 0, 0)
            text, reasoning, usage = self.text[:n_text], self.reasoning[:n_reasoning], None
        told = RequestOutput(
            request_id=self.id,
            text="".join(known.texts) + text,
            reasoning="".join(known.thoughts) + reasoning,
            token_ids=[*known.token_ids, *self.token_ids[:n_tokens]],
            usage=usage,
        )
        answer.note(told)
        return answer

    def attach(self, stream: OutputStream) -> WatchedStream:
        """Its answer comes from there now. A second one goes on where the first one is; both count as one request."""
        self._stream = stream
        if self._cancelled:
            stream.cancel()
        return WatchedStream(self, stream)

    def cancel(self) -> None:
        """End it within one step; what came so far is kept. Nothing when it has ended."""
        self._cancelled = True
        if self.open and self._stream is not None:
            self._stream.cancel()

    def take(self, output: RequestOutput) -> None:
        now = time.perf_counter()
        histogram = self._metrics.first_token if self.state == "queued" else self._metrics.between_outputs
        histogram.observe(now - self._last)
        self._last = now
        self.first_output = self.first_output or now
        self.state = "running"
        if output.text:
            self._texts.append(output.text)
        if output.reasoning:
            self._thoughts.append(output.reasoning)
        self.token_ids += output.token_ids
        _, n_text, n_reasoning = self._marks[-1] if self._marks else (0, 0, 0)
        self._marks.append((len(self.token_ids), n_text + len(output.text), n_reasoning + len(output.reasoning)))
        self._usage = output.usage or self._usage
        if output.finish_reason is not None:
            self.finish_reason = output.finish_reason
            self._end("cancelled" if output.finish_reason == "cancelled" else "finished", output.finish_reason)

    def fail(self, error: ShimmyError) -> None:
        self.error = error.message
        self._end("failed", "error")

    def left(self, stream: OutputStream) -> None:
        """The reader of that stream is gone, which ends what still ran, unless the answer comes from another now."""
        if self.open and self._stream in (None, stream):
            self._end("cancelled", "cancelled")

    def _end(self, state: State, outcome: str) -> None:
        if self.open:
            self.state = state
            self.ended = time.time()
            self._stream = None
            self._metrics.finished(outcome, self.usage)
            self.done.set()


class WatchedStream:
    """An `OutputStream` that tells the tracker what passes."""

    def __init__(self, tracked: TrackedRequest, stream: OutputStream) -> None:
        self._tracked = tracked
        self._stream = stream

    def cancel(self) -> None:
        self._stream.cancel()

    def __aiter__(self) -> WatchedStream:
        return self

    async def __anext__(self) -> RequestOutput:
        try:
            output = await self._stream.__anext__()
        except ShimmyError as error:
            self._tracked.fail(error)
            raise
        except StopAsyncIteration:
            if self._tracked.finish_reason is None:
                cut_off = ShimmyError("the engine ended the answer without a finish reason")
                self._tracked.fail(cut_off)
                raise cut_off from None
            raise
        self._tracked.take(output)
        return output

    async def pour(self, take: Callable[[RequestOutput], bool]) -> None:
        def took(output: RequestOutput) -> bool:
            taken = take(output)
            if taken:
                self._tracked.take(output)
            return taken

        if isinstance(self._stream, PouringStream):
            await self._stream.pour(took)


class RequestTracker:
    """By id, in the order of their arrival."""

    def __init__(self) -> None:
        self._requests: OrderedDict[str, TrackedRequest] = OrderedDict()

    def add(self, tracked: TrackedRequest) -> None:
        self._requests[tracked.id] = tracked
        ended = [one for one in self._requests.values() if not one.open]
        n_bytes = sum(one.size for one in ended)
        for number, oldest in enumerate(ended):
            if len(ended) - number <= MAX_ENDED and n_bytes <= MAX_BYTES:
                break
            n_bytes -= oldest.size
            del self._requests[oldest.id]

    def drop(self, tracked: TrackedRequest) -> None:
        """Forget one that its engine refused."""
        self._requests.pop(tracked.id, None)

    def all(self) -> list[TrackedRequest]:
        return list(self._requests.values())

    def get(self, request_id: str) -> TrackedRequest:
        """HttpError 404 for one that is not there (any more)."""
        if request_id not in self._requests:
            raise self.unknown(request_id)
        return self._requests[request_id]

    def answering(self, engine: str) -> list[TrackedRequest]:
        """Those whose answers have begun there and have not ended, the oldest first."""
        return [one for one in self._requests.values() if one.state == "running" and one.engine == engine]

    @staticmethod
    def unknown(request_id: str) -> HttpError:
        return HttpError(404, f"request {request_id!r} was not found: unknown, or ended long ago", "request_not_found")

    def position(self, tracked: TrackedRequest) -> int | None:
        """How many requests of its model wait before it; None when it does not wait."""
        if tracked.state != "queued":
            return None
        waiting = [one for one in self._requests.values() if one.state == "queued" and one.model == tracked.model]
        return waiting.index(tracked)
