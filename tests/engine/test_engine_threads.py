"""Many threads at one engine, its shutdown, and everything at once: each request is answered exactly once."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from engine_fixtures import GREEDY, LONG_QUESTION, NATIVE_ENDLESS, QUESTIONS, Driver, chat, long_chat, open_engine

from shimmy import _core, demo_adapter_paths
from shimmy.errors import EngineDeadError, ModelNotFoundError, QueueFullError

LAST = {
    _core.FinishReason.STOP,
    _core.FinishReason.LENGTH,
    _core.FinishReason.CANCELLED,
}


def run_threads(*works: Callable[[], None]) -> None:
    """Run all at once and raise what any of them raised."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:  # noqa: BLE001 - handed to the test's own thread
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(work,)) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive()
    if errors:
        raise errors[0]


class Collector:
    """Takes a started engine's outputs on a thread of its own."""

    def __init__(self, engine: _core.Engine) -> None:
        self.last: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()
        self._engine = engine
        self._stop = False
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        while True:
            stop = self._stop
            outputs = self._engine.wait(0.02)
            for output in outputs:
                assert self.last[output.id] == 0, "an output after the last one"
                if output.finish_reason in LAST:
                    self.last[output.id] += 1
                    self.reasons[output.finish_reason.name] += 1
            if stop and not outputs:
                return

    def finish(self) -> None:
        self._stop = True
        self._thread.join(60)
        assert not self._thread.is_alive()


def add_when_there_is_room(engine: _core.Engine, prompt: list[int], **options: Any) -> int:
    while True:
        try:
            return engine.add_request(prompt, GREEDY, **options)
        except QueueFullError:
            time.sleep(0.001)


def test_thousands_of_requests_and_cancels_from_eight_threads() -> None:
    prompts = [chat(question) for question in QUESTIONS] + [long_chat("Who are you?", 200)]
    ids: list[list[int]] = [[] for _ in range(8)]
    with open_engine(n_ctx=1024, max_waiting=64, adapters=True, start=True) as engine:
        collector = Collector(engine)

        def work(which: int) -> None:
            choose = random.Random(which)
            for _ in range(250):
                lora = [(choose.choice(["pirate", "terse"]), 1.0)] if choose.random() < 0.05 else []
                n = choose.choice([0, 1, 1, 1, 2, 5])
                request_id = add_when_there_is_room(engine, choose.choice(prompts), max_tokens=n, lora=lora)
                ids[which].append(request_id)
                if choose.random() < 0.7:
                    engine.cancel(choose.choice(ids[which]))
                if choose.random() < 0.05:
                    engine.cancel(choose.randrange(10_000))

        run_threads(*[lambda which=which: work(which) for which in range(8)])
        for request_id in [request_id for part in ids for request_id in part][::2]:
            engine.cancel(request_id)
        deadline = time.monotonic() + 30
        while engine.stats.requests_finished < 2000 and time.monotonic() < deadline:
            time.sleep(0.01)
        stats = engine.stats
        engine.shutdown()
        collector.finish()
    all_ids = [request_id for part in ids for request_id in part]
    assert len(set(all_ids)) == len(all_ids) == 2000
    assert collector.last == Counter(all_ids)
    assert (stats.running, stats.waiting, stats.requests_finished) == (0, 0, len(all_ids))
    assert collector.reasons["CANCELLED"] > 0
    assert collector.reasons["STOP"] + collector.reasons["LENGTH"] > 0


def test_adapters_come_and_go_while_requests_use_them() -> None:
    path = str(demo_adapter_paths()["pirate"])
    with open_engine(max_num_seqs=4, start=True) as engine:
        collector = Collector(engine)
        ids: list[int] = []
        done = threading.Event()

        def ask() -> None:
            choose = random.Random(5)
            while not done.is_set():
                lora = [(f"pirate{choose.randrange(3)}", 1.0)] if choose.random() < 0.7 else []
                try:
                    ids.append(add_when_there_is_room(engine, chat("Who are you?"), max_tokens=3, lora=lora))
                except ModelNotFoundError:
                    time.sleep(0.001)

        def swap(name: str) -> None:
            try:
                for _ in range(25):
                    engine.load_adapter(name, path)
                    time.sleep(0.002)
                    engine.unload_adapter(name)
            finally:
                if name == "pirate0":
                    done.set()

        run_threads(ask, *[lambda name=name: swap(name) for name in ("pirate0", "pirate1", "pirate2")])
        engine.shutdown()
        collector.finish()
        assert engine.death == ""
    assert collector.last == Counter(ids)


def test_shutdown_answers_everything_in_flight() -> None:
    with open_engine(max_num_seqs=2, start=True) as engine:
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION, **NATIVE_ENDLESS) for _ in range(6)]
        while not answers[0].tokens:
            driver.take(0.1)
        engine.shutdown()
        driver.take()
        assert {answer.reason for answer in answers} == {"CANCELLED"}
        assert (engine.stats.running, engine.stats.waiting, engine.stats.requests_finished) == (0, 0, 6)
        with pytest.raises(EngineDeadError, match="shut down"):
            driver.ask(LONG_QUESTION)
        started = time.monotonic()
        assert engine.wait(30) == []
        assert time.monotonic() - started < 10, "wait() returns at once after the end"
        engine.cancel(1)
        engine.shutdown()
        engine.start()
        assert engine.death == ""


def test_shutdown_of_an_engine_stepped_by_hand() -> None:
    with open_engine() as engine:
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION), driver.ask(LONG_QUESTION, max_tokens=0)]
        engine.shutdown()
        driver.take()
        assert [answer.reason for answer in answers] == ["CANCELLED", "LENGTH"]
        assert not engine.step()


@pytest.mark.parametrize("attempt", range(5))
def test_shutdown_from_several_threads_while_others_add(attempt: int) -> None:
    ids: list[int] = []
    barrier = threading.Barrier(6)
    with open_engine(max_num_seqs=4, start=True) as engine:
        collector = Collector(engine)

        def add() -> None:
            barrier.wait()
            with pytest.raises(EngineDeadError, match="shut down"):
                while True:
                    ids.append(add_when_there_is_room(engine, chat(LONG_QUESTION)))

        def end() -> None:
            barrier.wait()
            time.sleep(0.005 * attempt)
            engine.shutdown()
            assert engine.stats.running == 0

        run_threads(add, add, add, end, end, end)
        collector.finish()
    assert collector.last == Counter(ids)
    assert set(collector.reasons) <= {"CANCELLED", "STOP"}


def test_shutdown_interrupts_a_long_prefill() -> None:
    prompt = long_chat("Who are you?", 1900)
    with open_engine(n_batch=2048, n_ubatch=16, start=True) as engine:
        driver = Driver(engine)
        answer = driver.ask(prompt)
        while engine.stats.waiting:
            time.sleep(0.001)
        engine.shutdown()
        driver.take()
        assert (answer.reason, answer.tokens) == ("CANCELLED", [])


def test_an_engine_dropped_while_it_runs_ends_quietly() -> None:
    with open_engine(start=True) as engine:
        Driver(engine).ask(LONG_QUESTION)
    del engine
