"""Loads GGUF files in a process of its own, so that one that dies of a file tells which.

Run as a script it reads requests from stdin, one JSON object a line, and answers each with one line.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Outcome:
    """What became of one file: "loaded", the class name of the exception, or "died" with the process's exit status."""

    name: str
    result: str
    message: str = ""


def load_all(names: Sequence[str], paths: Sequence[Path], *, model: Path | None = None) -> list[Outcome]:
    """Load each file as a model, or as an adapter of `model`. A process that dies is replaced for the files left."""
    outcomes: list[Outcome] = []
    while len(outcomes) < len(paths):
        rest = range(len(outcomes), len(paths))
        requests = "".join(json.dumps({"path": str(paths[i]), "model": model and str(model)}) + "\n" for i in rest)
        done = subprocess.run(
            [sys.executable, __file__],
            input=requests,
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            timeout=600,
            check=False,
        )
        answers = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        for answer in answers:
            outcomes.append(Outcome(names[len(outcomes)], answer["result"], answer["message"]))
        if len(answers) < len(rest):
            outcomes.append(Outcome(names[len(outcomes)], "died", f"exit {done.returncode}: {done.stderr[-2000:]}"))
    return outcomes


def main() -> None:
    from shimmy import _core as core
    from shimmy import native_log

    logging.getLogger("shimmy.llama").setLevel(logging.CRITICAL)
    native_log.install()
    base = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["model"] is None:
                model = core.Model(request["path"])
                decode(core, model, [])
            else:
                base = base or core.Model(request["model"])
                decode(core, base, [(core.LoraAdapter(base, request["path"]), 1.0)])
            answer = {"result": "loaded", "message": ""}
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the answer
            answer = {"result": type(error).__name__, "message": str(error)}
        print(json.dumps(answer), flush=True)  # noqa: T201


def decode(core, model, adapters) -> None:  # type: ignore[no-untyped-def]
    """Whatever loads must also be fit to compute with."""
    context = core.Context(model, core.ContextParams(n_ctx=64, n_batch=64, n_ubatch=64, n_threads=1))
    context.set_adapters(adapters)
    batch = core.Batch()
    for position, token in enumerate([0, 1, model.n_vocab - 1, model.n_vocab // 2]):
        batch.add(token, position, [0], True)
    context.decode(batch)


if __name__ == "__main__":
    main()
