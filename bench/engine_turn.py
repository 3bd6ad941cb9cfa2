"""One turn of our engine without a server: in this process, or in a runner's. Others run it as a process.

    python bench/engine_turn.py '{"kind": "engine", "model": ..., "n_ctx": 8192, "streams": [1, 8], ...}'

Prints one line of JSON: for each number of streams a `StreamTimes`.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from shimmy.engine_client import EngineClient

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


@dataclass(frozen=True)
class Load:
    """What is asked for: `streams` requests at once, `bursts` times one after the other."""

    streams: int
    bursts: int
    max_tokens: int


@dataclass
class StreamTimes:
    """What came of a load. Seconds; a list holds one value for each request."""

    ttft: list[float] = field(default_factory=list)
    tpot: list[float] = field(default_factory=list)
    """Time after the first piece of text per further token."""
    tokens: int = 0
    pieces: int = 0
    """Of text: several tokens may come as one."""
    seconds: float = 0.0
    """All bursts together."""
    cpu: dict[str, float] = field(default_factory=dict)
    """Seconds of processor time, by what they were for."""

    def note(self, started: float, times: list[float], tokens: int) -> None:
        self.ttft.append(times[0] - started)
        if tokens > 1:
            self.tpot.append((times[-1] - times[0]) / (tokens - 1))
        self.tokens += tokens
        self.pieces += len(times)


@dataclass(frozen=True)
class Turn:
    kind: Literal["engine", "runner"]
    model: str
    n_ctx: int
    loads: list[Load]


async def run_load(client: EngineClient, load: Load, name: str) -> StreamTimes:
    """Greedy, without drafts and without an end, so that every answer has `max_tokens` tokens."""
    from shimmy.request import ChatPrompt, GenerateRequest

    result = StreamTimes()

    async def one(number: str) -> None:
        request = GenerateRequest(
            request_id=number,
            prompt=ChatPrompt(messages=MESSAGES),
            sampling={"temperature": 0.0},
            max_tokens=load.max_tokens,
            ignore_eos=True,
            speculation=False,
        )
        times: list[float] = []
        tokens = 0
        started = time.perf_counter()
        async with client.stream(request) as outputs:
            async for output in outputs:
                if output.token_ids:
                    times.append(time.perf_counter())
                    tokens += len(output.token_ids)
        result.note(started, times, tokens)

    begin = time.perf_counter()
    for burst in range(load.bursts):
        await asyncio.gather(*(one(f"{name}-{burst}-{number}") for number in range(load.streams)))
    result.seconds = time.perf_counter() - begin
    return result


async def run_turn(turn: Turn) -> list[StreamTimes]:
    from shimmy.async_engine import AsyncEngine
    from shimmy.model_info import LoadSpec
    from shimmy.runner import RunnerClient

    spec = LoadSpec(name="bench", path=turn.model, context={"n_ctx": turn.n_ctx})
    client: EngineClient = await (AsyncEngine.load(spec) if turn.kind == "engine" else RunnerClient.start(spec))
    try:
        results = []
        for number, load in enumerate(turn.loads):
            await run_load(client, dataclasses.replace(load, bursts=1), f"warm-{number}")
            results.append(await run_load(client, load, str(number)))
        return results
    finally:
        await client.close()


def run_process(turn: Turn) -> list[StreamTimes]:
    """`turn` in a process of its own. Raises subprocess.CalledProcessError."""
    command = [sys.executable, str(Path(__file__)), json.dumps(dataclasses.asdict(turn))]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return [StreamTimes(**times) for times in json.loads(done.stdout.splitlines()[-1])]


def main() -> None:
    import uvloop

    job = json.loads(sys.argv[1])
    turn = Turn(job["kind"], job["model"], job["n_ctx"], [Load(**load) for load in job["loads"]])
    print(json.dumps([dataclasses.asdict(times) for times in uvloop.run(run_turn(turn))]))


if __name__ == "__main__":
    main()
