"""What callers see when the engine dies or an output cannot be read: the pump and its drivers, on a scripted engine.

No request can kill a healthy engine, so its death is played here: FAILED outputs and a `death` that stays.
"""

from __future__ import annotations

import asyncio
import logging
from queue import Empty, SimpleQueue
from types import SimpleNamespace
from typing import Any

import pytest

from shimmy import AsyncEngine, GenerateRequest, RequestOutput, _core
from shimmy.errors import DecodeError, EngineDeadError, OutOfMemoryError, ShimmyError
from shimmy.fitted_prompt import FittedPrompt
from shimmy.generation import Generation
from shimmy.output import Usage
from shimmy.pump import Delivery, Pump

REASON = _core.FinishReason


def output(
    request_id: int, text: str = "", finish_reason: Any = REASON.NONE, error: str = "", no_memory: bool = False
) -> SimpleNamespace:
    """A `_core.Output`, which Python cannot make."""
    return SimpleNamespace(
        id=request_id,
        text=text,
        tokens=[],
        logprobs=[],
        prompt_logprobs=[],
        finish_reason=finish_reason,
        stop_string=None,
        stop_token=None,
        error=error,
        no_memory=no_memory,
        usage=_NO_USAGE,
    )


_NO_USAGE = SimpleNamespace(
    prompt_tokens=1,
    cached_tokens=0,
    cache_diverged_at=-1,
    cache_miss=_core.CacheMiss.NONE,
    completion_tokens=0,
    drafted_tokens=0,
    accepted_tokens=0,
    queue_seconds=0.0,
    prefill_seconds=0.0,
    decode_seconds=0.0,
)


class ScriptedModel:
    """Stands in for LoadedModel and its engine: `say` is what the engine answers next."""

    def __init__(self) -> None:
        self.engine = self
        self.tokenizer = SimpleNamespace(piece=lambda token, special: b"")
        self.death = ""
        self.trouble: Exception | None = None
        self.cancelled: list[int] = []
        self._ids = 0
        self._closed = False
        self._steps: SimpleQueue[list[SimpleNamespace]] = SimpleQueue()

    def say(self, *outputs: SimpleNamespace) -> None:
        self._steps.put(list(outputs))

    def die(self, *request_ids: int) -> None:
        self.death = "the engine died: out of cells"
        self.say(*(output(request_id, finish_reason=REASON.FAILED, error=self.death) for request_id in request_ids))

    def prepare(self, request: GenerateRequest) -> Generation:
        return Generation(request, FittedPrompt([1], None, None), _core.SamplingParams(), [], [], None)

    def restore(self, generation: Generation) -> None:
        pass

    def used(self, generation: Generation, usage: Usage) -> None:
        pass

    def add(self, generation: Generation) -> int:
        if self.death:
            raise EngineDeadError(self.death)
        self._ids += 1
        return self._ids

    def wait(self, timeout: float, interval: float = 0.0) -> list[SimpleNamespace]:
        try:
            step = self._steps.get(timeout=0.0 if self._closed else timeout)
        except Empty:
            return []
        if self.trouble is not None:
            raise self.trouble
        return step

    def cancel(self, request_id: int) -> None:
        self.cancelled.append(request_id)

    def close(self) -> None:
        self._closed = True
        self._steps.put([])


def request(name: str) -> GenerateRequest:
    return GenerateRequest(request_id=name, prompt=[1])


class Pumped:
    def __init__(self) -> None:
        self.model = ScriptedModel()
        self.items: SimpleQueue[tuple[str, RequestOutput | ShimmyError]] = SimpleQueue()
        self.pump: Pump[str] = Pump(self.model, self._deliver)  # type: ignore[arg-type]

    def _deliver(self, delivery: Delivery[str]) -> None:
        for item in delivery:
            self.items.put(item)

    def submit(self, name: str, generation: Generation | None = None) -> int:
        return self.pump.submit(generation or self.model.prepare(request(name)), name)

    def get(self) -> tuple[str, RequestOutput | ShimmyError]:
        return self.items.get(timeout=10)


def test_outputs_that_cannot_be_read_end_every_request() -> None:
    pumped = Pumped()
    for name in ("a", "b"):
        pumped.submit(name)
    pumped.model.trouble = MemoryError("no room")
    pumped.model.say()
    for name in ("a", "b"):
        consumer, error = pumped.get()
        assert (consumer, type(error)) == (name, EngineDeadError)
        assert str(error) == "the outputs of the engine are lost: MemoryError: no room"
    with pytest.raises(EngineDeadError):
        pumped.submit("c")
    pumped.pump.close()


def test_death_reaches_every_request_and_sticks() -> None:
    pumped = Pumped()
    ids = [pumped.submit("a"), pumped.submit("b")]
    pumped.model.say(output(ids[0], "fine"))
    assert pumped.get()[0] == "a"
    pumped.model.die(*ids)
    for name in ("a", "b"):
        consumer, error = pumped.get()
        assert consumer == name
        assert isinstance(error, EngineDeadError)
        assert str(error) == "the engine died: out of cells"
    with pytest.raises(EngineDeadError, match="out of cells"):
        pumped.submit("c")
    pumped.pump.close()


def test_one_failed_request_is_a_decode_error_of_its_own() -> None:
    pumped = Pumped()
    failed, fine = pumped.submit("failed"), pumped.submit("fine")
    pumped.model.say(
        output(failed, finish_reason=REASON.FAILED, error="all logits are NaN"), output(fine, "text", REASON.STOP)
    )
    name, error = pumped.get()
    assert (name, str(error)) == ("failed", "all logits are NaN")
    assert isinstance(error, DecodeError)
    name, item = pumped.get()
    assert isinstance(item, RequestOutput)
    assert (name, item.text, item.finish_reason) == ("fine", "text", "stop")
    pumped.pump.close()


def test_want_of_memory_is_an_error_of_its_own_class() -> None:
    pumped = Pumped()
    failed = pumped.submit("failed")
    pumped.model.say(output(failed, finish_reason=REASON.FAILED, error="no room for 4 MiB", no_memory=True))
    _, error = pumped.get()
    assert (type(error), str(error)) == (OutOfMemoryError, "no room for 4 MiB")
    pumped.pump.close()


class Unreadable(Generation):
    """Its second output cannot be read."""

    reads = 0

    def convert(self, *arguments: Any) -> RequestOutput:
        self.reads += 1
        if self.reads == 2:
            raise UnicodeError("not text")
        return super().convert(*arguments)


def test_an_output_that_cannot_be_read_ends_its_request_only(caplog: pytest.LogCaptureFixture) -> None:
    pumped = Pumped()
    bad = Unreadable(request("bad"), [1], _core.SamplingParams(), [], [], None)
    bad_id, good_id = pumped.submit("bad", bad), pumped.submit("good")
    pumped.model.say(output(bad_id, "1"), output(bad_id, "2"), output(bad_id, "3"), output(good_id, "1"))
    pumped.model.say(output(bad_id, finish_reason=REASON.CANCELLED), output(good_id, "2", REASON.STOP))
    got = [pumped.get() for _ in range(4)]
    assert [name for name, _ in got] == ["bad", "bad", "good", "good"]
    assert isinstance(got[1][1], ShimmyError)
    assert "UnicodeError: not text" in str(got[1][1])
    assert pumped.model.cancelled == [bad_id]
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    pumped.pump.close()
    assert pumped.items.empty()


def test_an_async_engine_that_dies() -> None:
    async def work() -> None:
        model = ScriptedModel()
        engine = AsyncEngine(model)  # type: ignore[arg-type]
        assert engine.alive
        async with engine.stream(request("a")) as first, engine.stream(request("b")) as second:
            model.say(output(1, "hello"))
            assert (await anext(first)).text == "hello"
            model.die(1, 2)
            for stream in (first, second):
                with pytest.raises(EngineDeadError, match="out of cells"):
                    await asyncio.wait_for(anext(stream), 10)
                with pytest.raises(StopAsyncIteration):
                    await anext(stream)
        assert model.cancelled == []
        assert not engine.alive
        with pytest.raises(EngineDeadError, match="out of cells"):
            async with engine.stream(request("c")):
                raise AssertionError("entered")
        await engine.close()

    asyncio.run(work())
