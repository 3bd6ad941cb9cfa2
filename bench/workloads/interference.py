"""P8: what a long prompt does to those who are being answered."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any, ClassVar

from contenders.target import Answer, Request, Target
from prompts import Prompts
from ratios import percentile
from workloads.workload import Metric, Results, Workload


@dataclass(frozen=True)
class Interference(Workload):
    id = "P8"
    title = "2 decoders while a prompt of 2,048 tokens comes in"
    contenders = ("shimmy", "llama-server", "llama-server tuned", "xllamacpp")
    tiny: ClassVar = {"n_long": 256, "n_new": 160, "settled": 4}

    decoders: int = 2
    n_long: int = 2048
    n_new: int = 320
    settled: int = 16
    """Pieces of text of each decoder before the long prompt is sent."""

    @property
    def metrics(self) -> dict[str, Metric]:
        return {
            "worst gap": Metric("ms", "lower"),
            "gap p50 meanwhile": Metric("ms", "lower"),
            "TTFT of the long prompt": Metric("s", "lower"),
        }

    @property
    def n_ctx(self) -> int:
        return self.n_long + 64 + self.decoders * (self.n_new + 96)

    async def run(self, target: Target, prompts: Prompts) -> Results:
        settled = [asyncio.Event() for _ in range(self.decoders)]

        def decode(number: int) -> asyncio.Task[Answer]:
            def on_token(pieces: int) -> None:
                if pieces >= self.settled:
                    settled[number].set()

            request = Request(max_tokens=self.n_new, prompt=prompts.text(32))
            return asyncio.ensure_future(target.generate(request, on_token))

        tasks = [decode(number) for number in range(self.decoders)]
        waiting = asyncio.gather(*(event.wait() for event in settled))
        running: list[asyncio.Future[Any]] = [waiting, *tasks]
        try:
            # A decoder that fails never settles.
            await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            for task in tasks:
                if task.done():
                    task.result()
            if not waiting.done():
                raise RuntimeError("a decoder ended before the long prompt was sent: raise n_new")
            long = await target.generate(Request(max_tokens=1, prompt=prompts.text(self.n_long)))
            answers = await asyncio.gather(*tasks)
        finally:
            for future in running:
                future.cancel()
        gaps = [
            (later - earlier) * 1000
            for answer in answers
            for earlier, later in zip(answer.times, answer.times[1:], strict=False)
            if later >= long.started and earlier <= long.ended
        ]
        if not gaps:
            raise RuntimeError("no decoder ran while the long prompt was computed: raise n_new")
        return {
            "worst gap": max(gaps),
            "gap p50 meanwhile": percentile(gaps, 50),
            "TTFT of the long prompt": long.ttft,
        }
