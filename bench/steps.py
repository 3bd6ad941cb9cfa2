"""Where the time of a step goes while N streams decode: llama_decode, the rest of the engine's step, and between steps.

    python bench/steps.py bench/models/0.6b-q4_k_m.gguf --streams 1 8 32 64
    python bench/steps.py bench/models/0.6b-q4_k_m.gguf --streams 32 -- --no-kv-unified    # flags for shimmy serve

Starts `shimmy serve` and reads its /metrics twice: when every stream has text, and when the first has nearly all of its
own. So no prompt is computed between the two. Milliseconds per step; a step makes one token of each stream.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import httpx

from client import StreamingClient
from process import Process, free_port
from prompts import Prompts

N_PROMPT, N_NEW = 128, 256


@dataclass(frozen=True)
class Reading:
    """What the server has counted by `moment`, seconds of time.perf_counter."""

    moment: float
    computed_tokens: float
    step_seconds: float
    decode_seconds: float

    @classmethod
    def take(cls, url: str) -> Reading:
        started = time.perf_counter()
        lines = httpx.get(f"{url}/metrics", timeout=30).raise_for_status().text.splitlines()
        ended = time.perf_counter()

        def value(name: str) -> float:
            return sum(
                float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"shimmy_engine_{name}_total{{")
            )

        return cls((started + ended) / 2, value("computed_tokens"), value("step_seconds"), value("decode_seconds"))


@dataclass(frozen=True)
class StepTimes:
    streams: int
    tokens_per_second: float
    step_ms: float
    """From one step to the next."""
    decode_ms: float
    """Of it inside llama_decode."""
    engine_ms: float
    """In the engine's step outside of that: batches, sampling, stop strings."""
    between_ms: float
    """Outside of the engine's step."""

    @classmethod
    def between(cls, streams: int, first: Reading, last: Reading) -> StepTimes:
        tokens, seconds = last.computed_tokens - first.computed_tokens, last.moment - first.moment
        steps, inside = tokens / streams, last.step_seconds - first.step_seconds
        decode = last.decode_seconds - first.decode_seconds
        per_step = [1000 * value / steps for value in (seconds, decode, inside - decode, seconds - inside)]
        return cls(streams, tokens / seconds, *per_step)


async def measure(url: str, model: str, prompts: Sequence[str], temperature: float) -> StepTimes:
    """All prompts at once. Raises HttpError."""
    pieces = [0] * len(prompts)
    changed = asyncio.Event()

    def note(number: int, count: int) -> None:
        pieces[number] = count
        changed.set()

    async def reading(when: int, *, every: bool) -> Reading:
        while (min(pieces) if every else max(pieces)) < when:
            changed.clear()
            await changed.wait()
        return await asyncio.to_thread(Reading.take, url)

    async with StreamingClient(url) as client:
        body = {"model": model, "max_tokens": N_NEW, "temperature": temperature, "stream": True, "ignore_eos": True}
        answers = [
            asyncio.create_task(
                client.stream("/v1/completions", {**body, "prompt": text}, lambda count, i=number: note(i, count))
            )
            for number, text in enumerate(prompts)
        ]
        first = await reading(2, every=True)
        # Some pieces of text hold several tokens, so fewer come than there are tokens.
        last = await reading(max(4, N_NEW // 2), every=False)
        await asyncio.gather(*answers)
    return StepTimes.between(len(prompts), first, last)


async def measure_all(
    model: Path, streams: Sequence[int], flags: Sequence[str], temperature: float = 0
) -> list[StepTimes]:
    """One server for all; each number of streams runs twice, and the first is discarded."""
    prompts = Prompts(model, "steps")
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    n_ctx = (max(streams) + 1) * (N_PROMPT + N_NEW + 32)
    command = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}", "--model-path", str(model)]
    command += ["--ctx", str(n_ctx), "--kv-cache-disk", "0", *flags]
    found = []
    with (
        tempfile.TemporaryDirectory() as folder,
        Process(command, Path(folder) / "log", cwd=Path(folder)) as process,
    ):
        process.wait_ready(f"{url}/health")
        Reading.take(url)  # the first is slower
        async with StreamingClient(url) as client:
            name = (await client.get("/v1/models"))["data"][0]["id"]
        for count in streams:
            for _ in range(2):
                times = await measure(url, name, [prompts.text(N_PROMPT) for _ in range(count)], temperature)
            found.append(times)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 8, 32, 64])
    parser.add_argument("--temperature", type=float, default=0)
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.epilog = "What is behind -- is given to shimmy serve."
    given = sys.argv[1:]
    end = given.index("--") if "--" in given else len(given)
    options = parser.parse_args(given[:end])
    found = asyncio.run(measure_all(options.model.resolve(), options.streams, given[end + 1 :], options.temperature))
    if options.json:
        print(json.dumps([asdict(times) for times in found]))
        return
    print("| streams | tok/s | step ms | llama_decode | rest of the step | between steps |\n|---|---|---|---|---|---|")
    for one in found:
        parts = " | ".join(
            f"{part:.2f} ({part / one.step_ms:.0%})" for part in (one.decode_ms, one.engine_ms, one.between_ms)
        )
        print(f"| {one.streams} | {one.tokens_per_second:,.0f} | {one.step_ms:.2f} | {parts} |")


if __name__ == "__main__":
    main()
