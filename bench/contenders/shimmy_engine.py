"""Our engine in this process, without a server: `shimmy.LLM`. The one place that knows its keyword arguments."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from contenders.target import Answer, Contender, NotSupportedError, OnToken, Request, Setup, Target
from process import Memory

if TYPE_CHECKING:
    from shimmy import LLM

MAX_STREAMS = 64


class EngineTarget(Target):
    """Each request reads its stream on a thread, as a program that uses LLM from threads does."""

    def __init__(self, name: str, spawned: float, ready: float, llm: LLM, speculation: bool | None) -> None:
        super().__init__(name, spawned, ready)
        self.llm = llm
        self._speculation = speculation
        self._memory = Memory(os.getpid())
        self._threads = ThreadPoolExecutor(MAX_STREAMS)

    async def generate(self, request: Request, on_token: OnToken | None = None) -> Answer:
        loop = asyncio.get_running_loop()

        def tell(pieces: int) -> None:
            if on_token is not None:
                loop.call_soon_threadsafe(on_token, pieces)

        return await loop.run_in_executor(self._threads, self._generate, request, tell)

    def options(self, request: Request) -> dict[str, Any]:
        """The keyword arguments of `LLM.stream` for a request."""
        from shimmy import GrammarSpec

        options: dict[str, Any] = {
            "max_tokens": request.max_tokens,
            "temperature": 0,
            "ignore_eos": request.ignore_eos,
        }
        if request.schema is not None:
            options["grammar"] = GrammarSpec(json_schema=request.schema)
        if self._speculation is not None:
            options["speculation"] = self._speculation
        if request.adapter is not None:
            options["lora"] = {request.adapter: 1.0}
        return options

    def _generate(self, request: Request, tell: OnToken) -> Answer:
        from shimmy import ChatPrompt, InvalidRequestError

        prompt: Any = ChatPrompt(messages=list(request.messages)) if request.messages else request.prompt
        times: list[float] = []
        texts: list[str] = []
        started = time.perf_counter()
        try:
            stream = self.llm.stream(prompt, **self.options(request))
        except (InvalidRequestError, TypeError) as error:
            if request.schema is not None or self._speculation is not None:
                raise NotSupportedError(f"shimmy refuses the request: {error}") from error
            raise
        with stream:
            for output in stream:
                if output.token_ids:
                    times.append(time.perf_counter())
                    tell(len(times))
                texts.append(output.text)
        usage = output.usage
        if usage is None:
            raise RuntimeError("the last output of a stream carries no usage")
        return Answer(
            started=started,
            ended=time.perf_counter(),
            times=times,
            text="".join(texts),
            prompt_tokens=usage.prompt_tokens,
            completion_tokens=usage.completion_tokens,
            cached_tokens=usage.cached_tokens,
            finish_reason=output.finish_reason or "",
            drafted=getattr(usage, "drafted_tokens", None),
            accepted=getattr(usage, "accepted_tokens", None),
            prefill_seconds=usage.prefill_seconds,
            decode_seconds=usage.decode_seconds,
        )

    async def embed(self, texts: Sequence[str]) -> list[list[float]]:
        loop = asyncio.get_running_loop()
        vectors = await loop.run_in_executor(self._threads, self.llm.embed, list(texts))
        return [vectors.floats(i) for i in range(len(texts))]

    def memory_mib(self) -> float:
        return self._memory.now()

    def peak_mib(self) -> float:
        return self._memory.peak()

    def close(self) -> None:
        self._memory.stop()
        self._threads.shutdown()


class ShimmyEngine(Contender):
    """`speculation` None leaves it to the setup; True and False ask for it per request."""

    def __init__(self, name: str = "shimmy engine", speculation: bool | None = None) -> None:
        self.name = name
        self._speculation = speculation

    @asynccontextmanager
    async def open(self, setup: Setup) -> AsyncIterator[EngineTarget]:
        spawned = time.perf_counter()
        from shimmy import LLM, LoadSpec

        adapters = {path.stem: str(path) for path in setup.adapters}
        context = {"n_ctx": setup.n_ctx, "n_threads": setup.threads}
        spec = LoadSpec(
            name="bench",
            path=str(setup.model),
            adapters=adapters,
            context=context,
            embedder={"pooling": "mean"},
        )
        with LLM(spec) as llm:
            speculation = self._speculation if setup.drafts else False
            target = EngineTarget(self.name, spawned, time.perf_counter(), llm, speculation)
            try:
                yield target
            finally:
                target.close()
