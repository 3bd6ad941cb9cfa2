"""Backlog: what its reader gets, by iterating and by pouring."""

from __future__ import annotations

import asyncio
import tracemalloc
from collections.abc import Awaitable, Callable

import pytest

from shimmy.errors import EngineDeadError
from shimmy.output import RequestOutput, TokenLogprob
from shimmy.runner import frames
from shimmy.runner.backlog import Backlog


def run(test: Callable[[Backlog], Awaitable[None]]) -> None:
    async def body() -> None:
        await asyncio.wait_for(test(Backlog()), 10)

    asyncio.run(body())


def output(text: str, finish_reason: str | None = None) -> RequestOutput:
    return RequestOutput(request_id="r", text=text, finish_reason=finish_reason)


async def pouring(backlog: Backlog, take: Callable[[RequestOutput], bool]) -> asyncio.Task[None]:
    task = asyncio.ensure_future(backlog.pour(take))
    await asyncio.sleep(0)
    return task


def test_poured_outputs_are_given_at_once_after_those_that_waited() -> None:
    async def test(backlog: Backlog) -> None:
        texts: list[str] = []

        def take(one: RequestOutput) -> bool:
            texts.append(one.text)
            return True

        backlog.put(output("a"))
        backlog.put(output("b"))
        task = await pouring(backlog, take)
        assert texts == ["ab"]
        backlog.put(output("c"))
        assert texts == ["ab", "c"]
        backlog.put(output("d", "stop"))
        await task
        assert texts == ["ab", "c", "d"]

    run(test)


def test_the_last_output_may_be_among_those_that_waited() -> None:
    async def test(backlog: Backlog) -> None:
        backlog.put(output("a"))
        backlog.put(output("b", "stop"))
        await backlog.pour(lambda one: one.text == "ab")

    run(test)


@pytest.mark.parametrize("n_waiting", [0, 2])
def test_what_is_refused_is_taken_by_iterating(n_waiting: int) -> None:
    async def test(backlog: Backlog) -> None:
        for _ in range(n_waiting):
            backlog.put(output("a"))
        task = await pouring(backlog, lambda _: False)
        if n_waiting == 0:
            backlog.put(output("b"))
        backlog.put(output("c"))
        await task
        assert (await backlog.take()).text == ("aac" if n_waiting else "bc")

    run(test)


def test_a_failure_ends_pouring_and_is_raised_by_iterating() -> None:
    async def test(backlog: Backlog) -> None:
        task = await pouring(backlog, lambda _: True)
        backlog.fail(EngineDeadError("it died"))
        await task
        await backlog.pour(lambda _: True)
        with pytest.raises(EngineDeadError, match="it died"):
            await backlog.take()

    run(test)


def test_an_error_of_who_takes_is_raised_by_pour_and_not_by_put() -> None:
    async def test(backlog: Backlog) -> None:
        def take(one: RequestOutput) -> bool:
            raise KeyError(one.text)

        task = await pouring(backlog, take)
        backlog.put(output("a"))
        backlog.put(output("b"))
        with pytest.raises(KeyError, match="a"):
            await task

    run(test)


def test_what_waits_for_a_reader_is_bounded_in_memory() -> None:
    """Of tokens with 20 alternatives each, as they come out of the pipe."""
    top = [(token, b"alternative", -0.5 - token) for token in range(1000, 1020)]
    one = frames.encode(
        frames.Outputs(
            [RequestOutput(request_id="r", text="word ", token_ids=[5], logprobs=[TokenLogprob(5, b"w", -0.5, top)])]
        )
    )

    async def test(backlog: Backlog) -> None:
        reader = asyncio.StreamReader()
        tracemalloc.start()
        n = 0
        try:
            while not backlog.is_full:
                reader.feed_data(one)
                reply = await frames.read_reply(reader)
                assert isinstance(reply, frames.Outputs)
                backlog.put(reply.outputs[0])
                n += 1
            taken, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert Backlog.MAX_BYTES / 2 < taken < Backlog.MAX_BYTES * 2
        assert len((await backlog.take()).logprobs) == n > 200
        assert not backlog.is_full

    run(test)


def test_a_cancelled_pour_takes_nothing_more() -> None:
    async def test(backlog: Backlog) -> None:
        texts: list[str] = []
        task = await pouring(backlog, lambda one: texts.append(one.text) is None)
        backlog.put(output("a"))
        task.cancel()
        await asyncio.wait({task})
        backlog.put(output("b"))
        assert texts == ["a"]
        assert (await backlog.take()).text == "b"

    run(test)
