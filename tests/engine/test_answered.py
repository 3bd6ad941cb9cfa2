"""Answers that go on behind tokens that they already have are the answers that they would have been."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from arithmetic import N_SAME, same_in_every_batch
from engine_fixtures import LONG_QUESTION
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy import AsyncEngine, ChatPrompt, GenerateRequest, InvalidRequestError, LoadSpec, demo_model_path
from shimmy.completion import Completion
from shimmy.grammar import GrammarSpec

FOX = "Show me a fox emoji"
SKY = "What color is the sky?"
WEEK = "List the days of the week."
POEM = "Write a poem about the sea."


def on_engine(
    test: Callable[[AsyncEngine], Awaitable[None]], *, n_ctx: int = 1024, deterministic: bool = False
) -> None:
    async def body() -> None:
        spec = LoadSpec(
            name="mini",
            path=str(demo_model_path()),
            context={"n_ctx": n_ctx, "n_threads": 1, "n_ubatch": N_SAME},
            engine={"deterministic": deterministic},
        )
        engine = await AsyncEngine.load(spec)
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


# Hot at first, since the model is sure of what it says.
CHAIN = ["penalties", "dry", "temperature", "top_n_sigma", "top_k", "typical_p", "top_p", "min_p", "xtc"]
SAMPLING: list[dict[str, Any]] = [
    {},
    {"top_k": 0, "top_p": 1.0, "min_p": 0.0},
    {"top_k": 20, "top_p": 0.9, "min_p": 0.02, "typical_p": 0.95},
    {"repeat_penalty": 1.2, "frequency_penalty": 0.3, "presence_penalty": 0.2},
    {"dry_multiplier": 0.8, "xtc_probability": 0.5, "xtc_threshold": 0.05},
    {"top_n_sigma": 1.5, "dynatemp_range": 0.4},
]


@same_in_every_batch
@pytest.mark.parametrize("sampling", SAMPLING)
def test_a_seed_says_the_same_from_every_place_on(sampling: dict[str, Any]) -> None:
    async def test(engine: AsyncEngine) -> None:
        n_varied = set()
        for seed in range(3):
            given = {"sampling": {"temperature": 3.0, "samplers": CHAIN, **sampling, "seed": seed}, "max_tokens": 24}
            whole = await ask(engine, POEM, [], **given)
            n_varied.add(tuple(whole.token_ids))
            for n in range(1, len(whole.token_ids)):
                again = await ask(engine, POEM, whole.token_ids[:n], **given)
                assert (again.token_ids, again.text) == (whole.token_ids, whole.text), (seed, n)
        assert len(n_varied) > 1

    on_engine(test)


TOOL = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}


@same_in_every_batch
@pytest.mark.parametrize(
    "options",
    [
        {"grammar": GrammarSpec(regex="(ab|cd){3,9}[0-9]{2,4}")},
        {"grammar": GrammarSpec(json_schema={"type": "object", "properties": {"a": {"enum": ["x", "yy"]}}})},
        {"prompt": ChatPrompt(messages=[{"role": "user", "content": SKY}], tools=[TOOL], tool_choice="required")},
        {"prompt": "The capital of Fran", "token_healing": True},
        {"banned_strings": ["Monday", "2."]},
        {"context_policy": "shift", "n_keep": 4, "ignore_eos": True, "max_tokens": 90},
    ],
    ids=["regex", "schema", "tools", "healing", "banned", "shift"],
)
def test_what_depends_on_more_than_the_last_tokens_goes_on_too(options: dict[str, Any]) -> None:
    async def test(engine: AsyncEngine) -> None:
        given = {"sampling": {"temperature": 1.0, "seed": 3}, "max_tokens": 40, **options}
        whole = await ask(engine, WEEK, [], **given)
        assert len(whole.token_ids) > 5
        for n in range(1, len(whole.token_ids)):
            again = await ask(engine, WEEK, whole.token_ids[:n], **given)
            assert (again.token_ids, again.text) == (whole.token_ids, whole.text), n
            assert [(call.name, call.arguments) for call in again.tool_calls] == [
                (call.name, call.arguments) for call in whole.tool_calls
            ], n
            assert again.finish_reason == whole.finish_reason, n

    on_engine(test, n_ctx=128)


def test_what_could_not_have_been_answered_is_refused() -> None:
    async def test(engine: AsyncEngine) -> None:
        for options, message in [
            ({"grammar": GrammarSpec(regex="[0-9]+")}, "the grammar does not allow token 0 of answered"),
            ({"banned_strings": ["Paris"]}, "answered has one of banned_strings"),
            ({"max_tokens": 1}, "answered has 1 tokens, max_tokens is 1: nothing is left to answer"),
        ]:
            answered = (await engine.tokenize("Paris", add_special=False))[: options.get("max_tokens")]
            with pytest.raises(InvalidRequestError, match=message) as caught:
                await ask(engine, SKY, answered, **options)
            assert caught.value.param == "answered"
        for token in (-1, 2**31):
            with pytest.raises(InvalidRequestError):
                await ask(engine, SKY, [token])

    on_engine(test)


def test_one_that_has_ended_ends_at_once() -> None:
    async def test(engine: AsyncEngine) -> None:
        whole = await ask(engine, WEEK, [])
        again = await ask(engine, WEEK, whole.token_ids, stop=[whole.text[10:14]])
        assert (again.text, again.finish_reason) == (whole.text[:10], "stop")
        assert again.usage is not None
        assert again.usage.completion_tokens == len(again.token_ids) < len(whole.token_ids)
        one_more = await ask(engine, WEEK, whole.token_ids)
        assert (one_more.text, one_more.finish_reason) == (whole.text, "stop")

    on_engine(test)


def test_steps_of_a_fixed_shape_are_those_of_before() -> None:
    async def test(engine: AsyncEngine) -> None:
        whole = await ask(engine, WEEK, [], logprobs=3)
        for n in (1, 5, len(whole.token_ids) - 1):
            again = await ask(engine, WEEK, whole.token_ids[:n], logprobs=3)
            assert [(one.logprob, one.top) for one in again.logprobs] == [
                (one.logprob, one.top) for one in whole.logprobs[n:]
            ]

    on_engine(test, deterministic=True)
