"""Engines under a supervisor that die when a test says so."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

from scripted_engine import ScriptedEngine, Step

from shimmy.errors import EngineDeadError
from shimmy.model_info import LoadSpec
from shimmy.models.supervisor import Progress, Supervisor
from shimmy.output import RequestOutput, TokenLogprob, Usage
from shimmy.request import GenerateRequest

POETRY = ["Once ", "upon ", "a ", "time ", "there ", "was ", "a ", "fox."]


class Lives:
    """Starts engines that run `script(request, life)`; `errors` are raised by the next starts."""

    def __init__(self, script: Callable[[GenerateRequest, int], Iterator[Step]]) -> None:
        self.engines: list[ScriptedEngine] = []
        self.errors: list[Exception] = []
        self.started = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()
        self._script = script

    async def __call__(self, spec: LoadSpec, progress: Progress | None) -> ScriptedEngine:
        await self.gate.wait()
        if self.errors:
            raise self.errors.pop(0)
        life = len(self.engines)
        self.engines.append(ScriptedEngine(spec.name, lambda request: self._script(request, life)))
        async with self.started:
            self.started.notify_all()
        return self.engines[-1]

    async def until(self, n: int) -> None:
        """So many were started, and requests have come to the last."""
        async with self.started:
            await self.started.wait_for(lambda: len(self.engines) == n)
        await asyncio.sleep(0.02)


def supervised(
    script: Callable[[GenerateRequest, int], Iterator[Step]], test: Callable[[Supervisor, Lives], Awaitable[None]]
) -> None:
    async def body() -> None:
        lives = Lives(script)
        supervisor = await Supervisor.start(LoadSpec(name="m", path="m.gguf"), lives)
        await asyncio.wait_for(test(supervisor, lives), 60)
        await supervisor.close()

    asyncio.run(body())


async def ask(supervisor: Supervisor, prompt: str = "poem", **fields: Any) -> list[RequestOutput]:
    async with supervisor.stream(GenerateRequest(request_id=f"{prompt}-r", prompt=prompt, **fields)) as outputs:
        return [output async for output in outputs]


def text(outputs: list[RequestOutput]) -> str:
    return "".join(output.text for output in outputs)


def tokens(outputs: list[RequestOutput]) -> list[int]:
    return [token for output in outputs for token in output.token_ids]


def recite(request: GenerateRequest, words: list[str], *, dies_after: int | None = None) -> Iterator[Step]:
    """As an engine would: what is answered comes first, in one output without log-probabilities."""
    n = len(request.answered)
    assert request.answered == list(range(n))
    if n:
        yield RequestOutput(request_id=request.request_id, text="".join(words[:n]), token_ids=request.answered)
    for index, word in enumerate(words[n:], n):
        if index == dies_after:
            yield EngineDeadError("it was killed")
        scores = [TokenLogprob(index, word.encode(), -0.5)] if request.logprobs is not None else []
        usage = Usage(prompt_tokens=4, cached_tokens=len(request.answered) or 3, queue_seconds=0.25)
        yield RequestOutput(
            request_id=request.request_id, text=word, token_ids=[index], logprobs=scores, usage=None if index else usage
        )
    usage = Usage(prompt_tokens=4, cached_tokens=1, completion_tokens=len(words))
    yield RequestOutput(request_id=request.request_id, finish_reason="stop", usage=usage)
