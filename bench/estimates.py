"""What models were thought to take before they were loaded, and what they take: the figures that decide who fits.

    python bench/estimates.py                                          # the embedded demo model, contexts of 2k and 8k
    python bench/estimates.py bench/models/0.6b-q4_k_m.gguf --ctx 2048 --ctx 8192

Each line is a server's model manager of its own that loads the model twice: what the first load took corrects the
second. Measured are all pages of the runner after the load: allocated, and of the files that it maps; and again after
an answer. An error above 0 is too much memory reserved, one below it too little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from engine_turn import MESSAGES
from shimmy.demo_model import demo_model_path
from shimmy.discovery.walk import Root
from shimmy.library.library import Library
from shimmy.models.host_memory import process_memory
from shimmy.models.manager import ModelManager
from shimmy.models.memory import Estimate, Memory
from shimmy.models.registry import Registry
from shimmy.models.residency import Bytes
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.settings import Settings

CONTEXTS = [2048, 8192]


@dataclass
class Load:
    """In bytes. `used`: after an answer."""

    estimated: float
    measured: float
    used: float = 0.0

    @property
    def error(self) -> float:
        """In percent of what was measured."""
        return 100 * (self.estimated - self.measured) / self.measured


class RecordingMemory(Memory):
    """The memory of a machine, which remembers what was learnt of each load."""

    def __init__(self) -> None:
        super().__init__()
        self.loads: list[Load] = []

    def learn(self, name: str, estimate: Estimate, held: Bytes) -> None:
        self.loads.append(Load(estimate.need.ram, held.ram))
        super().learn(name, estimate, held)


async def answer(manager: ModelManager, name: str) -> None:
    prompt = ChatPrompt(messages=MESSAGES)
    request = GenerateRequest(request_id="bench", prompt=prompt, max_tokens=16, ignore_eos=True)
    async with manager.use(name) as client, client.stream(request) as outputs:
        async for _ in outputs:
            pass


async def measure(path: Path, n_ctx: int) -> list[Load]:
    """The first load and the second of an absolute path."""
    memory = RecordingMemory()
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / path.name).symlink_to(path)
        settings = Settings(ctx=n_ctx, keep_alive=-1, kv_cache_disk=0)
        registry = Registry(settings, roots=[Root(Path(folder))], library=Library(Path(folder) / "library"))
        manager = ModelManager(registry, memory=memory)
        (name,) = [model.name for model in registry.found]
        for _ in range(2):
            client = await manager.get(name)
            await answer(manager, name)
            used = process_memory(client.pid)
            if used is not None:
                memory.loads[-1].used = used.own + used.files
            await manager.unload(name)
        await manager.close()
    return memory.loads


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--ctx", type=int, action="append")
    options = parser.parse_args()
    found: dict[str, dict[int, list[Load]]] = {}
    print("| model | context | measured MiB | estimated, first load | second load | after an answer MiB |")
    print("|---|---|---|---|---|---|")
    for path in [path.resolve() for path in options.models] or [demo_model_path()]:
        for n_ctx in options.ctx or CONTEXTS:
            loads = asyncio.run(measure(path, n_ctx))
            found.setdefault(path.stem, {})[n_ctx] = loads
            last = loads[-1]
            estimates = [f"{load.estimated / 2**20:,.0f} ({load.error:+.1f} %)" for load in loads]
            cells = [path.stem, f"{n_ctx:,}", f"{last.measured / 2**20:,.0f}", *estimates, f"{last.used / 2**20:,.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    raw = {name: {n: [asdict(load) for load in loads] for n, loads in one.items()} for name, one in found.items()}
    (folder / "estimates.json").write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
