"""Answers that go on behind tokens that they already have are the answers that they would have been."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from engine_fixtures import LONG_QUESTION
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy import AsyncEngine, ChatPrompt, GenerateRequest, InvalidRequestError, LoadSpec, demo_model_path
from shimmy.completion import Completion
from shimmy.grammar import GrammarSpec

FOX = "Show me a fox emoji"
SKY = "What color is the sky?"
WEEK = "List the days of the week."


def on_engine(test: Callable[[AsyncEngine], Awaitable[None]]) -> None:
    async def body() -> None:
        context = {"n_ctx": 1024, "n_threads": 1}
        engine = await AsyncEngine.load(LoadSpec(name="mini", path=str(demo_model_path()), context=context))
        try:
            await test(engine)
        finally:
            await engine.close()

    asyncio.run(body())


async def ask(engine: AsyncEngine, question: str, answered: list[int], **options: Any) -> Completion:
    prompt = ChatPrompt(messages=[{"role": "user", "content": question}])
    given = {"prompt": prompt, "sampling": {"temperature": 0}, **options}
    async with engine.stream(GenerateRequest(request_id="r", answered=answered, **given)) as stream:
        return Completion.collect([output async for output in stream])


def test_every_place_to_go_on_from_gives_the_same_answer() -> None:
    async def test(engine: AsyncEngine) -> None:
        for question, options in [
            (FOX, {}),  # of several tokens a character
            (SKY, {"stop": ["sky is", " blue"]}),
            (WEEK, {"stop": ["5. F"], "min_tokens": 4}),
            (WEEK, {"stop": ["\n2", "4."], "min_tokens": 12}),
            (WEEK, {"max_tokens": 9, "logprobs": 2}),
            (SKY, {"logprobs": 0}),
        ]:
            whole = await ask(engine, question, [], **options)
            by_itself = whole.finish_reason == "stop" and whole.stop_reason is None
            for n in range(1, len(whole.token_ids) + by_itself):
                again = await ask(engine, question, whole.token_ids[:n], **options)
                for name in ("text", "token_ids", "finish_reason", "stop_reason"):
                    assert getattr(again, name) == getattr(whole, name), (question, options, n)
                assert [one.token for one in again.logprobs] == [one.token for one in whole.logprobs[n:]]
                for name in ("prompt_tokens", "completion_tokens"):
                    assert getattr(again.usage, name) == getattr(whole.usage, name), (question, options, n)
                assert again.usage.cached_tokens <= again.usage.prompt_tokens

    on_engine(test)


def test_a_stop_string_over_the_seam_ends_it() -> None:
    async def test(engine: AsyncEngine) -> None:
        whole = await ask(engine, LONG_QUESTION, [])

        @settings(max_examples=25, deadline=None)
        @given(st.integers(1, len(whole.token_ids) - 1), st.integers(0, 150), st.integers(1, 9))
        def check(n: int, at: int, length: int) -> None:
            stop = whole.text[at : at + length]
            expected = asyncio.run_coroutine_threadsafe(ask(engine, LONG_QUESTION, [], stop=[stop]), loop).result(20)
            answered = whole.token_ids[:n]
            if n >= len(expected.token_ids):
                return
            again = asyncio.run_coroutine_threadsafe(ask(engine, LONG_QUESTION, answered, stop=[stop]), loop).result(20)
            assert (again.text, again.token_ids, again.stop_reason) == (
                expected.text,
                expected.token_ids,
                expected.stop_reason,
            )
            assert again.usage.completion_tokens == expected.usage.completion_tokens

        loop = asyncio.get_running_loop()
        await asyncio.to_thread(check)

    on_engine(test)


def test_what_depends_on_more_than_tokens_is_refused() -> None:
    async def test(engine: AsyncEngine) -> None:
        tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
        tools = ChatPrompt(messages=[{"role": "user", "content": "x"}], tools=[tool])
        for options in (
            {"grammar": GrammarSpec(regex="a+")},
            {"prompt": tools},
            {"token_healing": True},
            {"prompt_logprobs": 0},
        ):
            with pytest.raises(InvalidRequestError, match="answered cannot be given together") as caught:
                await ask(engine, SKY, [5], **options)
            assert caught.value.param == "answered"
        with pytest.raises(InvalidRequestError, match="answered holds 2 tokens, and max_tokens is 2"):
            await ask(engine, SKY, [5, 6], max_tokens=2)
        for token in (-1, 2**31):
            with pytest.raises(InvalidRequestError):
                await ask(engine, SKY, [token])

    on_engine(test)
