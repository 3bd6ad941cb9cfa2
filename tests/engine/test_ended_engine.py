"""Every call on an engine that was shut down, before, during and after: its documented answer, and none hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import ENDLESS, LONG_QUESTION, NATIVE_ENDLESS, Driver, chat, long_chat, open_engine, spec

from shimmy import LLM, _core, demo_adapter_paths
from shimmy.errors import EngineDeadError, InvalidRequestError, ModelNotFoundError

WHO = "Who are you?"
PREFIX = long_chat(WHO, 100)

REFUSED: dict[str, Callable[[_core.Engine], Any]] = {
    "add_request": lambda engine: engine.add_request(PREFIX),
    "save_prefix": lambda engine: engine.save_prefix(PREFIX),
    "load_prefix": lambda engine: engine.load_prefix(b"state"),
    "pin_prefix": lambda engine: engine.pin_prefix(PREFIX),
    "unpin_prefix": lambda engine: engine.unpin_prefix(PREFIX),
    "shift_prefix": lambda engine: engine.shift_prefix(PREFIX, 4, 8),
}


def within_seconds(call: Callable[[], Any], seconds: float = 20.0) -> Any:
    """What the call returns, or the error that it raises; it may not take long."""
    got: list[Any] = []

    def run() -> None:
        try:
            got.append(call())
        except Exception as error:  # noqa: BLE001 - looked at by the test
            got.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), "it hangs"
    return got[0]


@pytest.mark.parametrize("started", [True, False], ids=["started", "stepped"])
@pytest.mark.parametrize("name", REFUSED)
def test_calls_that_are_refused(started: bool, name: str) -> None:
    with open_engine(n_ctx=512, start=started) as engine:
        driver = Driver(engine)
        driver.ask(PREFIX, max_tokens=1)
        if started:
            driver.wait()
        else:
            driver.finish()
        engine.shutdown()
        error = within_seconds(lambda: REFUSED[name](engine))
        assert isinstance(error, EngineDeadError)
        assert str(error) == "the engine was shut down"


@pytest.mark.parametrize("started", [True, False], ids=["started", "stepped"])
def test_calls_that_are_harmless(started: bool) -> None:
    with open_engine(n_ctx=512, start=started) as engine:
        driver = Driver(engine)
        answers = [driver.ask(LONG_QUESTION, **NATIVE_ENDLESS) for _ in range(3)]
        engine.shutdown()
        within_seconds(lambda: driver.wait(5))
        assert {answer.reason for answer in answers} == {"CANCELLED"}
        for request_id in (1, 2, 3, 4, 0, 2**64 - 1):
            assert within_seconds(lambda request_id=request_id: engine.cancel(request_id)) is None
        assert within_seconds(lambda: engine.wait(60)) == []
        assert within_seconds(engine.shutdown) is None
        assert within_seconds(engine.start) is None
        assert (engine.stats.running, engine.stats.waiting, engine.stats.requests_finished) == (0, 0, 3)
        assert (engine.death, engine.n_ctx, engine.adapters) == ("", 512, [])
        if not started:
            error = within_seconds(engine.step)
            assert error is False or isinstance(error, InvalidRequestError)  # start() came after the end


def test_adapters_of_an_engine_that_was_shut_down() -> None:
    with open_engine(n_ctx=512) as engine:
        engine.shutdown()
        engine.load_adapter("pirate", str(demo_adapter_paths()["pirate"]))
        assert engine.adapters == ["pirate"]
        engine.unload_adapter("pirate")
        with pytest.raises(ModelNotFoundError):
            engine.unload_adapter("pirate")


@pytest.mark.parametrize("attempt", range(3))
def test_calls_for_prefixes_during_the_shutdown(attempt: int) -> None:
    with open_engine(n_ctx=1024, n_batch=64, n_ubatch=64, max_num_seqs=4, start=True) as engine:
        driver = Driver(engine)
        driver.ask(PREFIX, max_tokens=1)
        driver.wait()
        for _ in range(6):
            driver.ask(LONG_QUESTION)
        ended: list[str] = []

        def keep_calling(name: str) -> None:
            while True:
                try:
                    REFUSED[name](engine)
                except EngineDeadError:
                    ended.append(name)
                    return
                except InvalidRequestError:
                    pass
                time.sleep(0.001)

        names = [name for name in REFUSED if name != "add_request"]
        threads = [threading.Thread(target=keep_calling, args=(name,), daemon=True) for name in names]
        for thread in threads:
            thread.start()
        time.sleep(0.02 * attempt)
        engine.shutdown()
        for thread in threads:
            thread.join(20)
        assert sorted(ended) == sorted(names)
        driver.wait(10)


def test_a_closed_model(tmp_path: Path) -> None:
    llm = LLM(spec(context={"n_ctx": 512}))
    session = llm.session(chat(WHO))
    session.pin()
    stream = llm.stream(chat(LONG_QUESTION), **ENDLESS)
    llm.embed(["a"])
    llm.close()
    calls: list[Callable[[], Any]] = [
        lambda: llm.generate(chat(WHO)),
        lambda: llm.chat([{"role": "user", "content": WHO}]),
        lambda: llm.samples(chat(WHO), 2),
        lambda: llm.stream(chat(WHO)),
        lambda: llm.embed(["a"]),
        lambda: session.generate("x"),
        lambda: session.save(tmp_path / "state.bin"),
        lambda: session.shift(1, 1),
        session.pin,
    ]
    for call in calls:
        assert isinstance(within_seconds(call), EngineDeadError)
    rest = within_seconds(lambda: list(stream))
    assert isinstance(rest, EngineDeadError) or rest[-1].finish_reason == "cancelled"
    assert within_seconds(session.close) is None
    assert llm.stats().running == 0
    assert llm.tokenizer.encode("a")
    assert within_seconds(llm.close) is None
    assert not (tmp_path / "state.bin").exists()


def test_embeddings_that_wait_when_the_model_is_closed() -> None:
    llm = LLM(spec(context={"n_ctx": 512}))
    got: list[Any] = []
    thread = threading.Thread(
        target=lambda: got.append(within_seconds(lambda: llm.embed(["a long text of many words"] * 2000)))
    )
    thread.start()
    time.sleep(0.05)
    within_seconds(llm.close)
    thread.join(20)
    assert not thread.is_alive()
    assert isinstance(got[0], EngineDeadError) or len(got[0].data) == 2000
