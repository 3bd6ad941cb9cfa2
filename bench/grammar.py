"""How long does it take to refuse or compile a hostile schema, and what does a stream beside it notice?

    python bench/grammar.py [MODEL] --rounds 5

First each schema alone: processor time of the process. Then again while one stream decodes, on another thread of the
same process, as in a server: the worst gap between two of its tokens meanwhile, and the worst of as long a stretch
without a compile. Prints medians of the rounds, in milliseconds.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hostile_schemas import HEAVY, REFUSED_TEXTS
from shimmy import _core, demo_model_path
from shimmy.errors import InvalidRequestError
from shimmy.grammar import llguidance_library

LEAST_SECONDS = 0.1
"""Of the stream that are looked at for a schema, however short its compile is."""


class Stream:
    """A sequence that decodes without end, and the times at which its tokens came."""

    def __init__(self, engine: _core.Engine, prompt: list[int]) -> None:
        self._engine, self._prompt = engine, prompt
        self._times: list[float] = []
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._read)
        self._thread.start()

    def _read(self) -> None:
        greedy = _core.SamplingParams(temperature=0.0)
        running = False
        while not self._closed.is_set():
            if not running:
                self._engine.add_request(self._prompt, greedy, ignore_eos=True, speculation=False)
                running = True
            for output in self._engine.wait(0.1):
                if output.finish_reason != _core.FinishReason.NONE:
                    running = False  # at the end of the context; the next one begins with what is cached
                if output.tokens:
                    self._times.append(time.perf_counter())

    def worst_gap(self, begin: float, end: float) -> float:
        """Seconds, of the gaps that reach into [begin, end]. Waits until the stream has passed it."""
        while not self._times or self._times[-1] < end:
            time.sleep(0.002)
        times = list(self._times)
        gaps = itertools.pairwise(times)
        return max((later - earlier for earlier, later in gaps if later > begin and earlier < end), default=0.0)

    def close(self) -> None:
        self._closed.set()
        self._thread.join()


@contextmanager
def open_stream(model: _core.Model, tokenizer: _core.Tokenizer) -> Iterator[Stream]:
    engine = _core.Engine(model, _core.ContextParams(n_ctx=2048), _core.EngineParams(max_num_seqs=2))
    engine.start()
    stream = Stream(engine, tokenizer.encode("The quick brown fox jumps over the lazy dog, and then"))
    try:
        begin = time.perf_counter()
        stream.worst_gap(begin, begin + 1)
        yield stream
    finally:
        stream.close()
        engine.shutdown()


def is_refused(compiler: _core.GrammarCompiler, text: str) -> bool:
    try:
        compiler.compile("json_schema", text)
    except InvalidRequestError:
        return True
    return False


def schemas() -> dict[str, str]:
    return REFUSED_TEXTS | {json.dumps(schema)[:48]: json.dumps(schema) for schema in HEAVY}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", nargs="?", type=Path, default=demo_model_path(), help="a GGUF file")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()

    model = _core.Model(args.model)
    tokenizer = _core.Tokenizer(model)
    library = llguidance_library()
    alone: dict[str, list[float]] = {}
    outcome: dict[str, str] = {}
    for _ in range(args.rounds):
        compiler = _core.GrammarCompiler(tokenizer, library)  # another one has nothing cached
        compiler.compile("json_object")
        for name, text in schemas().items():
            begin = time.process_time()
            outcome[name] = "refused" if is_refused(compiler, text) else "compiled"
            alone.setdefault(name, []).append(time.process_time() - begin)

    beside: dict[str, list[tuple[float, float]]] = {}
    with open_stream(model, tokenizer) as stream:
        for _ in range(args.rounds):
            compiler = _core.GrammarCompiler(tokenizer, library)
            compiler.compile("json_object")
            for name, text in schemas().items():
                begin = time.perf_counter()
                is_refused(compiler, text)
                seconds = max(time.perf_counter() - begin, LEAST_SECONDS)
                during = stream.worst_gap(begin, begin + seconds)
                begin = time.perf_counter()
                beside.setdefault(name, []).append((during, stream.worst_gap(begin, begin + seconds)))

    print("| schema | | processor ms | worst gap ms | without a compile | median difference |")
    print("|---|---|---|---|---|---|")
    for name, gaps in beside.items():
        columns = [alone[name], [one for one, _ in gaps], [other for _, other in gaps], [a - b for a, b in gaps]]
        values = " | ".join(f"{1000 * statistics.median(column):.1f}" for column in columns)
        print(f"| `{name.replace('|', '')}` | {outcome[name]} | {values} |")


if __name__ == "__main__":
    main()
