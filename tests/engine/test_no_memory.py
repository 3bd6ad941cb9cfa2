"""A step that finds no memory to compute in: who needs it fails, the others and the engine go on."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="limits the address space as Linux does")

# The outputs of a prompt's log-probabilities (68 rows of 4,096 floats) need more than the buffer that there is.
SCRIPT = """
import json, resource
from pathlib import Path
from shimmy import _core, demo_model_path

model = _core.Model(demo_model_path(), _core.ModelParams(both_layouts=False))
params = _core.EngineParams(max_num_seqs=4, max_draft=0, sampling_threads=1)
engine = _core.Engine(model, _core.ContextParams(n_ctx=1024), params)
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

greedy = _core.SamplingParams(temperature=0)
for n in (3, 20):  # whatever a thread allocates when it first does something is there then
    engine.add_request([5] * n, greedy, max_tokens=4, prompt_logprobs=1)
run_all()
soft, hard = resource.getrlimit(resource.RLIMIT_AS)
beside = engine.add_request([8, 9], greedy, max_tokens=20, ignore_eos=True)
step()
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (used, hard))
large = engine.add_request([5] * 300, greedy, max_tokens=4, prompt_logprobs=1)
run_all()
resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
again = engine.add_request([5] * 300, greedy, max_tokens=4, prompt_logprobs=1, ignore_eos=True)
run_all()
print(json.dumps({"beside": ends[beside], "large": ends[large], "again": ends[again], "death": engine.death}))
"""


def test_only_who_needs_it_fails() -> None:
    # Large blocks are mapped one by one, and the heap has room for small ones from the start.
    environ = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "262144", "MALLOC_TOP_PAD_": "524288"}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    assert told["death"] == ""
    assert told["beside"] == ["LENGTH", "", False]
    finish_reason, error, no_memory = told["large"]
    assert (finish_reason, no_memory) == ("FAILED", True)
    assert "there was no memory to compute it in" in error
    assert told["again"] == ["LENGTH", "", False]
