"""How long a search for models takes: a generated tree of GGUF files, cold (every header read) and warm (cached).

    python bench/discovery.py [--files 10000] [--rounds 5] [--folder DIR]

"cold" reads every header; the files themselves are in the page cache, since they were just written. "warm" is a new
process's search with the cache of headers on disk; "again" the same process's next one. Processor time is printed
beside the time that passed: on a machine with other work the two lie far apart.
"""

from __future__ import annotations

import argparse
import struct
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

from shimmy.discovery.facts_cache import FactsCache
from shimmy.discovery.gguf_header import read_header
from shimmy.discovery.scan import Scanner
from shimmy.discovery.walk import Root

U32, STRING, ARRAY = 4, 8, 9
MODELS_PER_FOLDER = 20
LARGE_VOCABULARY = 151_936


def text(value: str) -> bytes:
    data = value.encode()
    return struct.pack("<Q", len(data)) + data


def words(key: str, count: int) -> bytes:
    return text(key) + struct.pack("<IIQ", ARRAY, STRING, count) + b"".join(text(f"word{i}") for i in range(count))


def model(name: str, n_words: int) -> bytes:
    """A header like that of a language model, with one small tensor."""
    said = {
        "general.architecture": "llama",
        "general.type": "model",
        "general.name": name,
        "general.size_label": "8B",
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.chat_template": "{% for message in messages %}{{ message.content }}{% endfor %}" * 20,
    }
    numbers = {"general.file_type": 15, "llama.context_length": 8192, "llama.block_count": 32}
    entries = [text(key) + struct.pack("<I", STRING) + text(value) for key, value in said.items()]
    entries += [text(key) + struct.pack("<II", U32, value) for key, value in numbers.items()]
    entries.append(words("tokenizer.ggml.tokens", n_words))
    entries.append(words("tokenizer.ggml.merges", n_words))
    tensors = [text(f"blk.{i}.attn_q.weight") + struct.pack("<IQIQ", 1, 32, 0, 128 * i) for i in range(32)]
    head = b"GGUF" + struct.pack("<IQQ", 3, len(tensors), len(entries)) + b"".join(entries) + b"".join(tensors)
    return head + b"\0" * (-len(head) % 32) + b"\0" * 128 * len(tensors)


def grow(root: Path, files: int) -> None:
    data = model("Tiny", 32)
    for i in range(files):
        folder = root / f"maker-{i // 400}" / f"family-{i // MODELS_PER_FOLDER}"
        if i % MODELS_PER_FOLDER == 0:
            folder.mkdir(parents=True)
        (folder / f"model-{i}.Q4_K_M.gguf").write_bytes(data)


class Times:
    """Of several runs of one thing: what passed, and what the processor spent on it."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._passed: list[float] = []
        self._spent: list[float] = []

    def measure(self, work: Callable[[], object]) -> None:
        passed, spent = time.perf_counter(), time.process_time()
        work()
        self._passed.append(time.perf_counter() - passed)
        self._spent.append(time.process_time() - spent)

    def __str__(self) -> str:
        passed = [1000 * seconds for seconds in self._passed]
        return (
            f"{self._name}: median {median(passed):.0f} ms ({min(passed):.0f} to {max(passed):.0f}), "
            f"processor {1000 * median(self._spent):.0f} ms"
        )


def search(root: Path, scanner: Scanner) -> None:
    found = scanner.scan([Root(root)])
    assert found.models, found.problems[:3]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--folder", type=Path, help="where to put the tree; a temporary one otherwise")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        root = Path(folder) / "models"
        grow(root, arguments.files)
        cold, warm, again, large = (Times(name) for name in ("cold", "warm", "again", "one large header"))
        for i in range(arguments.rounds):
            kept = Path(folder) / f"cache-{i}.msgpack"
            cold.measure(lambda: search(root, Scanner(FactsCache(kept))))  # noqa: B023 - called at once
            warm.measure(lambda: search(root, Scanner(FactsCache(kept))))  # noqa: B023
            scanner = Scanner(FactsCache(kept))
            search(root, scanner)
            again.measure(lambda: search(root, scanner))  # noqa: B023
        one = Path(folder) / "large.gguf"
        one.write_bytes(model("Large", LARGE_VOCABULARY))
        for _ in range(arguments.rounds):
            large.measure(lambda: read_header(one))
        print(f"{arguments.files} files; the large header has {LARGE_VOCABULARY} tokens and as many merges")
        for times in (cold, warm, again, large):
            print(times)


if __name__ == "__main__":
    main()
