"""RunnerClient against a real child process over real pipes."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

import pytest
from processes import children, state

from shimmy import errors
from shimmy.embedding import EmbedRequest, RankedDocument, RerankRequest
from shimmy.model_info import LoadSpec
from shimmy.output import RequestOutput
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import RunnerClient, frames
from shimmy.runner.backlog import Backlog, PausedError

CHILD = (sys.executable, str(Path(__file__).with_name("scripted_child.py")))
T = TypeVar("T")


@asynccontextmanager
async def runner(path: str = "model.gguf") -> AsyncIterator[RunnerClient]:
    client = await RunnerClient.start(LoadSpec(name="m", path=path), command=CHILD)
    try:
        yield client
    finally:
        await client.close()
        assert state(client.pid) is None


def with_runner(test: Callable[[RunnerClient], Awaitable[T]]) -> T:
    async def body() -> T:
        async with runner() as client:
            return await asyncio.wait_for(test(client), 60)

    return asyncio.run(body())


async def generate(client: RunnerClient, prompt: str | list[int] | ChatPrompt, request_id: str = "r") -> str:
    async with client.stream(GenerateRequest(request_id=request_id, prompt=prompt)) as outputs:
        return "".join([output.text async for output in outputs])


def test_start_reports_progress_and_info() -> None:
    async def body() -> None:
        fractions: list[float] = []
        client = await RunnerClient.start(LoadSpec(name="m", path="x"), fractions.append, command=CHILD)
        assert fractions == [0.25, 0.5, 0.75, 1.0]
        assert client.info.name == "m"
        assert client.alive
        await client.close()
        await client.close()
        assert not client.alive
        with pytest.raises(errors.EngineDeadError, match="was closed"):
            await client.stats()

    asyncio.run(body())


def test_a_reader_that_does_not_read_pauses_its_request_and_no_other() -> None:
    async def body(client: RunnerClient) -> None:
        async with client.stream(GenerateRequest(request_id="slow", prompt="flood")) as outputs:
            while (await client.stats()).running:  # noqa: ASYNC110 - the engine is another process
                await asyncio.sleep(0.005)
            read = []
            with pytest.raises(PausedError):
                async for output in outputs:
                    read.append(output)
            text = "".join(output.text for output in read)
            assert Backlog.MAX_BYTES / 2 < len(text) < Backlog.MAX_BYTES * 8  # it merges what the pipe does not take
            assert sum(len(output.token_ids) for output in read) == len(text) // 50_000
            assert await generate(client, "another one") == "another one"

    with_runner(body)


def test_calls_answer() -> None:
    async def body(client: RunnerClient) -> None:
        assert await client.tokenize("ab") == [1, 97, 98]
        assert await client.tokenize("ab", add_special=False) == [97, 98]
        assert await client.detokenize([104, 105]) == "hi"
        assert await client.pieces([1, 104, 195]) == [b"<s>", b"h", b"\xc3"]
        assert await client.render_chat(ChatPrompt(messages=[{"role": "user", "content": "x"}])) == "<user>x"
        assert (await client.stats()).running == 0
        with pytest.raises(errors.TemplateError, match="begin with a tool"):
            await client.render_chat(ChatPrompt(messages=[{"role": "tool", "content": "x"}]))

    with_runner(body)


def test_embeddings_and_rankings_come_back() -> None:
    async def body(client: RunnerClient) -> None:
        answer = await client.embed(EmbedRequest(input=["abc", [1, 2]]))
        assert [answer.floats(i) for i in range(len(answer))] == [[3.0, 0.0], [2.0, 1.0]]
        assert answer.prompt_tokens == 5
        ranking = await client.rerank(RerankRequest(query="xyz", documents=["ax", "xyz", "b"], top_n=2))
        assert ranking.results == [RankedDocument(1, 3.0), RankedDocument(0, 1.0)]
        with pytest.raises(errors.InvalidRequestError, match="an input is empty") as caught:
            await client.embed(EmbedRequest(input=[""]))
        assert caught.value.param == "input"

    with_runner(body)


def test_adapters_come_and_go(tmp_path: Path) -> None:
    (tmp_path / "good.gguf").write_text("good")

    async def body(client: RunnerClient) -> None:
        assert client.info.adapters == []
        for name in ("one", "two"):
            await client.load_adapter(name, str(tmp_path / "good.gguf"))
        assert client.info.adapters == ["one", "two"]
        await client.unload_adapter("one")
        assert client.info.adapters == ["two"]
        with pytest.raises(errors.ModelNotFoundError, match="no adapter 'one'"):
            await client.unload_adapter("one")
        with pytest.raises(errors.ModelLoadError, match="is no adapter"):
            await client.load_adapter("two", str(tmp_path / "missing.gguf"))
        assert client.info.adapters == ["two"]
        assert await generate(client, "still here") == "still here"
        (tmp_path / "good.gguf").write_text("deadly")
        with pytest.raises(errors.EngineDeadError, match="killed it"):
            await client.load_adapter("two", str(tmp_path / "good.gguf"))
        assert not client.alive

    with_runner(body)


def test_a_cancelled_call_is_dropped_by_the_runner() -> None:
    async def body(client: RunnerClient) -> None:
        for seconds in (0.0, 0.05):
            call = asyncio.ensure_future(client.embed(EmbedRequest(input=["hang"])))
            await asyncio.sleep(seconds)
            call.cancel()
            with pytest.raises(asyncio.CancelledError):
                await call
        assert len(await client.embed(EmbedRequest(input=["next"]))) == 1

    with_runner(body)


def test_many_streams_at_once_keep_apart() -> None:
    async def body(client: RunnerClient) -> None:
        prompts = [f"p{i} " + "word " * (i % 7) for i in range(50)]
        texts = await asyncio.gather(*(generate(client, text, f"r{i}") for i, text in enumerate(prompts)))
        assert texts == prompts

    with_runner(body)


def test_outputs_carry_everything() -> None:
    async def body(client: RunnerClient) -> list[RequestOutput]:
        request = GenerateRequest(request_id="r", prompt="a b", logprobs=2)
        async with client.stream(request) as outputs:
            return [output async for output in outputs]

    outputs = with_runner(body)
    assert [lp.piece for output in outputs for lp in output.logprobs] == [b"a", b" b"]
    assert outputs[-1].finish_reason == "stop"
    assert outputs[-1].usage is not None
    assert outputs[-1].usage.completion_tokens == 2


def test_a_slow_reader_gets_merged_outputs_and_blocks_nobody() -> None:
    async def body(client: RunnerClient) -> None:
        async with client.stream(GenerateRequest(request_id="slow", prompt="count 5000")) as outputs:
            assert await generate(client, "fast one") == "fast one"
            await asyncio.sleep(0.5)
            seen = [output async for output in outputs]
        assert "".join(output.text for output in seen) == "".join(f"{i} " for i in range(5000))
        assert sum(len(output.token_ids) for output in seen) == 5000
        assert len(seen) < 1000  # a busy machine may not have made all of them while nobody read

    with_runner(body)


def test_leaving_a_stream_cancels_it() -> None:
    async def body(client: RunnerClient) -> None:
        async with client.stream(GenerateRequest(request_id="r", prompt="slow 10000")) as outputs:
            async for _ in outputs:
                break
        for _ in range(100):
            if (await client.stats()).running == 0:
                break
            await asyncio.sleep(0.01)
        assert (await client.stats()).running == 0
        assert await generate(client, "again", "r") == "again"

    with_runner(body)


def test_cancelling_the_task_cancels_the_request() -> None:
    async def body(client: RunnerClient) -> None:
        task = asyncio.ensure_future(generate(client, "hang"))
        await asyncio.sleep(0.1)
        assert (await client.stats()).running == 1
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await client.stats()).running == 0

    with_runner(body)


@pytest.mark.parametrize("name", [name for name in errors.__all__ if name not in ("EngineDeadError", "ShimmyError")])
def test_errors_come_back_as_their_class(name: str) -> None:
    async def body(client: RunnerClient) -> None:
        with pytest.raises(getattr(errors, name), match="as asked"):
            await generate(client, f"refuse {name}")
        with pytest.raises(getattr(errors, name), match="as asked"):
            await generate(client, f"fail {name}")
        assert client.alive

    with_runner(body)


def test_error_fields_survive() -> None:
    async def body(client: RunnerClient) -> None:
        with pytest.raises(errors.PromptTooLongError) as caught:
            await generate(client, "long")
        assert (caught.value.param, caught.value.n_prompt_tokens, caught.value.n_ctx) == ("messages", 999, 256)

    with_runner(body)


def test_a_bug_in_one_request_is_an_error_of_that_request() -> None:
    async def body(client: RunnerClient) -> None:
        with pytest.raises(errors.ShimmyError, match="internal error in the runner: KeyError"):
            await generate(client, "bug")
        assert await generate(client, "fine") == "fine"

    with_runner(body)


def test_the_same_id_twice_is_refused() -> None:
    async def body(client: RunnerClient) -> None:
        async with client.stream(GenerateRequest(request_id="r", prompt="slow 100")):
            with pytest.raises(errors.InvalidRequestError, match="'r' is already running"):
                await generate(client, "x", "r")

    with_runner(body)


def test_what_msgpack_cannot_express_is_the_request_s_fault() -> None:
    async def body(client: RunnerClient) -> None:
        with pytest.raises(errors.InvalidRequestError, match="cannot be encoded"):
            await generate(client, [2**70])
        with pytest.raises(errors.InvalidRequestError, match="a frame holds at most"):
            await generate(client, "x" * (65 * 1024 * 1024))
        assert await generate(client, "fine") == "fine"

    with_runner(body)


def test_a_request_of_ten_megabytes_passes() -> None:
    async def body(client: RunnerClient) -> None:
        text = "x" * 10_000_000
        assert await generate(client, text) == text

    with_runner(body)


def test_stray_output_of_native_code_harms_nothing() -> None:
    assert with_runner(lambda client: generate(client, "print")) == "print"


@pytest.mark.parametrize(
    ("prompt", "reason"),
    [
        ("exit 7", "ended with exit code 7"),
        ("kill SIGKILL", "was killed by signal SIGKILL"),
        ("kill SIGSEGV", "was killed by signal SIGSEGV"),
        ("abort", "was killed by signal SIGABRT (CUDA error: out of memory; ggml-cuda.cu:98: CUDA error)"),
        ("garbage", "sent garbage and was killed"),
        ("oversize", "sent garbage and was killed: a frame claims 2147483647 bytes"),
        ("break", "died: as asked"),
        ("memory", "died: it ran out of memory"),
    ],
)
def test_death_ends_every_stream_and_call(prompt: str, reason: str) -> None:
    async def body(client: RunnerClient) -> None:
        others = [asyncio.ensure_future(generate(client, "hang", f"other{i}")) for i in range(3)]
        await asyncio.sleep(0.1)
        results = await asyncio.gather(generate(client, prompt), *others, return_exceptions=True)
        for result in results:
            assert isinstance(result, errors.EngineDeadError)
        assert re.search(re.escape(reason), str(results[-1]))
        assert not client.alive
        with pytest.raises(errors.EngineDeadError):
            await generate(client, "more")

    with_runner(body)


def test_kill_9_from_outside_is_noticed_at_once() -> None:
    async def body(client: RunnerClient) -> float:
        async with client.stream(GenerateRequest(request_id="r", prompt="slow 100000")) as outputs:
            async for _ in outputs:
                break
            begin = time.monotonic()
            os.kill(client.pid, signal.SIGKILL)
            with pytest.raises(errors.EngineDeadError, match=r"model 'm' was killed by signal SIGKILL"):
                async for _ in outputs:
                    pass
            return time.monotonic() - begin

    assert with_runner(body) < 5  # the patience with what says nothing is longer


@pytest.mark.parametrize(
    ("path", "reason"),
    [("broken", "m: bad magic"), ("crash", "was killed by signal SIGSEGV while loading")],
)
def test_a_failed_load_says_why(path: str, reason: str) -> None:
    async def body() -> None:
        with pytest.raises(errors.ModelLoadError, match=reason):
            await RunnerClient.start(LoadSpec(name="m", path=path), command=CHILD)

    asyncio.run(body())


def test_a_missing_program_is_a_load_error() -> None:
    async def body() -> None:
        with pytest.raises(errors.ModelLoadError, match="cannot be started"):
            await RunnerClient.start(LoadSpec(name="m", path="x"), command=("/no/such/program",))

    asyncio.run(body())


def test_a_program_that_is_no_runner_is_a_load_error() -> None:
    async def body() -> None:
        with pytest.raises(errors.ModelLoadError, match="failed to start"):
            await RunnerClient.start(LoadSpec(name="m", path="x"), command=("echo", "hello world"))

    asyncio.run(body())


@pytest.mark.parametrize("difference", [-1, 1])
def test_a_runner_of_another_version_says_so_and_ends(difference: int) -> None:
    hello = frames.encode(frames.Hello(frames.PROTOCOL + difference))
    child = f"import os, time; os.write(1, {hello!r}); time.sleep(3600)"

    async def body() -> None:
        start = RunnerClient.start(LoadSpec(name="m", path="x"), command=(sys.executable, "-c", child))
        theirs, ours = frames.PROTOCOL + difference, frames.PROTOCOL
        with pytest.raises(errors.ModelLoadError, match=f"protocol {theirs}, not {ours}: shimmy was changed"):
            await asyncio.wait_for(start, 20)

    asyncio.run(body())


def test_a_cancelled_load_leaves_no_process() -> None:
    async def body() -> None:
        task = asyncio.ensure_future(RunnerClient.start(LoadSpec(name="m", path="stuck"), command=CHILD))
        await asyncio.sleep(0.5)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    before = running_children()
    asyncio.run(body())
    assert all_end_but(before)


def test_closing_a_hung_runner_kills_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunnerClient, "CLOSE_SECONDS", 0.2)

    async def body() -> None:
        async with runner() as client:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(generate(client, "block"), 0.2)

    asyncio.run(body())


def test_a_stopped_runner_is_noticed_and_killed() -> None:
    async def body() -> None:
        client = await RunnerClient.start(LoadSpec(name="m", path="x"), command=CHILD, hang_seconds=5)
        async with client.stream(GenerateRequest(request_id="r", prompt="slow 100000")) as outputs:
            async for _ in outputs:
                break
            os.kill(client.pid, signal.SIGSTOP)
            with pytest.raises(errors.EngineDeadError, match=r"said nothing for \d+ s, and was killed"):
                async for _ in outputs:
                    pass
        assert not client.alive
        await client.close()
        assert state(client.pid) is None

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_busy_event_loop_shorter_than_the_patience_is_no_hang() -> None:
    async def body() -> None:
        client = await RunnerClient.start(LoadSpec(name="m", path="x"), command=CHILD, hang_seconds=5)
        await asyncio.sleep(5.5)
        os.kill(client.pid, signal.SIGSTOP)
        await asyncio.sleep(0.5)
        os.kill(client.pid, signal.SIGCONT)
        assert await generate(client, "fine") == "fine"
        await client.close()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_load_that_hangs_is_an_error() -> None:
    async def body() -> None:
        with pytest.raises(errors.ModelLoadError, match="'m' hung while loading, and was killed"):
            await RunnerClient.start(LoadSpec(name="m", path="stuck"), command=CHILD, hang_seconds=1)

    before = running_children()
    asyncio.run(asyncio.wait_for(body(), 60))
    assert all_end_but(before)


def test_a_runner_that_reads_nothing_does_not_fill_the_memory() -> None:
    async def body() -> None:
        client = await RunnerClient.start(LoadSpec(name="m", path="x"), command=CHILD)
        os.kill(client.pid, signal.SIGSTOP)
        text = "x" * (frames.MAX_FRAME - 1000)
        stuck = [asyncio.ensure_future(generate(client, text, f"r{i}")) for i in range(2)]
        await asyncio.sleep(0.1)
        with pytest.raises(errors.QueueFullError, match="takes no requests at the moment"):
            await generate(client, "more", "r3")
        with pytest.raises(errors.QueueFullError):
            await client.stats()
        os.kill(client.pid, signal.SIGKILL)
        for result in await asyncio.gather(*stuck, return_exceptions=True):
            assert isinstance(result, errors.EngineDeadError | errors.QueueFullError)
        await client.close()

    asyncio.run(asyncio.wait_for(body(), 60))


def test_a_runner_ignores_the_signals_that_end_its_server() -> None:
    async def body(client: RunnerClient) -> None:
        assert await generate(client, "one") == "one"
        for stop in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            os.kill(client.pid, stop)
        assert await generate(client, "two") == "two"

    with_runner(body)


def running_children() -> set[int]:
    return {pid for pid in children(os.getpid()) if state(pid) is not None}


def all_end_but(before: set[int]) -> bool:
    """Within 20 s."""
    deadline = time.monotonic() + 20
    while not (ended := running_children() <= before) and time.monotonic() < deadline:
        time.sleep(0.01)
    return ended
