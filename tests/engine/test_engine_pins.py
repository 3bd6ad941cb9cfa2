"""Pinned prefixes: they stay whatever comes, go when they are let go, and never keep a request from running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from engine_fixtures import QUESTIONS, Driver, ask_alone, chat, long_chat, open_engine

from shimmy import _core
from shimmy.errors import InvalidRequestError

WHO = "Who are you?"
PREFIX = long_chat(WHO, 150)

both_caches = pytest.mark.parametrize("kv_unified", [True, False], ids=["unified", "split"])


@pytest.fixture
def engine(request: pytest.FixtureRequest) -> Iterator[_core.Engine]:
    kv_unified = getattr(request, "param", True)
    with open_engine(
        n_ctx=512 if kv_unified else 2048, max_num_seqs=4, kv_unified=kv_unified, cache_ram_mib=0
    ) as opened:
        yield opened


both_engines = pytest.mark.parametrize("engine", [True, False], ids=["unified", "split"], indirect=True)


def cached(engine: _core.Engine, tokens: list[int]) -> int:
    return ask_alone(engine, tokens, max_tokens=1).usage.cached_tokens


def pin(engine: _core.Engine, tokens: list[int]) -> None:
    ask_alone(engine, tokens, max_tokens=1)
    engine.pin_prefix(tokens)


def fill(engine: _core.Engine) -> None:
    """More than all sequences and cells, with nothing in common."""
    driver = Driver(engine)
    for token in range(100, 106):
        driver.ask([token] * 200, max_tokens=8, ignore_eos=True)
    driver.finish()


@both_engines
def test_a_pinned_prefix_survives_what_evicts_others(engine: _core.Engine) -> None:
    pin(engine, PREFIX)
    other = [7] * 100
    ask_alone(engine, other, max_tokens=1)
    fill(engine)
    assert engine.stats.kv_cells_used <= engine.stats.kv_cells_total
    assert cached(engine, other) == 0
    assert cached(engine, PREFIX) == len(PREFIX) - 1
    assert ask_alone(engine, PREFIX).text == QUESTIONS[WHO]


@both_engines
def test_an_unpinned_prefix_is_evicted_like_others(engine: _core.Engine) -> None:
    pin(engine, PREFIX)
    engine.unpin_prefix(PREFIX)
    fill(engine)
    assert cached(engine, PREFIX) == 0
    with pytest.raises(InvalidRequestError, match="are not pinned"):
        engine.unpin_prefix(PREFIX)


def test_what_follows_a_pinned_prefix_is_evicted_first(engine: _core.Engine) -> None:
    ask_alone(engine, PREFIX, max_tokens=1)
    engine.pin_prefix(PREFIX[:64])
    assert cached(engine, PREFIX) == len(PREFIX) - 1
    fill(engine)
    assert cached(engine, PREFIX) == 64


@both_engines
def test_too_many_pins_are_refused_and_say_what_to_do(engine: _core.Engine) -> None:
    prefixes = [[50 + i] * 60 for i in range(3)]
    for prefix in prefixes[:2]:
        pin(engine, prefix)
        engine.pin_prefix(prefix)  # again: nothing changes
    ask_alone(engine, prefixes[2], max_tokens=1)
    with pytest.raises(
        InvalidRequestError, match=r"half of the sequences \(4\).*raise max_num_seqs or n_ctx"
    ) as caught:
        engine.pin_prefix(prefixes[2])
    assert caught.value.param == "tokens"
    engine.unpin_prefix(prefixes[0])
    engine.pin_prefix(prefixes[2])


def test_too_many_pinned_cells_are_refused(engine: _core.Engine) -> None:
    pin(engine, [50] * 200)
    ask_alone(engine, [51] * 57, max_tokens=1)
    with pytest.raises(InvalidRequestError, match=r"half .* of a unified KV cache \(512 cells\)"):
        engine.pin_prefix([51] * 57)
    engine.pin_prefix([51] * 56)


def test_the_only_sequence_cannot_be_pinned() -> None:
    with open_engine(max_num_seqs=1) as engine:
        ask_alone(engine, PREFIX, max_tokens=1)
        with pytest.raises(InvalidRequestError, match=r"half of the sequences \(1\)"):
            engine.pin_prefix(PREFIX)
        assert ask_alone(engine, WHO).text == QUESTIONS[WHO]


@both_engines
def test_requests_are_admitted_beside_as_many_pins_as_there_can_be(engine: _core.Engine) -> None:
    prefixes = [[50 + i] * 128 for i in range(2)]
    for prefix in prefixes:
        pin(engine, prefix)
    driver = Driver(engine)
    answers = {question: driver.ask(question) for question in QUESTIONS}
    for _ in range(5000):
        if not engine.step():
            break
        driver.take()
    else:
        raise AssertionError("requests that never end beside pins")
    driver.take()
    assert {question: answer.text for question, answer in answers.items()} == QUESTIONS
    assert [cached(engine, prefix) for prefix in prefixes] == [127, 127]


def test_requests_without_room_beside_the_pins_take_them(engine: _core.Engine) -> None:
    """Two that each need more than the pins leave: both run, one after the other, and the pins are gone."""
    pin(engine, PREFIX)
    driver = Driver(engine)
    answers = [driver.ask([token] * 400, max_tokens=60, ignore_eos=True) for token in (100, 101)]
    for _ in range(1000):
        if not engine.step():
            break
        driver.take()
    driver.take()
    assert [(answer.reason, len(answer.tokens)) for answer in answers] == [("LENGTH", 60)] * 2
    with pytest.raises(InvalidRequestError, match="are not pinned"):
        engine.unpin_prefix(PREFIX)


def test_pins_of_tenants_are_their_own(engine: _core.Engine) -> None:
    pin(engine, PREFIX)
    with pytest.raises(InvalidRequestError, match="are not cached: run a request with them first"):
        engine.pin_prefix(PREFIX[:64], tenant="other")
    with pytest.raises(InvalidRequestError, match="are not pinned"):
        engine.unpin_prefix(PREFIX, tenant="other")
    engine.unpin_prefix(PREFIX)


def test_a_prefix_of_a_running_request_can_be_pinned(engine: _core.Engine) -> None:
    driver = Driver(engine)
    running = driver.ask(PREFIX)
    driver.step(2)
    engine.pin_prefix(PREFIX)
    driver.finish()
    assert running.text == QUESTIONS[WHO]
    fill(engine)
    assert cached(engine, PREFIX) == len(PREFIX) - 1


def test_without_the_prefix_cache_nothing_can_be_pinned() -> None:
    with open_engine(prefix_cache=False) as engine:
        ask_alone(engine, chat(WHO))
        with pytest.raises(InvalidRequestError, match="the prefix cache is off"):
            engine.pin_prefix(chat(WHO))
