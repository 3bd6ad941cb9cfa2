"""A streaming HTTP client that does little while tokens arrive: it keeps their times, and reads the JSON after."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import httpx

from sse import SseParser


class HttpError(Exception):
    """An answer that is not 200, or an error inside a stream."""

    def __init__(self, status: int, body: str) -> None:
        super().__init__(f"HTTP {status}: {body[:300]}")
        self.status = status


@dataclass(frozen=True)
class Events:
    """The data of each server-sent event with its time of arrival, without the final [DONE]."""

    started: float
    ended: float
    events: list[tuple[float, str]]


class StreamingClient:
    """Keeps its connections open between requests; as many at once as are asked for."""

    def __init__(self, base_url: str) -> None:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=None)
        self._client = httpx.AsyncClient(base_url=base_url, timeout=httpx.Timeout(600, connect=10), limits=limits)

    async def __aenter__(self) -> StreamingClient:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._client.aclose()

    async def get(self, path: str) -> Any:
        """The JSON at `path`. Raises HttpError."""
        return _checked(await self._client.get(path))

    async def post(self, path: str, body: dict[str, Any]) -> Any:
        """The JSON that answers `body`. Raises HttpError."""
        return _checked(await self._client.post(path, json=body))

    async def stream(self, path: str, body: dict[str, Any], on_event: Callable[[int], None] | None = None) -> Events:
        """Everything that a streamed answer sent; `on_event` gets the number of events so far. Raises HttpError.

        A kept connection that the server closed meanwhile is replaced once, within the time that is measured.
        """
        started = time.perf_counter()
        try:
            events = await self._receive(path, body, on_event)
        except httpx.RemoteProtocolError as error:
            if "without sending a response" not in str(error):
                raise
            events = await self._receive(path, body, on_event)
        ended = time.perf_counter()
        return Events(started, ended, [event for event in events if event[1] != "[DONE]"])

    async def _receive(
        self, path: str, body: dict[str, Any], on_event: Callable[[int], None] | None
    ) -> list[tuple[float, str]]:
        parser = SseParser()
        events: list[tuple[float, str]] = []
        async with self._client.stream("POST", path, json=body) as response:
            if response.status_code != 200:
                raise HttpError(response.status_code, (await response.aread()).decode("utf-8", "replace"))
            async for chunk in response.aiter_raw():
                now = time.perf_counter()
                events += [(now, data) for data in parser.feed(chunk)]
                if on_event is not None:
                    on_event(len(events))
        return events


@dataclass(frozen=True)
class Streamed:
    """An OpenAI stream, chat or completion, read."""

    times: list[float]
    """When each event with text (content, reasoning or the arguments of a tool call) arrived."""
    text: str
    finish_reason: str
    usage: dict[str, Any]
    timings: dict[str, Any]
    """llama-server's own field; empty elsewhere."""


def read_openai(events: Events) -> Streamed:
    """Raises HttpError for an error inside the stream."""
    times: list[float] = []
    texts: list[str] = []
    finish_reason = ""
    usage: dict[str, Any] = {}
    timings: dict[str, Any] = {}
    for moment, data in events.events:
        chunk = json.loads(data)
        if "error" in chunk:
            raise HttpError(int(chunk["error"].get("code") or 500) if isinstance(chunk["error"], dict) else 500, data)
        for choice in chunk.get("choices") or ():
            text = _text_of(choice)
            if text:
                times.append(moment)
                texts.append(text)
            finish_reason = choice.get("finish_reason") or finish_reason
        usage = chunk.get("usage") or usage
        timings = chunk.get("timings") or timings
    return Streamed(times, "".join(texts), finish_reason, usage, timings)


def _text_of(choice: dict[str, Any]) -> str:
    if "text" in choice:
        return choice["text"] or ""
    delta = choice.get("delta") or {}
    calls = "".join((call.get("function") or {}).get("arguments") or "" for call in delta.get("tool_calls") or ())
    return (delta.get("content") or "") + (delta.get("reasoning_content") or "") + calls


def _checked(response: httpx.Response) -> Any:
    if response.status_code != 200:
        raise HttpError(response.status_code, response.text)
    return response.json()
