"""What models were thought to take before they were loaded, and what they take: the figures that decide who fits.

    python bench/estimates.py                                          # the embedded demo model, contexts of 2k and 8k
    python bench/estimates.py bench/models/0.6b-q4_k_m.gguf --ctx 2048 --ctx 8192

Each line is a server's model manager of its own that loads the model twice: what the first load took corrects the
second. Measured are all pages of the runner after the load: allocated, and of the files that it maps; and again after
an answer. An error above 0 is too much memory reserved, one below it too little. On a machine with a GPU the demo model
is loaded before, since a server's first load shows whether the GPU is used; a second line has the memory of the GPU, as
llama.cpp counts it, with the driver's.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
from dataclasses import dataclass
from pathlib import Path

import msgspec

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
from shimmy.server.machine import gpu_vendors
from shimmy.settings import Settings

CONTEXTS = [2048, 8192]


@dataclass
class Load:
    """`used`: bytes of RAM after an answer."""

    estimated: Bytes
    measured: Bytes
    used: float = 0.0

    def error(self, kind: str) -> float:
        """Of "ram" or "vram", in percent of what was measured."""
        measured = getattr(self.measured, kind)
        return 100 * (getattr(self.estimated, kind) - measured) / measured

    def cell(self, kind: str) -> str:
        return f"{getattr(self.estimated, kind) / 2**20:,.0f} ({self.error(kind):+.1f} %)"


class RecordingMemory(Memory):
    """The memory of a machine, which remembers what was learnt of each load."""

    def __init__(self) -> None:
        super().__init__(gpus=bool(gpu_vendors()))
        self.loads: list[Load] = []

    def learn(self, name: str, estimate: Estimate, held: Bytes) -> None:
        self.loads.append(Load(estimate.need, held))
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
        demo = demo_model_path().resolve()
        for file in {path, demo}:
            (Path(folder) / file.name).symlink_to(file)
        settings = Settings(ctx=n_ctx, keep_alive=-1, kv_cache_disk=0)
        registry = Registry(settings, roots=[Root(Path(folder))], library=Library(Path(folder) / "library"))
        manager = ModelManager(registry, memory=memory)
        names = {model.path.name: model.name for model in registry.found}
        name = names[path.name]
        if gpu_vendors():
            await manager.get(names[demo.name])
            await manager.unload(names[demo.name])
            memory.loads.clear()
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
            for kind, what, used in (("ram", "", f"{last.used / 2**20:,.0f}"), ("vram", ", GPU", "")):
                if not getattr(last.measured, kind):
                    continue
                measured = f"{getattr(last.measured, kind) / 2**20:,.0f}"
                cells = [path.stem + what, f"{n_ctx:,}", measured, *(load.cell(kind) for load in loads), used]
                print(f"| {' | '.join(cells)} |", flush=True)
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / "estimates.json").write_bytes(msgspec.json.encode(found))


if __name__ == "__main__":
    main()
