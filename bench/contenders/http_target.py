"""A server that speaks OpenAI's API over HTTP, and the differences between dialects."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from client import HttpError, StreamingClient, read_openai
from contenders.target import Answer, NotSupportedError, OnToken, Request, Setup, Target
from process import Memory, Process, free_port
from raw_client import RawClient

Lora = Callable[[str], Any]
"""The value of the body's `lora` for an adapter's name."""

# What servers answer to fields and paths that they do not know.
_NOT_SUPPORTED = {400, 404, 405, 422, 501}


class HttpTarget(Target):
    """Asks by streamed completions and chats."""

    def __init__(
        self,
        name: str,
        process: Process,
        ready: float,
        client: StreamingClient,
        raw: RawClient,
        model: str,
        lora: Lora | None,
        fields: Mapping[str, Any],
    ) -> None:
        super().__init__(name, process.spawned, ready)
        self._memory: Memory = process.memory
        self._client = client
        self._raw = raw
        self._model = model
        self._lora = lora
        self._fields = fields

    async def generate(self, request: Request, on_token: OnToken | None = None) -> Answer:
        body: dict[str, Any] = {
            "model": self._model,
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "stream": True,
            "stream_options": {"include_usage": True},
            **self._fields,
        }
        if request.ignore_eos:
            body["ignore_eos"] = True
        if request.messages:
            path, body["messages"] = "/v1/chat/completions", list(request.messages)
        else:
            path, body["prompt"] = "/v1/completions", request.prompt
        if request.schema is not None:
            schema = {"name": "document", "schema": request.schema, "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": schema}
        if request.adapter is not None:
            if self._lora is None:
                raise NotSupportedError(f"{self.name} takes no LoRA adapter per request")
            body["lora"] = self._lora(request.adapter)
        try:
            if on_token is None:
                events = await self._raw.stream(path, body)
            else:
                events = await self._client.stream(path, body, on_token)
        except HttpError as error:
            if error.status in _NOT_SUPPORTED:
                raise NotSupportedError(str(error)) from error
            raise
        read = read_openai(events)
        # Servers that stream no usage send one event per token.
        completion = int(read.usage.get("completion_tokens", len(read.times)))
        cached = (read.usage.get("prompt_tokens_details") or {}).get("cached_tokens", read.timings.get("cache_n", 0))
        return Answer(
            started=events.started,
            ended=events.ended,
            times=read.times,
            text=read.text,
            prompt_tokens=int(read.usage.get("prompt_tokens", 0)),
            completion_tokens=completion,
            cached_tokens=int(cached or 0),
            finish_reason=read.finish_reason,
            drafted=read.timings.get("draft_n"),
            accepted=read.timings.get("draft_n_accepted"),
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        try:
            answer = await self._client.post("/v1/embeddings", {"model": self._model, "input": list(texts)})
        except HttpError as error:
            if error.status in _NOT_SUPPORTED:
                raise NotSupportedError(str(error)) from error
            raise
        return [row["embedding"] for row in answer["data"]]

    def memory_mib(self) -> float:
        return self._memory.now()

    def peak_mib(self) -> float:
        return self._memory.peak()


@asynccontextmanager
async def open_server(
    name: str,
    setup: Setup,
    command: Callable[[int], list[str]],
    *,
    health: str = "/health",
    environ: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    lora: Lora | None = None,
    fields: Mapping[str, Any] | None = None,
) -> AsyncIterator[HttpTarget]:
    """Start `command` of a free port, wait until `health` answers 200, and end it when the block ends. `fields` go into
    every body of a generation."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with Process(command(port), setup.log, environ, cwd) as process:
        ready = process.wait_ready(url + health)
        async with StreamingClient(url) as client, RawClient(port) as raw:
            models = await client.get("/v1/models")
            yield HttpTarget(name, process, ready, client, raw, models["data"][0]["id"], lora, fields or {})
