"""`AsyncEngine`: the engine on an event loop."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from arithmetic import ON_GPU
from engine_fixtures import ENDLESS, LONG_ANSWER, LONG_QUESTION, QUESTIONS, chat, long_chat, spec

from shimmy import (
    AsyncEngine,
    ChatPrompt,
    GenerateRequest,
    LoadSpec,
    RequestOutput,
    demo_adapter_paths,
    demo_model_path,
)
from shimmy.async_engine import RequestStream
from shimmy.errors import (
    EngineDeadError,
    InvalidRequestError,
    ModelLoadError,
    ModelNotFoundError,
    PromptTooLongError,
    QueueFullError,
)

WHO = "Who are you?"
Value = TypeVar("Value")


def run(work: Callable[[], Awaitable[Value]]) -> Value:
    async def bounded() -> Value:
        return await asyncio.wait_for(work(), 60)

    return asyncio.run(bounded())


@asynccontextmanager
async def loaded(**fields: Any) -> AsyncIterator[AsyncEngine]:
    engine = await AsyncEngine.load(spec(**fields))
    try:
        yield engine
    finally:
        await engine.close()


def greedy(question: str, **fields: Any) -> GenerateRequest:
    fields.setdefault("sampling", {"temperature": 0.0})
    return GenerateRequest(request_id=question, prompt=chat(question), **fields)


def endless(**fields: Any) -> GenerateRequest:
    """A request that only its cancellation ends."""
    return greedy(LONG_QUESTION, **ENDLESS, **fields)


async def text_of(engine: AsyncEngine, request: GenerateRequest) -> str:
    async with engine.stream(request) as stream:
        return "".join([output.text async for output in stream])


async def reaches(engine: AsyncEngine, *, running: int, waiting: int = 0) -> None:
    deadline = time.monotonic() + 20
    while ((stats := await engine.stats()).running, stats.waiting) != (running, waiting):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.005)


async def idle(engine: AsyncEngine) -> None:
    await reaches(engine, running=0)


def test_concurrent_streams() -> None:
    async def work() -> None:
        async with loaded() as engine:
            texts = await asyncio.gather(*(text_of(engine, greedy(question)) for question in QUESTIONS))
            assert dict(zip(QUESTIONS, texts, strict=True)) == QUESTIONS
            assert (await engine.stats()).requests_finished == len(QUESTIONS)

    run(work)


def test_outputs_come_bit_by_bit_with_their_request() -> None:
    async def work() -> None:
        async with loaded() as engine, engine.stream(greedy(LONG_QUESTION, speculation=False)) as stream:
            outputs = [output async for output in stream]
            assert {output.request_id for output in outputs} == {LONG_QUESTION}
            assert [output.finished for output in outputs] == [False] * (len(outputs) - 1) + [True]
            assert outputs[-1].usage is not None
            n_tokens = sum(len(output.token_ids) for output in outputs)
            assert n_tokens == outputs[-1].usage.completion_tokens - 1  # its end is a token too
            assert len(outputs) > 5
            assert [output async for output in stream] == []

    run(work)


def test_leaving_the_block_cancels_within_a_step() -> None:
    async def work() -> None:
        async with loaded() as engine:
            async with engine.stream(endless()) as stream:
                async for _ in stream:
                    break
            steps = (await engine.stats()).steps
            await idle(engine)
            stats = await engine.stats()
            assert stats.steps <= steps + 2
            assert stats.requests_finished == 1

    run(work)


def test_an_error_in_the_block_cancels() -> None:
    async def work() -> None:
        async with loaded() as engine:
            with pytest.raises(ZeroDivisionError):
                async with engine.stream(endless()) as stream:
                    async for output in stream:
                        assert len(output.token_ids) // 0
            await idle(engine)

    run(work)


def test_cancelling_the_task_cancels_the_request() -> None:
    async def work() -> None:
        async with loaded() as engine:
            seen = asyncio.Event()

            async def read() -> None:
                async with engine.stream(endless()) as stream:
                    async for _ in stream:
                        seen.set()

            task = asyncio.create_task(read())
            await seen.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            await idle(engine)
            assert await text_of(engine, greedy(WHO)) == QUESTIONS[WHO]

    run(work)


def test_cancelling_the_task_before_it_is_admitted() -> None:
    async def work() -> None:
        async with loaded(engine={"max_num_seqs": 1}) as engine, engine.stream(endless()) as running:
            await anext(running)
            tasks = [asyncio.create_task(text_of(engine, greedy(WHO))) for _ in range(8)]
            for i, task in enumerate(tasks):
                for _ in range(i):
                    await asyncio.sleep(0)
                task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(isinstance(result, asyncio.CancelledError) for result in ended)
            await reaches(engine, running=1)

    run(work)


def test_cancelled_while_another_thread_queues_it(monkeypatch: pytest.MonkeyPatch) -> None:
    queued = threading.Event()
    may_return = threading.Event()

    def slow_submit(stream: RequestStream) -> int:
        engine_id = submit(stream)
        queued.set()
        assert may_return.wait(20)
        return engine_id

    submit = RequestStream._submit
    monkeypatch.setattr(RequestStream, "_submit", slow_submit)

    async def work() -> None:
        async with loaded() as engine:
            task = asyncio.create_task(text_of(engine, endless()))
            await asyncio.to_thread(queued.wait, 20)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            may_return.set()
            await idle(engine)

    run(work)


def test_closing_while_streams_run() -> None:
    async def work() -> None:
        engine = await AsyncEngine.load(spec())

        async def read() -> RequestOutput:
            async with engine.stream(endless()) as stream:
                return [output async for output in stream][-1]

        tasks = [asyncio.create_task(read()) for _ in range(4)]
        await reaches(engine, running=4)
        await asyncio.gather(engine.close(), engine.close())
        assert {(await task).finish_reason for task in tasks} == {"cancelled"}
        assert not engine.alive
        with pytest.raises(EngineDeadError, match="closed"):
            async with engine.stream(greedy(WHO)):
                pass
        await engine.close()

    run(work)


def test_errors_are_raised_on_entering() -> None:
    async def work() -> None:
        async with loaded(adapters=True, context={"n_ctx": 512}) as engine:
            refused: list[tuple[GenerateRequest, type[Exception]]] = [
                (greedy(WHO, sampling={"temperature": -1.0}), InvalidRequestError),
                (greedy(WHO, sampling={"heat": 1.0}), InvalidRequestError),
                (greedy(WHO, lora={"viking": 1.0}), ModelNotFoundError),
                (GenerateRequest(request_id="long", prompt=long_chat(WHO, 600)), PromptTooLongError),
                (GenerateRequest(request_id="none", prompt=ChatPrompt(messages=[])), InvalidRequestError),
            ]
            for request, error in refused:
                with pytest.raises(error):
                    async with engine.stream(request):
                        raise AssertionError("entered")
            assert engine.alive
            assert (
                await text_of(engine, greedy(WHO, lora={"pirate": 1.0})) == "Arr, I be Shimmy Mini, a tiny demo model."
            )

    run(work)


def test_adapters_come_and_go_while_requests_run() -> None:
    async def work() -> None:
        async with loaded() as engine, engine.stream(endless()) as running:
            await anext(running)
            base = await text_of(engine, greedy(WHO))
            await engine.load_adapter("voice", str(demo_adapter_paths()["pirate"]))
            assert engine.info.adapters == ["voice"]
            pirate = await text_of(engine, greedy(WHO, lora={"voice": 1.0}))
            await engine.load_adapter("voice", str(demo_adapter_paths()["terse"]))
            terse = await text_of(engine, greedy(WHO, lora={"voice": 1.0}))
            assert len({base, pirate, terse}) == 3
            with pytest.raises(ModelLoadError, match=r"shimmy-mini\.gguf"):
                await engine.load_adapter("voice", str(demo_model_path()))
            assert await text_of(engine, greedy(WHO, lora={"voice": 1.0})) == terse
            await engine.unload_adapter("voice")
            assert engine.info.adapters == []
            with pytest.raises(ModelNotFoundError):
                await engine.unload_adapter("voice")
            assert await text_of(engine, greedy(WHO)) == base
            await anext(running)

    run(work)


def test_a_full_queue_is_raised_on_entering() -> None:
    async def work() -> None:
        async with (
            loaded(engine={"max_num_seqs": 1, "max_waiting": 1}) as engine,
            engine.stream(endless()) as running,
        ):
            await anext(running)
            async with engine.stream(greedy(WHO)) as waiting:
                with pytest.raises(QueueFullError):
                    await text_of(engine, greedy(WHO))
                await running.__aexit__(None, None, None)
                assert "".join([output.text async for output in waiting]) == QUESTIONS[WHO]

    run(work)


def test_a_file_that_does_not_load() -> None:
    with pytest.raises(ModelLoadError, match=r"missing\.gguf"):
        run(lambda: AsyncEngine.load(LoadSpec(name="none", path="missing.gguf")))


def test_the_loop_ticks_while_eight_streams_run() -> None:
    async def work() -> float:
        async with loaded(engine={"max_num_seqs": 8}) as engine:
            longest = 0.0
            done = False

            async def tick() -> None:
                nonlocal longest
                while not done:
                    started = time.perf_counter()
                    await asyncio.sleep(0.001)
                    longest = max(longest, time.perf_counter() - started)

            ticking = asyncio.create_task(tick())
            requests = [greedy(LONG_QUESTION)] * 6 + [GenerateRequest(request_id="p", prompt=long_chat(WHO, 1000))] * 2
            texts = await asyncio.gather(*(text_of(engine, request) for request in requests))
            done = True
            await ticking
            assert texts[:6] == [LONG_ANSWER] * 6
            return longest

    # All at once takes seconds, so a loop that waits for it shows each time; other work of the machine does not.
    assert any(run(work) < 0.25 for _ in range(10))


def test_tokens_text_and_templates() -> None:
    async def work() -> None:
        async with loaded() as engine:
            tokens = await engine.tokenize("Zürich 🌧")
            assert await engine.detokenize(tokens) == "Zürich 🌧"
            assert b"".join(await engine.pieces(tokens)).decode() == "Zürich 🌧"
            assert await engine.pieces([4090]) == [b"<|im_end|>"]
            with pytest.raises(InvalidRequestError):
                await engine.pieces([10**6])
            assert await engine.tokenize("<|im_end|>") == [4090]
            assert len(await engine.tokenize("<|im_end|>", parse_special=False)) > 1
            rendered = await engine.render_chat(ChatPrompt(messages=[{"role": "user", "content": WHO}]))
            assert await engine.tokenize(rendered) == chat(WHO)
            again = ChatPrompt(messages=[{"role": "user", "content": WHO}], context=tokens)
            assert await engine.tokenize(again) == tokens + chat(WHO)
            assert (engine.info.name, engine.info.n_seq_max) == ("shimmy-mini", 64 if ON_GPU else 16)
            assert engine.alive

    run(work)


def test_a_loop_that_ends_first_leaves_an_engine_that_can_be_closed() -> None:
    """The pump survives a closed loop: nobody is left to read, and the process still ends."""

    async def leave_open() -> AsyncEngine:
        engine = await AsyncEngine.load(spec())
        stream = engine.stream(endless())
        await stream.__aenter__()
        await anext(stream)
        return engine

    engine = asyncio.run(leave_open())
    deadline = time.monotonic() + 30
    while engine.alive and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not engine.alive
    asyncio.run(engine.close())


def test_forwarded_outputs_are_all_but_the_last_of_each_stream() -> None:
    async def work() -> None:
        async with loaded() as engine:
            questions = list(QUESTIONS)[:3]
            expected = [await text_of(engine, greedy(question)) for question in questions]
            taken: list[RequestOutput] = []
            threads: set[int] = set()

            def take(outputs: Sequence[RequestOutput]) -> None:
                threads.add(threading.get_ident())
                taken.extend(outputs)

            engine.forward(take)

            async def ask(question: str) -> None:
                async with engine.stream(greedy(question)) as outputs:
                    (last,) = [output async for output in outputs]
                assert last.finished
                lasts.append(last)

            lasts: list[RequestOutput] = []
            await asyncio.gather(*map(ask, questions))
            assert not any(one.finished for one in taken)
            every = [*taken, *lasts]
            assert ["".join(one.text for one in every if one.request_id == name) for name in questions] == expected
            assert threading.get_ident() not in threads

    run(work)


def test_forwarding_stops_when_the_stream_is_left() -> None:
    async def work() -> None:
        async with loaded() as engine:
            taken: list[RequestOutput] = []
            engine.forward(taken.extend)
            async with engine.stream(endless()):
                await reaches(engine, running=1)
            count = len(taken)
            await idle(engine)
            assert len(taken) <= count + 1  # one may be on its way

    run(work)
