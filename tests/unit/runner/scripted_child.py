"""A runner process around the scripted engine; some prompts and paths make it misbehave as native code can."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripted_engine import ScriptedEngine, Step, obey, text_of

from shimmy.model_info import LoadSpec
from shimmy.output import RequestOutput
from shimmy.request import GenerateRequest
from shimmy.runner import __main__ as runner

replies_fd = -1


def misbehave(request: GenerateRequest) -> Iterator[Step]:
    match text_of(request).split():
        case ["exit", code]:
            os._exit(int(code))
        case ["kill", name]:
            os.kill(os.getpid(), getattr(signal, name))
        case ["abort"]:
            os.write(2, b"ERROR CUDA error: out of memory\n/builds/ggml-cuda.cu:98: CUDA error\n")
            os.abort()
        case ["print"]:
            os.write(1, b"stray output of native code\n" * 10)
            yield from obey(request)
        case ["garbage"]:
            os.write(replies_fd, b"\x05\x00\x00\x00hello")
            yield 3600.0
        case ["oversize"]:
            os.write(replies_fd, b"\xff\xff\xff\x7f")
            yield 3600.0
        case ["memory"]:
            yield MemoryError()
        case ["block"]:
            time.sleep(3600)
        case _:
            yield from obey(request)


async def load(
    spec: LoadSpec, progress: Callable[[float], None], _: Callable[[Sequence[RequestOutput]], None]
) -> ScriptedEngine:
    if "crash" in spec.path:
        os.kill(os.getpid(), signal.SIGSEGV)
    if "stuck" in spec.path:
        time.sleep(3600)  # noqa: ASYNC251
    engine = await ScriptedEngine.load(spec, progress)
    engine._script = misbehave
    return engine


if __name__ == "__main__":
    claim = runner.claim_pipes

    def claim_and_remember() -> tuple[int, int]:
        global replies_fd
        commands_fd, replies_fd = claim()
        return commands_fd, replies_fd

    runner.claim_pipes = claim_and_remember
    if "without-prctl" in sys.argv:
        runner.die_with_parent = lambda: None
    runner.run(load)
