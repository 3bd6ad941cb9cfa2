"""Hundreds of requests that are added and cancelled at random moments from several threads, while others run."""

from __future__ import annotations

import random
import threading
import time
from collections import Counter

import pytest
from engine_fixtures import GREEDY, LONG_ANSWER, LONG_QUESTION, QUESTIONS, chat, long_chat, open_engine

from shimmy import _core
from shimmy.errors import QueueFullError

N_THREADS = 4
N_EACH = 80
ENDS = {_core.FinishReason.STOP, _core.FinishReason.LENGTH, _core.FinishReason.CANCELLED}


class Storm:
    def __init__(self, engine: _core.Engine) -> None:
        self.engine = engine
        self.ids: list[int] = []
        self.ends: Counter[int] = Counter()
        self.reasons: dict[int, str] = {}
        self.parts: dict[int, str] = {}
        self.errors: list[str] = []
        self.adding = True
        self.collecting = True

    def add(self, seed: int) -> None:
        choose = random.Random(seed)
        prompts = [chat(question) for question in QUESTIONS] + [long_chat("Who are you?", 300)]
        for _ in range(N_EACH):
            n = choose.choice([0, 1, 4, 30])
            prompt = choose.choice(prompts)
            while True:
                try:
                    request_id = self.engine.add_request(prompt, GREEDY, max_tokens=n, tenant=choose.choice("ab"))
                    break
                except QueueFullError:
                    time.sleep(0.002)
            self.ids.append(request_id)
            if choose.random() < 0.3:
                self.engine.cancel(request_id)  # it may not have been looked at yet
            time.sleep(choose.random() * 0.004)

    def cancel(self, seed: int) -> None:
        choose = random.Random(seed)
        while self.adding:
            if self.ids:
                self.engine.cancel(choose.choice(self.ids[-40:]))
            time.sleep(choose.random() * 0.01)

    def collect(self) -> None:
        while True:
            last_call = not self.collecting
            outputs = self.engine.wait(0.02)
            for output in outputs:
                if self.ends[output.id]:
                    self.errors.append(f"{output.id}: an output after the last one")
                self.parts[output.id] = self.parts.get(output.id, "") + output.text
                if output.finish_reason != _core.FinishReason.NONE:
                    self.ends[output.id] += 1
                    self.reasons[output.id] = output.finish_reason.name
                    if output.finish_reason not in ENDS:
                        self.errors.append(f"{output.id}: {output.finish_reason.name} {output.error}")
            if last_call and not outputs:
                return


@pytest.mark.parametrize("prefix_cache", [True, False], ids=["prefix cache", "no prefix cache"])
def test_every_request_ends_once_and_nothing_is_left(prefix_cache: bool) -> None:
    with open_engine(
        n_ctx=1024, n_batch=64, n_ubatch=64, max_num_seqs=8, max_waiting=64, prefix_cache=prefix_cache, start=True
    ) as engine:
        storm = Storm(engine)
        collector = threading.Thread(target=storm.collect)
        collector.start()
        others = [engine.add_request(chat(LONG_QUESTION), GREEDY, tenant="patient") for _ in range(2)]
        adders = [threading.Thread(target=storm.add, args=(seed,)) for seed in range(N_THREADS)]
        cancellers = [threading.Thread(target=storm.cancel, args=(seed,)) for seed in range(2)]
        for thread in adders + cancellers:
            thread.start()
        for thread in adders:
            thread.join(100)
        storm.adding = False
        deadline = time.monotonic() + 100
        wanted = {*storm.ids, *others}
        while set(storm.ends) != wanted and time.monotonic() < deadline:
            time.sleep(0.01)
        stats = engine.stats
        storm.collecting = False
        for thread in [*cancellers, collector]:
            thread.join(20)
            assert not thread.is_alive()
        assert storm.errors == []
        assert storm.ends == Counter(wanted)
        assert len(wanted) == N_THREADS * N_EACH + 2
        assert [storm.parts[request_id] for request_id in others] == [LONG_ANSWER] * 2
        assert Counter(storm.reasons.values())["CANCELLED"] > 20
        assert (stats.running, stats.waiting, stats.requests_finished) == (0, 0, len(wanted))
        if not prefix_cache:
            assert stats.kv_cells_used == 0
        # Every cell can be had again.
        last = engine.add_request([100] * 1023, GREEDY, max_tokens=1, ignore_eos=True)
        ended = []
        while not ended:
            ended = [output for output in engine.wait(10) if output.finish_reason != _core.FinishReason.NONE]
        assert (ended[0].id, ended[0].finish_reason) == (last, _core.FinishReason.LENGTH)
