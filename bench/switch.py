"""How long it takes to go over from one model to another: the time until a short chat's first text.

    python bench/switch.py bench/models/0.6b-q4_k_m.gguf               # and the embedded demo model
    python bench/switch.py A.gguf B.gguf --rounds 10

Files are in the page cache, prompts in the model's cache where the model stayed. `same`: the model that was asked last.
`resident`: the other one, where memory holds both. `evicted`: where it holds one (--memory-budget), so the other makes
way, and the time is that of its end, of starting a process, of loading and of the prompt. `loaded`: the same without
somebody who has to make way, as after an idle time.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import httpx

from client import read_openai
from engine_turn import MESSAGES
from process import Process, free_port
from ratios import estimate
from raw_client import RawConnection
from table import shown

KINDS = ("same", "resident", "loaded", "evicted")
ASKED = 10
"""Requests to a model that is there, for each switch that loads one."""

Times = dict[str, dict[str, list[float]]]
"""Model -> kind -> seconds."""


class Server:
    """One with the models of `files`, by their names."""

    def __init__(self, port: int, files: list[Path], connection: RawConnection) -> None:
        self.names = [file.stem.lower().replace("_", "-") for file in files]
        self._url = f"http://127.0.0.1:{port}"
        self._connection = connection

    async def first_text(self, model: str) -> float:
        """Seconds."""
        body = {"model": model, "messages": MESSAGES, "max_tokens": 4, "temperature": 0, "stream": True}
        events = await self._connection.stream("/v1/chat/completions", {**body, "ignore_eos": True})
        return read_openai(events).times[0] - events.started

    async def unload(self, model: str) -> None:
        await self._connection.ask(f"/api/models/{model}/unload", {})

    def held(self, model: str) -> int:
        """Bytes that a loaded model takes; 0 when it is not loaded."""
        state = httpx.get(f"{self._url}/api/models/{model}/status").raise_for_status().json()
        return int(state.get("memory_bytes") or 0)


@contextlib.asynccontextmanager
async def serving(files: list[Path], n_ctx: int, budget: int | None = None) -> AsyncIterator[Server]:
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        for file in files:
            (Path(folder) / file.name).symlink_to(file.resolve())
        command = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}", "--ctx", str(n_ctx)]
        command += ["--model-dirs", folder, "--kv-cache-disk", "0", "--keep-alive", "-1"]
        command += ["--memory-budget", str(budget)] if budget else []
        with Process(command, Path(folder) / "log", cwd=Path(folder)) as process:
            process.wait_ready(f"http://127.0.0.1:{port}/health")
            connection = await RawConnection.open(port)
            yield Server(port, files, connection)
            connection.close()


async def with_room(files: list[Path], n_ctx: int, rounds: int, found: Times) -> list[int]:
    """Where both fit. Gives what each takes, in bytes."""
    async with serving(files, n_ctx) as server:
        for name in server.names:  # reads the files once
            await server.first_text(name)
        held = [server.held(name) for name in server.names]
        for _ in range(rounds):
            for _ in range(ASKED):
                for name in server.names:
                    found[name]["resident"].append(await server.first_text(name))
                    found[name]["same"].append(await server.first_text(name))
            for name in server.names:
                await server.unload(name)
                found[name]["loaded"].append(await server.first_text(name))
    return held


async def without_room(files: list[Path], n_ctx: int, rounds: int, budget: int, found: Times) -> None:
    """Where one fits beside none."""
    async with serving(files, n_ctx, budget) as server:
        for name in server.names:  # the first load shows what a process takes
            await server.first_text(name)
        for _ in range(rounds):
            for name, other in (server.names, server.names[::-1]):
                found[name]["evicted"].append(await server.first_text(name))
                if server.held(other):
                    raise SystemExit(
                        f"{budget} bytes hold both models; name models of similar sizes, or a --budget-mib"
                    )


async def measure(files: list[Path], n_ctx: int, rounds: int, budget: int | None) -> Times:
    names = [file.stem.lower().replace("_", "-") for file in files]
    found: Times = {name: {kind: [] for kind in KINDS} for name in names}
    held = await with_room(files, n_ctx, rounds, found)
    await without_room(files, n_ctx, rounds, budget or max(held) + min(held) // 2, found)
    return found


def report(found: Times) -> list[str]:
    """Medians in milliseconds, with their 95 % intervals."""
    lines = [f"| first text, ms | {' | '.join(KINDS)} |", "|---|" + "---|" * len(KINDS)]
    for name, times in found.items():
        cells = [shown(estimate([1e3 * value for value in times[kind]])) for kind in KINDS]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ctx", type=int, default=2048)
    parser.add_argument(
        "--budget-mib", type=int, help="for `evicted`: the larger model and half of the smaller if left out"
    )
    options = parser.parse_args()
    from shimmy import demo_model_path

    files = options.models if len(options.models) > 1 else [*options.models, demo_model_path()]
    if len(files) != 2 or files[0].stem == files[1].stem:
        parser.error("expected one model, or two of different names")
    budget = None if options.budget_mib is None else options.budget_mib << 20
    found = asyncio.run(measure(files, options.ctx, options.rounds, budget))
    print("\n".join(report(found)))
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "switch.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
