"""Supervisor over scripted engines that die when a test says so."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))

from scripted_engine import ScriptedEngine, Step, obey, text_of
from scripted_lives import POETRY, Lives, ask, recite, supervised, text, tokens

from shimmy.embedding import EmbedRequest, RerankRequest
from shimmy.errors import EngineDeadError, ModelNotReadyError, QueueFullError
from shimmy.grammar import GrammarSpec
from shimmy.models import crash_history
from shimmy.models.continued_stream import ContinuedStream
from shimmy.models.supervisor import Supervisor
from shimmy.output import RequestOutput, ToolCallDelta, Usage
from shimmy.request import GenerateRequest
from shimmy.runner.backlog import PausedError


@pytest.mark.parametrize("dies_after", range(len(POETRY)))
@pytest.mark.parametrize("fields", [{}, {"sampling": {"seed": 1}}, {"grammar": GrammarSpec(regex="a")}])
def test_an_answer_goes_on_where_it_was(dies_after: int, fields: dict[str, Any]) -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=dies_after if life == 0 else None)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        outputs = await ask(supervisor, logprobs=0, **fields)
        assert text(outputs) == "".join(POETRY)
        assert tokens(outputs) == list(range(len(POETRY)))
        assert [one.token for output in outputs for one in output.logprobs] == tokens(outputs)
        usage = outputs[-1].usage
        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens) == (4, len(POETRY))
        if dies_after > 0:  # what the first life said of the prompt stays true
            assert (usage.cached_tokens, usage.queue_seconds) == (3, 0.25)
        (again,) = lives.engines[1].requests
        assert again.answered == list(range(dies_after))
        assert supervisor.health == "loaded"
        assert supervisor.trouble is None

    supervised(script, test)


@pytest.mark.parametrize("fields", [{}, {"sampling": {"seed": 1}}, {"grammar": GrammarSpec(regex="a")}])
def test_an_answer_whose_reader_was_too_slow_goes_on_at_the_same_engine(fields: dict[str, Any]) -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        for step in recite(request, POETRY):
            yield step
            new = step.token_ids if isinstance(step, RequestOutput) and len(step.token_ids) == 1 else [0]
            if new[0] in (2, 5):
                yield PausedError("too slow")

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        outputs = await ask(supervisor, logprobs=0, **fields)
        assert text(outputs) == "".join(POETRY)
        assert tokens(outputs) == list(range(len(POETRY)))
        assert [one.token for output in outputs for one in output.logprobs] == tokens(outputs)
        (engine,) = lives.engines
        assert [len(request.answered) for request in engine.requests] == [0, 3, 6]
        assert len({request.request_id for request in engine.requests}) == 3
        assert (supervisor.health, supervisor.trouble) == ("loaded", None)

    supervised(script, test)


def test_a_paused_answer_waits_for_room_and_can_be_cancelled() -> None:
    refusals = [QueueFullError("full", 0.01), QueueFullError("full", 0.01)]

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if request.answered and text_of(request) == "hang":
            yield 3600.0
        yield from list(recite(request, POETRY))[: None if request.answered else 3]
        yield PausedError("too slow")

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.engines[0].stream, accept = refusing(lives.engines[0].stream, refusals), lives.engines[0].stream
        assert text(await ask(supervisor)) == "".join(POETRY)
        assert not refusals
        lives.engines[0].stream = accept
        async with supervisor.stream(GenerateRequest(request_id="r", prompt="hang")) as outputs:
            told = [await anext(outputs) for _ in range(3)]
            asyncio.get_running_loop().call_later(0.05, outputs.cancel)
            last = await anext(outputs)
        assert (last.finish_reason, last.usage and last.usage.completion_tokens) == ("cancelled", 3)
        assert text(told) == "".join(POETRY[:3])

    supervised(script, test)


def refusing(stream: Any, errors: list[QueueFullError]) -> Any:
    """Requests that go on are refused with these, one after the other."""

    def refuse(request: GenerateRequest) -> Any:
        if request.answered and errors:
            raise errors.pop()
        return stream(request)

    return refuse


def test_an_answer_that_is_told_otherwise_fails() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, ["Twice ", *POETRY[1:]] if life else POETRY, dies_after=4 if life == 0 else None)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        with pytest.raises(EngineDeadError, match="the next one tells the answer otherwise"):
            await ask(supervisor)
        assert text(await ask(supervisor)).startswith("Twice")

    supervised(script, test)


def test_tool_calls_keep_their_first_ids() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        parts = [
            ToolCallDelta(0, "", f"call_{life}", "f"),
            ToolCallDelta(0, '{"city":'),
            ToolCallDelta(0, '"Rome"}'),
            ToolCallDelta(1, "{}", f"call_{life}b", "g"),
        ]
        for index, part in enumerate(parts):
            yield RequestOutput(request_id=request.request_id, tool_calls=[part], token_ids=[index])
            if life == 0 and index == 1:
                yield EngineDeadError("it was killed")
        yield RequestOutput(request_id=request.request_id, finish_reason="tool_calls", usage=Usage())

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        outputs = await ask(supervisor, grammar=GrammarSpec(regex="a"))
        deltas = [delta for output in outputs for delta in output.tool_calls]
        assert [(delta.index, delta.id) for delta in deltas if delta.id] == [(0, "call_0"), (1, "call_1b")]
        assert "".join(delta.arguments for delta in deltas if delta.index == 0) == '{"city":"Rome"}'

    supervised(script, test)


def test_one_start_serves_all_that_wait() -> None:
    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.engines[0].alive = False
        assert supervisor.health == "dead"
        lives.gate.clear()
        waiting = [asyncio.ensure_future(ask(supervisor, f"word {i}")) for i in range(5)]
        leaving = asyncio.ensure_future(supervisor.tokenize("x"))
        await asyncio.sleep(0.01)
        assert supervisor.health == "loading"
        leaving.cancel()
        lives.gate.set()
        assert [text(outputs) for outputs in await asyncio.gather(*waiting)] == [f"word {i}" for i in range(5)]
        assert len(lives.engines) == 2

    supervised(lambda request, life: obey(request), test)


def test_a_model_that_keeps_crashing_is_put_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 1)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        if life < 4:
            yield EngineDeadError("it was killed")
        yield from obey(request)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        with pytest.raises(EngineDeadError):
            await ask(supervisor)
        with pytest.raises(ModelNotReadyError, match=r"'m' is put aside: it crashed 3 times in a row.* was killed"):
            await ask(supervisor)  # which the third crash left without a token
        with pytest.raises(ModelNotReadyError) as caught:
            await supervisor.tokenize("x")
        assert 0 < caught.value.retry_after <= 1
        assert supervisor.health == "failed"
        assert "3 times in a row" in (supervisor.trouble or "")
        assert len(lives.engines) == 3
        await asyncio.sleep(1.1)
        with pytest.raises(ModelNotReadyError, match="4 times in a row"):
            await ask(supervisor)
        await asyncio.sleep(2.1)
        assert text(await ask(supervisor, "well again")) == "well again"
        assert supervisor.health == "loaded"

    supervised(script, test)


@pytest.mark.parametrize("fields", [{}, {"sampling": {"seed": 1}}])
def test_answers_that_make_progress_outlive_any_number_of_crashes(
    monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any]
) -> None:
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 0.01)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        """Both have a new token in each life, and the first kills it."""
        for step in recite(request, POETRY, dies_after=life + 1 if life < 5 and text_of(request) == "a" else None):
            yield 0.2 if isinstance(step, EngineDeadError) else 0.01
            yield step

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        for outputs in await asyncio.gather(*(ask(supervisor, name, **fields) for name in "ab")):
            assert text(outputs) == "".join(POETRY)
            assert tokens(outputs) == list(range(len(POETRY)))
        assert len(lives.engines) == 6
        assert supervisor.health == "loaded"

    supervised(script, test)


def test_what_waits_for_a_model_that_is_put_aside_can_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crash_history, "ALLOWED", 1)

    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=3)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        async def begun(**fields: Any) -> tuple[str | None, int]:
            async with supervisor.stream(GenerateRequest(request_id="r", prompt="poem", **fields)) as outputs:
                streams.append(outputs)
                seen = [output async for output in outputs]
            assert seen[-1].usage is not None
            return seen[-1].finish_reason, seen[-1].usage.completion_tokens

        streams: list[ContinuedStream] = []
        cancelled, late, lost = (asyncio.ensure_future(begun(**fields)) for fields in ({}, {"deadline": 0.2}, {}))
        await asyncio.sleep(0.1)
        assert supervisor.health == "failed"
        streams[0].cancel()
        assert await cancelled == ("cancelled", 3)
        assert await late == ("deadline", 3)
        await supervisor.close()
        with pytest.raises(ModelNotReadyError, match="is being unloaded"):
            await lost
        assert len(lives.engines) == 1

    supervised(script, test)


def test_cancelling_while_there_is_no_engine_ends_the_answer() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=3)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.gate.clear()
        async with supervisor.stream(GenerateRequest(request_id="r", prompt="poem")) as outputs:
            seen = [await anext(outputs) for _ in range(3)]
            asyncio.get_running_loop().call_later(0.05, outputs.cancel)
            seen += [output async for output in outputs]
        assert tokens(seen) == [0, 1, 2]
        assert seen[-1].finish_reason == "cancelled"
        assert seen[-1].usage is not None
        assert (seen[-1].usage.prompt_tokens, seen[-1].usage.completion_tokens) == (4, 3)
        lives.gate.set()

    supervised(script, test)


def test_what_the_next_engine_refuses_is_the_death_of_the_answer() -> None:
    def script(request: GenerateRequest, life: int) -> Iterator[Step]:
        return recite(request, POETRY, dies_after=3)

    async def test(supervisor: Supervisor, lives: Lives) -> None:
        def refuse(request: GenerateRequest) -> None:
            if request.answered:
                raise QueueFullError("512 wait")

        ScriptedEngine._refuse = lambda self, request: refuse(request)  # type: ignore[method-assign]
        with pytest.raises(EngineDeadError, match="the next one refused the request: 512 wait"):
            await ask(supervisor)

    refuses = ScriptedEngine._refuse
    try:
        supervised(script, test)
    finally:
        ScriptedEngine._refuse = refuses  # type: ignore[method-assign]


def test_embeddings_are_lost_and_say_so() -> None:
    async def test(supervisor: Supervisor, lives: Lives) -> None:
        for asked in (EmbedRequest(input=["hang"]), RerankRequest(query="hang", documents=[])):
            engine = lives.engines[-1]

            async def die(request: object, engine: ScriptedEngine = engine) -> None:
                engine.alive = False
                raise EngineDeadError("it was killed")

            engine.embed = engine.rerank = die  # type: ignore[assignment, method-assign]
            with pytest.raises(EngineDeadError, match=r"is lost, send the request again"):
                await (supervisor.embed(asked) if isinstance(asked, EmbedRequest) else supervisor.rerank(asked))
            assert await supervisor.tokenize("a") == [1, 97]
        assert len(await supervisor.embed(EmbedRequest(input=["next"]))) == 1

    supervised(lambda request, life: obey(request), test)


def test_closing_ends_what_runs_and_what_waits() -> None:
    async def test(supervisor: Supervisor, lives: Lives) -> None:
        running = asyncio.ensure_future(ask(supervisor, "slow 100"))
        await asyncio.sleep(0.05)
        await supervisor.close()
        with pytest.raises(EngineDeadError):
            await running
        with pytest.raises(ModelNotReadyError, match="is being unloaded"):
            await ask(supervisor)
        assert len(lives.engines) == 1

    supervised(lambda request, life: obey(request), test)


def test_closing_stops_a_start() -> None:
    async def test(supervisor: Supervisor, lives: Lives) -> None:
        lives.engines[0].alive = False
        lives.gate.clear()
        waiting = asyncio.ensure_future(ask(supervisor))
        await asyncio.sleep(0.01)
        await supervisor.close()
        with pytest.raises(ModelNotReadyError):
            await waiting

    supervised(lambda request, life: obey(request), test)
