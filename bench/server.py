"""What the server adds: time to ready, time to first token and memory, side by side with llama-server.

    python bench/server.py                                   # the embedded demo model
    python bench/server.py --model bench/models/0.6b-q4_k_m.gguf --ctx 4096

Both serve the same file with the same context on 127.0.0.1; rounds are interleaved. Time to first token is that of a
streamed one-token chat whose prompt is cached; the engine alone is measured in this process with the same request. Peak
memory is the sum of VmHWM over the server's processes, after the requests.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from peers import build_peers

MESSAGES = [{"role": "user", "content": "What is the capital of France?"}]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def peak_memory(pid: int) -> float:
    """MiB at peak of a process and its children, shared pages counted in each."""
    total = 0.0
    waiting = [pid]
    while waiting:
        one = waiting.pop()
        try:
            status = Path(f"/proc/{one}/status").read_text()
            waiting += [int(child) for child in Path(f"/proc/{one}/task/{one}/children").read_text().split()]
        except FileNotFoundError:
            continue
        total += int(status.split("VmHWM:")[1].split()[0]) / 1024
    return total


@contextmanager
def serving(command: list[str], url: str) -> Iterator[tuple[int, float]]:
    """Run a server; yields its pid and the seconds until it answered /health with 200."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        while True:
            if process.poll() is not None:
                raise SystemExit(f"{command[0]} ended with {process.returncode}")
            try:
                if httpx.get(url + "/health", timeout=1).status_code == 200:
                    break
            except httpx.HTTPError:
                pass
            time.sleep(0.005)
        yield process.pid, time.perf_counter() - started
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()


def first_token_seconds(client: httpx.Client, model: str) -> float:
    body = {"model": model, "messages": MESSAGES, "max_tokens": 1, "stream": True, "temperature": 0}
    started = time.perf_counter()
    with client.stream("POST", "/v1/chat/completions", json=body) as response:
        response.raise_for_status()
        for line in response.iter_lines():
            if (
                line.startswith("data: {")
                and '"content":"' in line.replace(" ", "")
                and '"content":""' not in line.replace(" ", "")
            ):
                return time.perf_counter() - started
    raise SystemExit("the stream had no token")


def measure(command: list[str], port: int, model: str, requests: int) -> dict[str, object]:
    url = f"http://127.0.0.1:{port}"
    with serving(command, url) as (pid, ready), httpx.Client(base_url=url, timeout=120) as client:
        started = time.perf_counter()
        first_token_seconds(client, model)
        first_answer = time.perf_counter() - started
        times = [first_token_seconds(client, model) for _ in range(requests)]
        return {"ready": ready, "first_answer": first_answer, "ttft": times, "peak_mib": peak_memory(pid)}


def measure_engine(path: Path, ctx: int, requests: int) -> list[float]:
    """The same request without a server."""
    from shimmy import LLM, LoadSpec

    times = []
    with LLM(LoadSpec(name="bench", path=str(path), context={"n_ctx": ctx})) as llm:
        for _ in range(requests + 1):
            started = time.perf_counter()
            llm.chat(MESSAGES, max_tokens=1, temperature=0)
            times.append(time.perf_counter() - started)
    return times[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--ctx", type=int, default=2048)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=200)
    options = parser.parse_args()
    from shimmy import demo_model_path

    path = options.model or demo_model_path()
    name = path.stem.lower().replace("_", "-")
    program = build_peers(["llama-server"])["llama-server"]
    runs: dict[str, list[dict[str, object]]] = {"shimmy": [], "llama-server": []}
    engine: list[float] = []
    for _ in range(options.rounds):
        port = free_port()
        ours = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}", "--model-path", str(path)]
        runs["shimmy"].append(
            measure([*ours, "--ctx", str(options.ctx), "--kv-cache-disk", "0"], port, name, options.requests)
        )
        port = free_port()
        theirs = [str(program), "-m", str(path), "-c", str(options.ctx), "--port", str(port), "--host", "127.0.0.1"]
        runs["llama-server"].append(measure(theirs, port, name, options.requests))
        engine += measure_engine(path, options.ctx, options.requests)

    print(f"| {path.stem}, n_ctx {options.ctx} | ready s | first answer s | TTFT p50 ms | p99 ms | peak MiB |")
    print("|---|---|---|---|---|---|")
    for server, results in runs.items():
        times = sorted(value * 1000 for result in results for value in result["ttft"])  # type: ignore[attr-defined]
        middle = {
            key: statistics.median(float(result[key]) for result in results)  # type: ignore[arg-type]
            for key in ("ready", "first_answer", "peak_mib")
        }
        print(
            f"| {server} | {middle['ready']:.2f} | {middle['first_answer']:.2f} | {statistics.median(times):.2f} | "
            f"{times[int(len(times) * 0.99)]:.2f} | {middle['peak_mib']:.0f} |"
        )
    alone = sorted(value * 1000 for value in engine)
    print(f"| engine alone | - | - | {statistics.median(alone):.2f} | {alone[int(len(alone) * 0.99)]:.2f} | - |")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    (folder / f"server-{path.stem}.json").write_text(
        json.dumps({"runs": runs, "engine": engine, "cpus": os.cpu_count()})
    )


if __name__ == "__main__":
    main()
