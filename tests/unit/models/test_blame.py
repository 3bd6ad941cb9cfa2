"""Whose fault it is when an engine dies, and what becomes of the others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripted_engine import Step, obey, text_of
from scripted_lives import POETRY, Lives, ask, recite, supervised, text

from shimmy.errors import EngineDeadError, ModelLoadError, ModelNotReadyError
from shimmy.models import continued_stream, crash_history
from shimmy.models.supervisor import Supervisor
from shimmy.request import GenerateRequest


def test_a_request_that_kills_its_engine_twice_fails_alone() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if "poison" in text_of(request):
            yield 0.05
            yield EngineDeadError("it was killed by what it read")
        for step in recite(request, POETRY):
            yield 0.02
            yield step

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        asked = [ask(supervisor, name) for name in ("a", "b", "poison", "c", "d")]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert isinstance(results.pop(2), EngineDeadError)
        for outputs in results:
            assert isinstance(outputs, list), outputs
            assert text(outputs) == "".join(POETRY)
        assert len(lives.engines) == 3

    supervised(script, test)


def test_one_that_is_still_computed_again_is_not_blamed_for_the_next_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its prompt is long; both have no token in the second life, and in the third it has the engine to itself."""
    monkeypatch.setattr(continued_stream, "ALONE_SECONDS", 1.0)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        big = text_of(request) == "big"
        yield (0.25, 3.0, 0.02)[life] if big else (0.4, 0.02)[life]
        if not big:
            yield EngineDeadError("it was killed by what it read")
        yield from recite(request, POETRY)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        asked = asyncio.gather(*(ask(supervisor, name) for name in ("big", "poison")), return_exceptions=True)
        await asyncio.sleep(0.1)
        lives.engines[0].alive = False
        outputs, error = await asked
        assert isinstance(error, EngineDeadError)
        assert isinstance(outputs, list), outputs
        assert text(outputs) == "".join(POETRY)
        assert [text_of(request) for request in lives.engines[1].requests] == ["big", "poison"]
        assert len(lives.engines) == 3

    supervised(script, test)


def test_one_that_kills_its_engine_late_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the second life others are there when it does; in the third they wait for their turns."""
    monkeypatch.setattr(continued_stream, "ALONE_SECONDS", 0.1)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if text_of(request) == "poison":
            yield 2.0 if life == 1 else 0.1
            yield EngineDeadError("it was killed by what it read")
        for step in recite(request, POETRY):
            yield 0.5 if life == 1 else 0.06
            yield step

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        results = await asyncio.gather(
            *(ask(supervisor, name) for name in ("poison", "a", "b")), return_exceptions=True
        )
        assert isinstance(results.pop(0), EngineDeadError)
        for outputs in results:
            assert isinstance(outputs, list), outputs
            assert text(outputs) == "".join(POETRY)
        assert len(lives.engines) == 4

    supervised(script, test)


def test_who_comes_while_others_are_resumed_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """What it kills then is not blamed on the one whose turn it was."""
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 0.05)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if text_of(request) == "poison":
            yield EngineDeadError("it was killed by what it read")
        yield 0.1
        if life == 0:
            yield EngineDeadError("it was killed")
        yield from recite(request, POETRY)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        first = asyncio.ensure_future(ask(supervisor, "a"))
        await lives.until(2)
        late = asyncio.ensure_future(ask(supervisor, "late"))
        await asyncio.sleep(0.01)
        with pytest.raises(EngineDeadError, match="by what it read"):
            await ask(supervisor, "poison")
        for outputs in await asyncio.gather(first, late):
            assert text(outputs) == "".join(POETRY)
        assert [text_of(request) for request in lives.engines[1].requests] == ["a", "late", "poison"]

    supervised(script, test)


def test_who_waits_is_not_blamed_for_what_dies_meanwhile() -> None:
    """It comes while the second engine is tried, and enters the third."""

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if text_of(request) == "poison":
            yield 0.1
            yield EngineDeadError("it was killed by what it read")
        yield from recite(request, POETRY)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        poison = asyncio.ensure_future(ask(supervisor, "poison"))
        await lives.until(2)
        late = asyncio.ensure_future(ask(supervisor, "late"))
        with pytest.raises(EngineDeadError, match="by what it read"):
            await poison
        assert text(await late) == "".join(POETRY)
        assert [len(engine.requests) for engine in lives.engines] == [1, 1, 1]

    supervised(script, test)


def test_leaving_while_waiting() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if life == 0:
            yield EngineDeadError("it was killed")
        yield 0.1
        yield from recite(request, POETRY)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        first = asyncio.ensure_future(ask(supervisor, "a"))
        await lives.until(2)
        waiting = asyncio.ensure_future(ask(supervisor, "b"))
        await asyncio.sleep(0.12)  # it has its turn
        waiting.cancel()
        assert text(await first) == "".join(POETRY)
        async with supervisor.stream(GenerateRequest(request_id="c", prompt="c")):
            pass
        assert text(await ask(supervisor)) == "".join(POETRY)
        assert supervisor.calm.is_set()

    supervised(script, test)


def test_leaving_before_the_second_engine_has_answered() -> None:
    """The first died before it took the request: whoever leaves has not entered yet."""

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        yield 3600.0

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        def refuse(request: GenerateRequest) -> None:
            lives.engines[0].alive = False
            raise EngineDeadError("it was killed")

        lives.engines[0]._refuse = refuse  # type: ignore[method-assign]
        asked = asyncio.ensure_future(ask(supervisor))
        await lives.until(2)
        assert lives.engines[1].running == 1
        asked.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        assert lives.engines[1].running == 0
        assert lives.engines[1].cancelled == ["poem-r"]
        assert supervisor.calm.is_set()

    supervised(script, test)


def test_who_notices_late_does_not_count_a_death_again() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if life < 2 and text_of(request) == "kill":
            yield EngineDeadError("it was killed")
        yield 0.2
        yield from obey(request)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        late = asyncio.ensure_future(ask(supervisor, "late"))
        await asyncio.sleep(0.01)
        with pytest.raises(EngineDeadError):
            await ask(supervisor, "kill")
        assert text(await late) == "late"
        assert len(lives.engines) == 3
        assert supervisor.health == "loaded"

    supervised(script, test)


def test_starts_that_fail_are_tried_again_and_no_request_is_blamed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 0.01)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=3 if life < 2 and not request.answered else None)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.errors = [ModelLoadError("no memory"), ModelLoadError("no memory")]
        for outputs in await asyncio.gather(*(ask(supervisor, name) for name in "abc")):
            assert text(outputs) == "".join(POETRY)
        assert len(lives.engines) == 2
        assert supervisor.trouble is None

    supervised(script, test)


@pytest.mark.parametrize("begun", [True, False])
def test_a_model_that_cannot_be_started_again_ends_what_waits(monkeypatch: pytest.MonkeyPatch, begun: bool) -> None:
    """With the reason, at once for all of them, and who has got nothing yet is told to come again."""
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 0.05)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=(3 if begun else 0) if life == 0 else None)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.errors = [ModelLoadError("no memory") for _ in range(3)]
        asked = [ask(supervisor, name) for name in "abc"]
        results = await asyncio.gather(*asked, return_exceptions=True)
        assert len(lives.errors) == (0 if begun else 1)
        for error in results:
            assert isinstance(error, EngineDeadError | ModelNotReadyError)
            assert "could not be started again: no memory" in str(error)
        lives.errors = []
        await asyncio.sleep(0.2)
        assert text(await ask(supervisor)) == "".join(POETRY)

    supervised(script, test)
