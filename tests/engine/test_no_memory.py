"""A step that finds no memory to compute in: who needs it fails, the others and the engine go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest
from arithmetic import in_host_memory

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")

PRELUDE = """
import json, resource
from pathlib import Path
from shimmy import _core, demo_adapter_paths, demo_model_path

model = _core.Model(demo_model_path(), _core.ModelParams(both_layouts=False))
params = _core.EngineParams(max_num_seqs=4, max_draft=0, sampling_threads=1)
engine = _core.Engine(model, _core.ContextParams(n_ctx=2 * n_ubatch, n_batch=n_ubatch, n_ubatch=n_ubatch), params)
greedy = _core.SamplingParams(temperature=0)
ends = {}

def step():
    busy = engine.step()
    for output in engine.wait(0):
        if output.finish_reason != _core.FinishReason.NONE:
            ends[output.id] = (output.finish_reason.name, output.error, output.no_memory)
    return busy

def run_all():
    while step():
        pass

def limit_memory(n_bytes):
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limits = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (used + n_bytes, limits[1]))
    return limits

"""

# The outputs of a prompt's log-probabilities (68 rows of 4,096 floats) need more than the buffer that there is.
LARGE_OUTPUT = """
for n in (3, 20):  # whatever a thread allocates when it first does something is there then
    engine.add_request([5] * n, greedy, max_tokens=4, prompt_logprobs=1)
run_all()
beside = engine.add_request([8, 9], greedy, max_tokens=20, ignore_eos=True)
step()
limits = limit_memory(0)
large = engine.add_request([5] * 300, greedy, max_tokens=4, prompt_logprobs=1)
run_all()
continued = engine.add_request([5] * 300, greedy, max_tokens=4, prompt_logprobs=1, answered=[6])
run_all()
resource.setrlimit(resource.RLIMIT_AS, limits)
again = engine.add_request([5] * 300, greedy, max_tokens=4, prompt_logprobs=1, ignore_eos=True)
run_all()
told = {"beside": ends[beside], "failed": [ends[large], ends[continued]], "again": [ends[again]], "death": engine.death}
print(json.dumps(told))
"""

# Other adapters are another graph, for which llama.cpp gives its 128 MiB of buffers away and asks for new ones.
OTHER_ADAPTERS = """
engine.load_adapter("pirate", demo_adapter_paths()["pirate"])

def request(lora):
    return engine.add_request([5] * 30, greedy, max_tokens=4, ignore_eos=True, lora=lora)

for _ in range(2):
    request([("pirate", 1.0)]), run_all(), request([]), run_all()
limits = limit_memory(-(8 << 20))
failed = []
for lora in ([("pirate", 1.0)], [("pirate", 1.0)], []):
    failed.append(request(lora))
    run_all()
resource.setrlimit(resource.RLIMIT_AS, limits)
again = []
for lora in ([("pirate", 1.0)], []):
    again.append(request(lora))
    run_all()
told = {"failed": [ends[i] for i in failed], "again": [ends[i] for i in again], "death": engine.death}
print(json.dumps(told))
"""


# Graphs of small batches have memory of their own, which is given up for want of any.
NO_MORE_GRAPHS = """
for n in (3, 20, 60):  # prompts and outputs of the context's own graph
    engine.add_request([5] * n, greedy, max_tokens=4, prompt_logprobs=1)
run_all()
limits = limit_memory(0)
small = [engine.add_request([7] * n, greedy, max_tokens=4, ignore_eos=True) for n in range(1, 30)]
run_all()
resource.setrlimit(resource.RLIMIT_AS, limits)
print(json.dumps({"failed": [], "again": [ends[i] for i in small], "death": engine.death}))
"""


def run(script: str, n_ubatch: int, **malloc: str) -> dict[str, Any]:
    # Large blocks are mapped one by one, and the heap has room for small ones from the start.
    environ = {**os.environ, **malloc}
    done = subprocess.run(
        [sys.executable, "-c", f"n_ubatch = {n_ubatch}\n" + PRELUDE + script],
        env=environ,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["death"] == ""
    for finish_reason, error, no_memory in told["failed"]:
        assert (finish_reason, no_memory) == ("FAILED", True)
        assert "there was no memory to compute it in" in error
    assert all(end == ["LENGTH", "", False] for end in told["again"])
    return told


# llama.cpp then builds each graph in its own memory.
IN_ONE_PLACE = {"LLAMA_GRAPH_REUSE_DISABLE": "1"}


@in_host_memory
def test_only_who_needs_it_fails() -> None:
    told = run(LARGE_OUTPUT, 512, MALLOC_MMAP_THRESHOLD_="262144", MALLOC_TOP_PAD_="524288", **IN_ONE_PLACE)
    assert told["beside"] == ["LENGTH", "", False]


@in_host_memory
def test_who_changes_the_graph_fails_and_the_next_one_is_computed() -> None:
    told = run(OTHER_ADAPTERS, 4096, MALLOC_MMAP_THRESHOLD_="1048576", MALLOC_TOP_PAD_="8388608", **IN_ONE_PLACE)
    assert told["again"]


@in_host_memory
def test_graphs_that_find_no_memory_of_their_own_are_computed_all_the_same() -> None:
    assert run(NO_MORE_GRAPHS, 512, MALLOC_MMAP_THRESHOLD_="262144", MALLOC_TOP_PAD_="524288")["again"]
