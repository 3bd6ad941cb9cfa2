"""bench/: statistics, event parsing, schedules and tables. What starts programs is tried by compare.py --tiny."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import math
import os
import random
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import state

from shimmy.models.residency import Bytes

BENCH = Path(__file__).resolve().parents[2] / "bench"
EXTRAS = {"psutil", "jsonschema"}
"""Packages of the test group that an older environment may lack."""


class Modules:
    """The modules under test, which live outside the package: `contenders__target` is contenders.target."""

    def __getattr__(self, name: str) -> ModuleType:
        try:
            return importlib.import_module(name.replace("__", "."))
        except ModuleNotFoundError as error:
            if error.name in EXTRAS:
                pytest.skip(f"{error.name} is not installed")
            raise AttributeError(f"bench/ has no {name}: {error}") from error


@pytest.fixture(scope="module")
def bench() -> Iterator[Modules]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCH))
        yield Modules()


# --- statistics -------------------------------------------------------------------------------------------------------


def test_the_interval_holds_the_median_and_narrows_with_more_values(bench: Modules) -> None:
    widths = []
    for n in (5, 20, 80):
        values = [9 + 2 * number / (n - 1) for number in range(n)]
        found = bench.ratios.estimate(values)
        assert min(values) <= found.low <= found.median <= found.high <= max(values)
        widths.append(found.high - found.low)
    assert widths[0] > widths[1] > widths[2]


def test_the_interval_covers_the_true_median_about_as_often_as_it_says(bench: Modules) -> None:
    rng = random.Random(11)
    hits = 0
    for _ in range(100):
        low, high = bench.ratios.interval([rng.gauss(0, 1) for _ in range(15)], draws=200)
        hits += low <= 0 <= high
    assert 85 <= hits <= 100


def test_few_values_have_no_interval(bench: Modules) -> None:
    assert bench.ratios.estimate([]) is None
    assert bench.ratios.estimate([2.0]) == bench.ratios.Estimate(2.0, None, None, 1)
    equal = bench.ratios.estimate([4.0] * 5)
    assert (equal.low, equal.median, equal.high) == (4.0, 4.0, 4.0)


def test_ratios_pair_rounds_and_leave_out_what_is_missing(bench: Modules) -> None:
    assert bench.ratios.paired_ratios([2.0, None, 6.0, 1.0], [1.0, 5.0, 3.0, 0.0]) == [2.0, 2.0]


@pytest.mark.parametrize(("percent", "expected"), [(50, 5), (95, 10), (99, 10), (100, 10), (1, 1)])
def test_percentiles_are_nearest_rank(bench: Modules, percent: float, expected: float) -> None:
    assert bench.ratios.percentile(list(range(10, 0, -1)), percent) == expected
    with pytest.raises(ValueError, match="at least one value"):
        bench.ratios.percentile([], percent)


# --- the client -------------------------------------------------------------------------------------------------------


@given(
    events=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), max_size=8
    ),
    end=st.sampled_from([b"\n", b"\r\n"]),
    size=st.integers(1, 9),
)
def test_events_come_whole_however_they_are_cut(bench: Modules, events: list[str], end: bytes, size: int) -> None:
    wire = b"".join(b": a comment" + end + b"data: " + event.encode() + end + end for event in events)
    parser = bench.sse.SseParser()
    found = [event for at in range(0, len(wire), size) for event in parser.feed(wire[at : at + size])]
    assert found == events


def test_data_lines_of_one_event_are_joined(bench: Modules) -> None:
    assert bench.sse.SseParser().feed(b"event: x\ndata: a\ndata:b\nid: 1\n\ndata: c\n") == ["a\nb"]


def test_streams_of_all_dialects_are_read(bench: Modules) -> None:
    chunks = [
        {"choices": [{"delta": {"role": "assistant", "content": None}}]},
        {"choices": [{"delta": {"content": "Hel"}}]},
        {"choices": [{"text": "lo"}]},
        {"choices": [{"delta": {}, "finish_reason": "stop"}], "timings": {"draft_n": 3}},
        {"choices": [], "usage": {"completion_tokens": 2}},
    ]
    events = [(float(at), json.dumps(chunk)) for at, chunk in enumerate(chunks)]
    read = bench.client.read_openai(bench.client.Events(0.0, 9.0, events))
    assert (read.text, read.times, read.finish_reason) == ("Hello", [1.0, 2.0], "stop")
    assert (read.usage, read.timings) == ({"completion_tokens": 2}, {"draft_n": 3})


@given(
    events=st.lists(
        st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"]), min_size=1), max_size=8
    ),
    size=st.integers(1, 40),
)
def test_chunked_events_have_the_time_at_which_their_end_came(bench: Modules, events: list[str], size: int) -> None:
    wire = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
    ends = []
    for event in events:
        chunk = b"data: " + event.encode() + b"\n\n"
        wire += b"%x\r\n%b\r\n" % (len(chunk), chunk)
        ends.append(len(wire))
    wire += b"0\r\n\r\n"
    arrivals = [(float(at), wire[at : at + size]) for at in range(0, len(wire), size)]
    times = [float((end - 1) // size * size) for end in ends]
    assert bench.raw_client.events_of(arrivals) == list(zip(times, events, strict=True))


def test_the_raw_client_reads_answers_with_a_length_and_in_chunks(bench: Modules) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                length = int(head.partition("content-length: ")[2].split()[0])
                await reader.readexactly(length)
                first, then = parts[head.split()[1]]
                writer.write(b"HTTP/1.1 " + first)
                await asyncio.sleep(0.01)
                writer.write(then)
        writer.close()
        ended.set()

    parts = {
        "/whole": (b"200 OK\r\nContent-Length: 4\r\n\r\nwh", b"at"),
        "/stream": (b"200 OK\r\ntransfer-encoding: chunked\r\n\r\n7\r\ndata: 1\r\n", b"2\r\n\n\n\r\n0\r\n\r\n"),
        "/missing": (b"404 Not Found\r\ncontent-length: 4\r\n\r\n", b"none"),
    }

    async def work() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            connection = await bench.raw_client.RawConnection.open(server.sockets[0].getsockname()[1])
            assert await connection.ask("/whole") >= 0.005
            events = await connection.stream("/stream", {"stream": True})
            assert [data for _, data in events.events] == ["1"]
            assert events.events[0][0] >= events.started + 0.005
            with pytest.raises(bench.client.HttpError, match=r"HTTP 404: .*Not Found"):
                await connection.ask("/missing")
            connection.close()
            await ended.wait()

    ended = asyncio.Event()
    asyncio.run(asyncio.wait_for(work(), 10))


def test_the_raw_client_has_as_many_connections_as_are_needed_and_keeps_them(bench: Modules) -> None:
    body = b'data: {"choices": [{"text": "hi"}]}\n\n'
    connections: list[asyncio.StreamWriter] = []
    waiting = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        with contextlib.suppress(asyncio.IncompleteReadError):
            while head := (await reader.readuntil(b"\r\n\r\n")).decode():
                await reader.readexactly(int(head.partition("content-length: ")[2].split()[0]))
                if len(connections) == 2:
                    waiting.set()
                await waiting.wait()  # both are asked at once
                status = b"200 OK" if "/v1/completions" in head else b"501 Not Implemented"
                chunk = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
                writer.write(b"HTTP/1.1 " + status + b"\r\ntransfer-encoding: chunked\r\n\r\n" + chunk)
        writer.close()

    async def ask() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server, bench.raw_client.RawClient(server.sockets[0].getsockname()[1]) as client:
            for _ in range(2):
                answers = await asyncio.gather(*(client.stream("/v1/completions", {}) for _ in range(2)))
                assert [bench.client.read_openai(events).text for events in answers] == ["hi", "hi"]
            assert len(connections) == 2
            with pytest.raises(bench.client.HttpError, match="HTTP 501"):
                await client.stream("/elsewhere", {})
            assert bench.client.read_openai(await client.stream("/v1/completions", {})).text == "hi"

    asyncio.run(asyncio.wait_for(ask(), 10))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_processor_time_is_told_by_thread(bench: Modules) -> None:
    ended = threading.Event()

    def compute() -> None:
        until = time.thread_time() + 0.05
        while time.thread_time() < until:
            pass
        ended.wait()

    before = bench.cpu_time.thread_times(os.getpid())
    thread = threading.Thread(target=compute)
    thread.start()
    deadline = time.monotonic() + 10
    own = 0.0
    while own < 0.05 and time.monotonic() < deadline:
        time.sleep(0.02)
        after = bench.cpu_time.thread_times(os.getpid())
        own = bench.cpu_time.spent(before, after, lambda one: one.tid == thread.native_id)
    ended.set()
    thread.join()
    assert own == pytest.approx(0.05, abs=0.03)
    assert bench.cpu_time.spent(before, after) >= own


def test_an_error_inside_a_stream_is_raised(bench: Modules) -> None:
    events = bench.client.Events(0.0, 1.0, [(0.5, '{"error": {"code": 501, "message": "no"}}')])
    with pytest.raises(bench.client.HttpError, match="HTTP 501"):
        bench.client.read_openai(events)


def test_the_client_reads_a_real_stream(bench: Modules) -> None:
    sizes: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        body = b'data: {"choices": [{"text": "hi"}]}\n\ndata: [DONE]\n\n'
        status = b"200 OK" if b"/v1/completions" in head else b"404 Not Found"
        writer.write(b"HTTP/1.1 " + status + b"\r\nconnection: close\r\n\r\n" + body)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    async def ask() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server, bench.client.StreamingClient(f"http://127.0.0.1:{port}") as client:
            events = await client.stream("/v1/completions", {}, sizes.append)
            assert bench.client.read_openai(events).text == "hi"
            with pytest.raises(bench.client.HttpError, match="HTTP 404"):
                await client.stream("/elsewhere", {})

    asyncio.run(ask())
    assert sizes[-1] == 2


# --- answers and turns ------------------------------------------------------------------------------------------------


def test_times_of_an_answer(bench: Modules) -> None:
    answer = bench.contenders__target.Answer(1.0, 5.0, [2.0, 3.0, 4.5], "abc", 7, 3)
    assert (answer.ttft, answer.seconds, answer.gaps, answer.tpot) == (1.0, 4.0, [1.0, 1.5], 1.5)
    silent = bench.contenders__target.Answer(1.0, 5.0, [], "", 7, 1)
    assert (silent.ttft, silent.gaps, silent.tpot) == (4.0, [], 0.0)


def test_each_round_begins_with_another_contender(bench: Modules) -> None:
    orders = [bench.rounds.turn_order(["a", "b", "c"], number) for number in range(4)]
    assert orders == [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]]
    assert bench.rounds.turn_order([], 3) == []


def test_a_contender_without_the_feature_has_one_turn(bench: Modules, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def turn(job: tuple[str, int], timeout: float) -> object:
        asked.append(job[0])
        if job[0] == "old":
            return bench.turn.Outcome(not_supported="it has no such field")
        return bench.turn.Outcome({"speed": 1.0})

    monkeypatch.setattr(bench.rounds, "run_turn_process", turn)
    comparison = bench.rounds.Comparison("P0", "model", 3)
    bench.rounds.run_rounds(comparison, ["new", "old"], lambda name, number: (name, number), 1.0)
    assert asked.count("old") == 1 and asked.count("new") == 3
    assert comparison.skipped == {"old": "not supported by old: it has no such field"}
    assert comparison.values("new", "speed") == [1.0, 1.0, 1.0]


def test_a_process_is_gone_after_its_block(bench: Modules, tmp_path: Path) -> None:
    """Its children too; the log stays when the block fails."""
    script = (
        "import subprocess, sys, time; p = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    )
    script += "print(p.pid, flush=True); time.sleep(60)"
    log = tmp_path / "log"
    with pytest.raises(KeyError), bench.process.Process([sys.executable, "-c", script], log) as process:
        while not (text := log.read_text()).endswith("\n"):
            pass
        assert process.memory.now() > 0
        raise KeyError
    child = int(text)
    end = time.monotonic() + 10  # a busy machine takes its time to bury it
    while state(child) is not None:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert log.exists()


def test_a_program_that_ends_at_once_says_why(bench: Modules, tmp_path: Path) -> None:
    command = [sys.executable, "-c", "print('no such flag'); raise SystemExit(3)"]
    with (
        pytest.raises(bench.process.StartError, match=r"ended with 3: no such flag"),
        bench.process.Process(command, tmp_path / "log") as process,
    ):
        process.wait_ready(f"http://127.0.0.1:{bench.process.free_port()}/health")


# --- workloads and tables ---------------------------------------------------------------------------------------------


def test_workloads_name_contenders_that_there_are(bench: Modules) -> None:
    for workload in bench.workloads.WORKLOADS.values():
        assert set(workload.contenders) <= bench.contenders.CONTENDERS.keys(), workload.id
        assert workload.subject in workload.contenders, workload.id
        for sizes in (workload, workload.shrunk()):
            assert sizes.metrics and sizes.n_ctx >= 16, workload.id


def test_limits_belong_to_metrics(bench: Modules) -> None:
    limits = bench.limits
    machine = limits.Machine("cpu", 2, 24.0, 30.0, 25.0, 100.0)
    cost = limits.ModelCost(4e8, 1e5, 8e8)
    for workload in bench.workloads.WORKLOADS.values():
        found = workload.limits(machine, cost)
        assert found.keys() <= workload.metrics.keys(), workload.id
        assert all(math.isfinite(value) and value > 0 for value in found.values()), workload.id
    assert cost.decode_limit(machine, depth=0) == pytest.approx(75)
    assert cost.decode_limit(machine, depth=1000, streams=4) == pytest.approx(4 * 30e9 / (4e8 + 4 * 1e8))


@pytest.mark.parametrize(
    ("text", "valid"), [('{"a": 1}', True), ('{"a": "x"}', False), ('{"a": 1', False), ("", False)]
)
def test_documents_are_checked(bench: Modules, text: str, valid: bool) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]}
    assert bench.workloads__structured.is_valid(text, schema) is valid


@pytest.mark.parametrize(
    ("value", "expected"),
    [(0, "0"), (0.012345, "0.012"), (1.5, "1.500"), (66.04, "66.04"), (340.94, "340.9"), (12345.6, "12,346")],
)
def test_numbers_have_four_digits(bench: Modules, value: float, expected: str) -> None:
    assert bench.table.number(value) == expected


def test_the_table(bench: Modules) -> None:
    workload = bench.workloads.WORKLOADS["P2"].shrunk()
    outcome = bench.turn.Outcome
    comparison = bench.rounds.Comparison("P2", "mini", 3)
    comparison.outcomes = {
        "llama-bench": [outcome({"pp32": 10.0}), outcome({"pp32": 10.0}), outcome({"pp32": 10.0})],
        "shimmy engine": [outcome({"pp32": 20.0}, 64.0), outcome(error="it fell over"), outcome({"pp32": 30.0}, 64.0)],
    }
    comparison.limits = {"pp32": 50.0}
    comparison.skipped = {"other": "not installed"}
    lines = bench.table.markdown_table(workload, comparison).splitlines()
    assert lines[0] == "### P2 prefill, one prompt: mini, 3 rounds, ratio = shimmy engine / contender"
    assert lines[4] == "| pp32, tok/s ↑ | shimmy engine | 25.00 [20.00, 30.00] |  | 50.00 | 50 % |"
    assert lines[5] == "|  | llama-bench | 10.00 [10.00, 10.00] | 2.50 [2.00, 3.00] | 50.00 | 20 % |"
    assert lines[6].startswith("| peak memory, MiB ↓ | shimmy engine | 64.00")
    assert "- other left out: not installed" in lines
    assert "- shimmy engine failed in 1 of 3 rounds, the last time with: it fell over" in lines
    assert bench.table.terminal_table(workload, comparison).row_count == 3


def test_what_a_server_adds_is_told_as_a_difference(bench: Modules) -> None:
    workload = bench.workloads.WORKLOADS["P3"]
    outcome = bench.turn.Outcome
    comparison = bench.rounds.Comparison("P3", "mini", 2)
    comparison.outcomes = {
        "shimmy": [outcome({"TTFT p50": 4.0}), outcome({"TTFT p50": 5.0})],
        "shimmy engine": [outcome({"TTFT p50": 1.0}), outcome({"TTFT p50": 2.0})],
    }
    assert bench.table.differences(workload, comparison) == [
        "TTFT p50, shimmy over shimmy engine: 3.000 [3.000, 3.000] ms"
    ]


def test_switches_are_told_in_milliseconds(bench: Modules) -> None:
    kinds = bench.switch.KINDS
    found = {"a": {kind: [0.01, 0.02, 0.03] for kind in kinds}, "b": {kind: [2.0] for kind in kinds}}
    head, _, first, second = bench.switch.report(found)
    assert head == "| first text, ms | same | resident | loaded | evicted |"
    assert first.startswith("| a | 20.00 [10.00, 30.00] | ")
    assert second == "| b | 2,000 | 2,000 | 2,000 | 2,000 |"


def test_an_estimate_that_reserves_too_much_is_an_error_above_zero(bench: Modules) -> None:
    load = bench.estimates.Load(estimated=Bytes(110, 45), measured=Bytes(100, 50))
    assert [load.error(kind) for kind in ("ram", "vram")] == [pytest.approx(10), pytest.approx(-10)]
