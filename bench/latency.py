"""What our HTTP server costs, side by side with llama-server: latency, processor time, idle connections, other routes.

    python bench/latency.py                        # 5 rounds on the embedded demo model, whose steps are small
    python bench/latency.py --rounds 1 --part streams --only shimmy

Streams: 1, 8, 32 and 64 chats at once, greedy, of a prompt that is cached, over kept connections; 16 are computed at a
time by either server (our default), the others wait. Latency is also that of our engine without a server, in a process
of its own. A round gives each contender one fresh process per part, and each round begins with another one.

Processor time by thread (Linux): of shimmy, all but the threads named shimmy-compute (the engine's step, the kernels'
threads, sampling) count as serving: the server process, and the runner's event loop and pump. Of llama-server, all but
the threads that compute an answer which is not streamed: its main thread, which also samples, detokenizes and queues
tokens, is no part of serving. What all threads took is shown too.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from client import HttpError, read_openai
from cpu_time import Thread, Times, proportional_memory, spent, thread_times
from engine_turn import MESSAGES, Load, StreamTimes, Turn, run_process
from peers import build_peers
from process import Process, free_port
from ratios import estimate, paired_ratios, percentile
from raw_client import RawConnection
from rounds import turn_order
from table import number, shown

LOADS = [Load(1, 24, 128), Load(8, 5, 128), Load(32, 2, 128), Load(64, 1, 128)]
N_CTX = 8192
N_IDLE = 1000
PARTS = ("streams", "routes", "idle")
SERVERS = ("shimmy", "llama-server")
ENGINE = "engine alone"
ROUTES = ("/health", "/v1/models", "/props", "/metrics", "/slots", "/api/tags", "/v1/requests", "/api/models")
ASKED = 40
"""Times that each route is asked."""


@dataclass(frozen=True)
class Server:
    """One that runs."""

    name: str
    pid: int
    port: int
    model: str
    computing: frozenset[int]
    """Its threads that compute."""

    def serves(self, thread: Thread) -> bool:
        return thread.tid not in self.computing and thread.name != "shimmy-compute"


@dataclass
class Idle:
    """MiB (PSS) of a server before and with idle connections."""

    before: float
    after: float
    open: int
    """Connections that are there at the end."""


@dataclass
class Round:
    """What one contender did in one round."""

    streams: dict[int, StreamTimes] = field(default_factory=dict)
    routes: dict[str, list[float]] = field(default_factory=dict)
    """Seconds."""
    idle: dict[str, Idle] = field(default_factory=dict)


@contextlib.contextmanager
def serving(name: str, model: Path, peer_dir: Path | None) -> Iterator[tuple[Process, int]]:
    """Start a server; yields it and its port when it is ready."""
    port = free_port()
    with tempfile.TemporaryDirectory() as folder:
        if name == "shimmy":
            command = [sys.executable, "-m", "shimmy", "serve", "--bind", f"127.0.0.1:{port}"]
            command += ["--model-path", str(model), "--ctx", str(N_CTX)]
        else:
            assert peer_dir is not None
            command = [str(peer_dir / name), "-m", str(model), "-c", str(N_CTX), "-np", "16", "-kvu"]
            command += ["--host", "127.0.0.1", "--port", str(port), "--no-ui", "--metrics"]
        with Process(command, Path(folder) / "log", cwd=Path(folder)) as process:
            process.wait_ready(f"http://127.0.0.1:{port}/health")
            yield process, port


async def known_server(name: str, model: Path, pid: int, port: int) -> Server:
    """Also asks for one whole answer, which tells llama-server's computing threads from those that serve."""
    model_name = model.stem.lower().replace("_", "-")
    connection = await RawConnection.open(port)
    body = _body(model_name, 400) | {"stream": False}
    await connection.ask("/v1/chat/completions", body)  # computes the prompt, and loads the model where that waits
    before, begin = thread_times(pid), time.perf_counter()
    await connection.ask("/v1/chat/completions", body)
    passed, after = time.perf_counter() - begin, thread_times(pid)
    connection.close()
    busy = [thread for thread in after if spent(before, {thread: after[thread]}) > passed / 4]
    computing = frozenset(thread.tid for thread in busy) if name == "llama-server" else frozenset[int]()
    return Server(name, pid, port, model_name, computing)


def _body(model: str, max_tokens: int) -> dict[str, Any]:
    return {
        "model": model,
        "messages": MESSAGES,
        "max_tokens": max_tokens,
        "temperature": 0,
        "ignore_eos": True,
        "speculation": False,
        "stream": True,
        "stream_options": {"include_usage": True},
    }


async def run_load(server: Server, load: Load) -> StreamTimes:
    connections = [await RawConnection.open(server.port) for _ in range(load.streams)]
    result = StreamTimes()
    body = _body(server.model, load.max_tokens)
    await asyncio.gather(*(one.stream("/v1/chat/completions", body) for one in connections))
    before: Times = thread_times(server.pid)
    ours, begin = time.process_time(), time.perf_counter()
    answers = []
    for _ in range(load.bursts):
        answers += await asyncio.gather(*(one.stream("/v1/chat/completions", body) for one in connections))
    result.seconds = time.perf_counter() - begin
    result.cpu = {"client": time.process_time() - ours}
    after = thread_times(server.pid)
    result.cpu |= {"all": spent(before, after), "serving": spent(before, after, server.serves)}
    for thread in after:
        kind = "compute" if not server.serves(thread) else "server" if thread.pid == server.pid else thread.name
        result.cpu[f"thread {kind}"] = result.cpu.get(f"thread {kind}", 0.0) + spent(before, {thread: after[thread]})
    for events in answers:
        read = read_openai(events)
        result.note(events.started, read.times, int(read.usage["completion_tokens"]))
    for one in connections:
        one.close()
    return result


async def run_routes(server: Server) -> dict[str, list[float]]:
    """Each route's times while 8 streams generate."""
    streams = [await RawConnection.open(server.port) for _ in range(8)]
    probe = await RawConnection.open(server.port)
    found: dict[str, list[float]] = {}
    for route in ROUTES:
        try:
            await probe.ask(route)  # whatever the first request imports
        except (ConnectionError, HttpError):
            probe.close()
            probe = await RawConnection.open(server.port)
            continue
        found[route] = []
    ended = False

    async def generate(connection: RawConnection) -> None:
        while not ended:
            await connection.stream("/v1/chat/completions", _body(server.model, 400))

    work = [asyncio.ensure_future(generate(one)) for one in streams]
    await asyncio.sleep(0.3)
    for _ in range(ASKED):
        for route, times in found.items():
            times.append(await probe.ask(route))
            await asyncio.sleep(0.001)
    ended = True
    await asyncio.gather(*work)
    for one in (*streams, probe):
        one.close()
    return found


async def run_idle(server: Server) -> dict[str, Idle]:
    """Connections that said nothing yet, and those that have had an answer."""
    warm = await RawConnection.open(server.port)
    await warm.ask("/health")
    found = {}
    for kind in ("connected", "answered"):
        if kind == "answered" and server.name == "llama-server":
            continue  # it keeps a thread for each for 5 seconds, so all of them are never open together
        await asyncio.sleep(0.5)
        before = proportional_memory(server.pid)
        connections = [await RawConnection.open(server.port) for _ in range(N_IDLE)]
        if kind == "answered":
            for one in connections:
                await one.ask("/health")
        await asyncio.sleep(1)
        after = proportional_memory(server.pid)
        found[kind] = Idle(before, after, sum(not one.closed for one in connections))
        for one in connections:
            one.close()
    warm.close()
    return found


async def measure(name: str, model: Path, process: Process, port: int, parts: list[str], loads: list[Load]) -> Round:
    server = await known_server(name, model, process.pid, port)
    result = Round()
    if "streams" in parts:
        for load in loads:
            result.streams[load.streams] = await run_load(server, load)
    if "routes" in parts:
        result.routes = await run_routes(server)
    if "idle" in parts:
        result.idle = await run_idle(server)
    return result


def run_contender(name: str, model: Path, peer_dir: Path | None, parts: list[str], loads: list[Load]) -> Round:
    if name == ENGINE:
        if "streams" not in parts:
            return Round()
        times = run_process(Turn("engine", str(model), N_CTX, loads))
        return Round({load.streams: found for load, found in zip(loads, times, strict=True)})
    import uvloop

    with serving(name, model, peer_dir) as (process, port):
        return uvloop.run(measure(name, model, process, port, parts, loads))


def stream_rows(rounds: dict[str, list[Round]]) -> Iterator[str]:
    """Medians over the rounds; of latencies, of each round's median."""
    yield "| streams | | TTFT p50 ms | TPOT p50 µs | tok/s | serving CPU µs/token | all CPU µs/token | tokens/piece |"
    yield "|---|---|---|---|---|---|---|---|"
    streams = sorted({n for found in rounds.values() for one in found for n in one.streams})
    for n in streams:
        for name, found in rounds.items():
            times = [one.streams[n] for one in found if n in one.streams]
            if not times:
                continue
            cells = [
                number(_middle(1e3 * statistics.median(one.ttft) for one in times), 3),
                number(_middle(1e6 * statistics.median(one.tpot) for one in times), 3),
                number(_middle(one.tokens / one.seconds for one in times)),
                *(_per_token(times, kind) for kind in ("serving", "all")),
                number(_middle(one.tokens / one.pieces for one in times), 3),
            ]
            yield f"| {n} | {name} | {' | '.join(cells)} |"


def added_rows(rounds: dict[str, list[Round]]) -> Iterator[str]:
    """Of shimmy over its engine alone in the same round."""
    if not rounds.get("shimmy") or not rounds.get(ENGINE):
        return
    yield "| streams | TTFT p50, added ms [95 %] | TPOT p50, added µs [95 %] | throughput, shimmy / engine [95 %] |"
    yield "|---|---|---|---|"
    for n in sorted(rounds["shimmy"][0].streams):
        pairs = [(a.streams[n], b.streams[n]) for a, b in zip(rounds["shimmy"], rounds[ENGINE], strict=True)]
        ttft = [1e3 * (statistics.median(a.ttft) - statistics.median(b.ttft)) for a, b in pairs]
        tpot = [1e6 * (statistics.median(a.tpot) - statistics.median(b.tpot)) for a, b in pairs]
        speed = [a.tokens / a.seconds / (b.tokens / b.seconds) for a, b in pairs]
        yield f"| {n} | {' | '.join(shown(estimate(values), 3) for values in (ttft, tpot, speed))} |"


def ratio_rows(rounds: dict[str, list[Round]]) -> Iterator[str]:
    """Ours / llama-server's of the same round."""
    if any(not rounds.get(name) for name in SERVERS):
        return
    ours, theirs = (rounds[name] for name in SERVERS)
    yield "| streams | serving CPU per token, ratio [95 %] | all CPU per token, ratio [95 %] |"
    yield "|---|---|---|"
    for n in sorted(ours[0].streams):
        cells = []
        for kind in ("serving", "all"):
            pairs = [[one.streams[n].cpu[kind] / one.streams[n].tokens for one in found] for found in (ours, theirs)]
            ratio = estimate(paired_ratios(*pairs))
            assert ratio is not None
            spread = "" if ratio.low is None or ratio.high is None else f" [{ratio.low:.2f}, {ratio.high:.2f}]"
            cells.append(f"{ratio.median:.2f}{spread}")
        yield f"| {n} | {' | '.join(cells)} |"


def route_rows(rounds: dict[str, list[Round]]) -> Iterator[str]:
    yield "| route, while 8 streams generate | | p50 ms | p95 ms |"
    yield "|---|---|---|---|"
    for route in ROUTES:
        for name, found in rounds.items():
            times = [1e3 * value for one in found for value in one.routes.get(route, ())]
            if times:
                yield f"| {route} | {name} | {statistics.median(times):.2f} | {percentile(times, 95):.2f} |"


def idle_rows(rounds: dict[str, list[Round]]) -> Iterator[str]:
    yield f"| {N_IDLE:,} idle connections | | MiB more | MiB before | open |"
    yield "|---|---|---|---|---|"
    for kind in ("connected", "answered"):
        for name, found in rounds.items():
            seen = [one.idle[kind] for one in found if kind in one.idle]
            if seen:
                more = _middle(one.after - one.before for one in seen)
                yield f"| {kind} | {name} | {more:.1f} | {_middle(i.before for i in seen):.1f} | {seen[-1].open} |"


def _middle(values: Iterator[float]) -> float:
    return statistics.median(list(values))


def _per_token(times: list[StreamTimes], kind: str) -> str:
    if any(kind not in one.cpu for one in times):
        return "-"
    return number(_middle(1e6 * one.cpu[kind] / one.tokens for one in times), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--peer-dir", type=Path, help="folder with llama-server; default: build it")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", action="append", choices=PARTS, help="only this; may be given again")
    parser.add_argument("--only", action="append", choices=[*SERVERS, ENGINE], help="as --part")
    parser.add_argument("--streams", action="append", type=int, choices=[load.streams for load in LOADS])
    options = parser.parse_args()
    from shimmy import demo_model_path

    model = options.model or demo_model_path()
    names = options.only or [*SERVERS, ENGINE]
    loads = [load for load in LOADS if not options.streams or load.streams in options.streams]
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    peer_dir = options.peer_dir
    if peer_dir is None and "llama-server" in names:
        peer_dir = build_peers(["llama-server"])["llama-server"].parent
    rounds: dict[str, list[Round]] = {name: [] for name in names}
    for at in range(options.rounds):
        for name in turn_order(names, at):
            rounds[name].append(run_contender(name, model, peer_dir, options.part or list(PARTS), loads))
    for rows in (stream_rows, added_rows, ratio_rows, route_rows, idle_rows):
        print("\n".join(rows(rounds)) + "\n")
    folder = Path(__file__).parent / "results"
    folder.mkdir(exist_ok=True)
    raw = {name: [dataclasses.asdict(one) for one in found] for name, found in rounds.items()}
    (folder / f"latency-{model.stem}.json").write_text(json.dumps(raw))


if __name__ == "__main__":
    main()
