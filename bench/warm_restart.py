"""Time to the first token of a long prompt: computed, in memory, and brought back from disk after a restart.

    python bench/warm_restart.py bench/models/0.6b-q4_k_m.gguf --tokens 8192

One server after the other on one --kv-cache-dir, which begins empty. Every request is the same text of `--tokens`
tokens and 16 words of its own, for 4 tokens. cold: the first one; in memory: the next; restored: the first of a new
process, with the file in the page cache, and dropped from it. The times of `--restarts` new processes are medians.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from client import StreamingClient, read_openai
from process import Process, free_port
from prompts import Prompts

WRITTEN_SECONDS = 60


class Asked:
    """How long the first token took, and how much of the prompt was cached."""

    def __init__(self, seconds: float, cached: int, text: str) -> None:
        self.seconds = seconds
        self.cached = cached
        self.text = text


@asynccontextmanager
async def serving(model: Path, n_ctx: int, folder: Path) -> AsyncIterator[StreamingClient]:
    port = free_port()
    command = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}", "--model-path", str(model)]
    command += ["--ctx", str(n_ctx), "--kv-cache-dir", str(folder / "kv"), "--kv-cache-disk", "16GiB"]
    with Process(command, folder / "server.log", cwd=folder) as process:
        process.wait_ready(f"http://127.0.0.1:{port}/health")
        async with StreamingClient(f"http://127.0.0.1:{port}") as client:
            await ask(client, model, "warm up")
            yield client


async def ask(client: StreamingClient, model: Path, prompt: str) -> Asked:
    name = model.stem.lower().replace("_", "-")
    body = {"model": name, "prompt": prompt, "max_tokens": 4, "temperature": 0, "ignore_eos": True}
    events = await client.stream("/v1/completions", {**body, "stream": True, "stream_options": {"include_usage": True}})
    answer = read_openai(events)
    cached = answer.usage.get("prompt_tokens_details", {}).get("cached_tokens", 0)
    return Asked(answer.times[0] - events.started, cached, answer.text)


def files(folder: Path) -> list[Path]:
    return list((folder / "kv").rglob("*.kv"))


def wait_for_file(folder: Path) -> None:
    deadline = time.monotonic() + WRITTEN_SECONDS
    while not files(folder):
        if time.monotonic() > deadline:
            raise SystemExit(f"no prefix was written within {WRITTEN_SECONDS} s")
        time.sleep(0.1)


def drop_from_page_cache(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
    finally:
        os.close(handle)


async def measure(options: argparse.Namespace, folder: Path) -> None:
    prompts = Prompts(options.model, "warm restart")
    shared = prompts.text(options.tokens)
    tails = [prompts.text(16) for _ in range(3 + 2 * options.restarts)]
    n_ctx = options.tokens + 256
    async with serving(options.model, n_ctx, folder) as client:
        cold = await ask(client, options.model, shared + tails[0])
        warm = await ask(client, options.model, shared + tails[1])
        await asyncio.to_thread(wait_for_file, folder)
        answer = await ask(client, options.model, shared + tails[2])
    (path,) = files(folder)
    restored: dict[str, list[Asked]] = {"page cache": [], "disk": []}
    for _ in range(options.restarts):
        for where, asked in restored.items():
            if where == "disk":
                drop_from_page_cache(path)
            async with serving(options.model, n_ctx, folder) as client:
                asked.append(await ask(client, options.model, shared + tails[2]))
    same = all(one.text == answer.text for asked in restored.values() for one in asked)
    print(f"{options.model.stem}, {options.tokens} tokens, file of {path.stat().st_size / 2**20:.0f} MiB\n")
    print("| first token | seconds | cached tokens | cold / this |\n|---|---|---|---|")
    rows = {"cold": [cold], "in memory": [warm], **{f"restored, from {key}": value for key, value in restored.items()}}
    for name, asked in rows.items():
        seconds = statistics.median(one.seconds for one in asked)
        print(f"| {name} | {seconds:.2f} | {asked[0].cached} | {cold.seconds / seconds:.1f} |")
    print(f"\nAnswers after a restart {'are' if same else 'ARE NOT'} those of the prompt in memory.")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("--tokens", type=int, default=8192)
    parser.add_argument("--restarts", type=int, default=2)
    options = parser.parse_args()
    options.model = options.model.resolve()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(measure(options, Path(folder)))


if __name__ == "__main__":
    main()
