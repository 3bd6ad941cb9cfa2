"""Adapters on a live engine: sets in flight together, replaced and unloaded while requests use them."""

from __future__ import annotations

from pathlib import Path

import pytest
from engine_fixtures import LONG_QUESTION, QUESTIONS, Driver, ask_alone, open_engine

from shimmy import _core, demo_adapter_paths
from shimmy.errors import InvalidRequestError, ModelNotFoundError

PATHS = demo_adapter_paths()
WHO = "Who are you?"
HUNGARY = "What is the capital of Hungary?"
SETS: list[list[tuple[str, float]]] = [[], [("pirate", 1.0)], [("terse", 1.0)], [("pirate", 0.0)]]


def test_sets_in_flight_together_give_what_each_gives_alone() -> None:
    with open_engine(prefix_cache=False, adapters=True) as engine:
        alone = [ask_alone(engine, HUNGARY, lora=lora).text for lora in SETS]
        driver = Driver(engine)
        together = [driver.ask(HUNGARY, lora=lora) for lora in SETS * 2]
        driver.finish()
        assert [answer.text for answer in together] == alone * 2
        assert len(set(alone)) == 3
        assert alone[0] == alone[3] == QUESTIONS[HUNGARY]


def test_replaced_by_name_old_requests_finish_on_the_old() -> None:
    with open_engine(adapters=True) as engine:
        alone = {name: ask_alone(engine, HUNGARY, lora=[(name, 1.0)]).text for name in ("pirate", "terse")}
        driver = Driver(engine)
        old = driver.ask(HUNGARY, lora=[("pirate", 1.0)])
        driver.step(2)
        engine.load_adapter("pirate", PATHS["terse"])
        new = driver.ask(HUNGARY, lora=[("pirate", 1.0)])
        driver.step(2)
        engine.load_adapter("pirate", PATHS["pirate"])
        newest = driver.ask(HUNGARY, lora=[("pirate", 1.0)])
        driver.finish()
        assert [answer.text for answer in (old, new, newest)] == [alone["pirate"], alone["terse"], alone["pirate"]]


def test_unloaded_while_running_and_queued() -> None:
    with open_engine(adapters=True, max_num_seqs=1) as engine:
        alone = ask_alone(engine, HUNGARY, lora=[("pirate", 1.0)]).text
        driver = Driver(engine)
        running, queued = (driver.ask(HUNGARY, lora=[("pirate", 1.0)]) for _ in range(2))
        driver.step(2)
        engine.unload_adapter("pirate")
        with pytest.raises(ModelNotFoundError, match="no adapter 'pirate' is loaded; there are: terse"):
            driver.ask(HUNGARY, lora=[("pirate", 1.0)])
        driver.finish()
        assert (running.text, queued.text) == (alone, alone)
        assert ask_alone(engine, HUNGARY).text == QUESTIONS[HUNGARY]


def test_no_set_waits_for_the_end_of_another() -> None:
    with open_engine(adapters=True) as engine:
        driver = Driver(engine)
        many = [driver.ask(LONG_QUESTION, ignore_eos=True, max_tokens=200, speculation=False) for _ in range(4)]
        pirate = driver.ask(WHO, lora=[("pirate", 1.0)], ignore_eos=True, max_tokens=10)
        terse = driver.ask(WHO, lora=[("terse", 1.0)], ignore_eos=True, max_tokens=10)
        while pirate.last is None or terse.last is None:  # three sets that take turns
            driver.step()
        assert len(pirate.tokens) == len(terse.tokens) == 10
        assert all(answer.last is None for answer in many)
        driver.finish()


def test_an_adapter_can_be_named_by_any_path() -> None:
    with open_engine() as engine:
        for path in (PATHS["pirate"], str(PATHS["pirate"]), bytes(PATHS["pirate"])):
            engine.load_adapter("pirate", path)
        with pytest.raises(InvalidRequestError, match="NUL") as caught:
            engine.load_adapter("pirate", "a\0b")
        assert caught.value.param == "path"
        with pytest.raises(TypeError):
            engine.load_adapter("pirate", 5)  # type: ignore[arg-type]


def test_a_header_can_be_named_by_any_path() -> None:
    path = Path(PATHS["pirate"])
    assert {_core.read_gguf(each).kind for each in (path, str(path), bytes(path))} == {"adapter"}
    with pytest.raises(InvalidRequestError, match="NUL"):
        _core.read_gguf("a\0b")
