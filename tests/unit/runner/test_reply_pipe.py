"""ReplyPipe: what arrives at the other end of the pipe, whoever writes, however slowly it is read."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from collections.abc import Awaitable, Callable

import pytest

from shimmy.output import RequestOutput, TokenLogprob
from shimmy.runner import frames
from shimmy.runner.reply_pipe import ReplyPipe

Test = Callable[[ReplyPipe, int], Awaitable[None]]


def with_pipe(test: Test) -> None:
    """Run `test` with a pipe and the end to read from, which it may close."""

    async def body() -> None:
        reading, writing = os.pipe()
        await asyncio.wait_for(test(ReplyPipe(writing), reading), 20)

    asyncio.run(body())


def read_all(fd: int, pause: float = 0.0) -> list[frames.Reply]:
    """Every reply until the end, read in small parts after waiting `pause` seconds."""
    time.sleep(pause)
    data = b""
    while part := os.read(fd, 10_000):
        data += part
    os.close(fd)
    replies = []
    while data:
        end = 4 + int.from_bytes(data[:4], "little")
        replies.append(frames.REPLIES.decode(data[4:end]))
        data = data[end:]
    return replies


def output(request_id: str, text: str) -> RequestOutput:
    return RequestOutput(request_id=request_id, text=text)


def test_one_call_is_one_frame_with_one_output_for_each_request() -> None:
    async def test(pipe: ReplyPipe, fd: int) -> None:
        pipe.put([output("a", "1"), output("b", "2"), output("a", "3")])
        pipe.send(frames.Accepted("c"))
        await pipe.close()
        replies = await asyncio.to_thread(read_all, fd)
        assert replies == [frames.Outputs([output("a", "13"), output("b", "2")]), frames.Accepted("c")]

    with_pipe(test)


def test_outputs_that_nobody_reads_are_merged_and_replies_keep_their_order() -> None:
    async def test(pipe: ReplyPipe, fd: int) -> None:
        text = "x" * 100
        for number in range(10_000):  # far more than a pipe holds
            pipe.put([output("a", text), output("b", str(number % 10))])
        pipe.beat(frames.Pulse(1))  # says nothing while nobody reads
        for number in range(1000):
            pipe.send(frames.Tokens(number, [1] * 100))
        reading = asyncio.create_task(asyncio.to_thread(read_all, fd, 0.1))
        await pipe.close()
        replies = await reading
        parts = [reply for reply in replies if isinstance(reply, frames.Outputs)]
        assert len(parts) < 2000
        assert "".join(one.text for part in parts for one in part.outputs if one.request_id == "a") == text * 10_000
        digits = "".join(one.text for part in parts for one in part.outputs if one.request_id == "b")
        assert digits == "0123456789" * 1000
        assert [reply.call for reply in replies if isinstance(reply, frames.Tokens)] == list(range(1000))
        assert not any(isinstance(reply, frames.Pulse) for reply in replies)

    with_pipe(test)


def test_threads_may_write_at_once() -> None:
    async def test(pipe: ReplyPipe, fd: int) -> None:
        def write(name: str) -> None:
            for number in range(2000):
                pipe.put([output(name, f"{number},")])

        reading = asyncio.create_task(asyncio.to_thread(read_all, fd))
        threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
        for thread in threads:
            thread.start()
        while any(thread.is_alive() for thread in threads):
            pipe.send(frames.Accepted("x"))
            await asyncio.sleep(0)
        await pipe.close()
        parts = [reply for reply in await reading if isinstance(reply, frames.Outputs)]
        for name in "abcd":
            text = "".join(one.text for part in parts for one in part.outputs if one.request_id == name)
            assert text == "".join(f"{number}," for number in range(2000))

    with_pipe(test)


def test_an_error_comes_behind_what_its_request_still_had() -> None:
    async def test(pipe: ReplyPipe, fd: int) -> None:
        while not pipe._unwritten:
            pipe.send(frames.Tokens(0, [1] * 1000))
        pipe.put([output("a", "1"), output("b", "2")])
        pipe.fail("a", frames.Failure("EngineDeadError", "it died"))
        pipe.drop("b")
        reading = asyncio.create_task(asyncio.to_thread(read_all, fd))
        await pipe.close()
        last = (await reading)[-2:]
        assert last[0] == frames.Outputs([output("a", "1")])
        assert isinstance(last[1], frames.StreamFailed)

    with_pipe(test)


def test_an_output_too_large_for_a_frame_fails_its_request_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "MAX_FRAME", 1000)

    async def test(pipe: ReplyPipe, fd: int) -> None:
        large = RequestOutput(request_id="a", logprobs=[TokenLogprob(1, b"x" * 2000, -1.0)])
        pipe.put([large, output("b", "2")])
        await pipe.close()
        failed, passed = await asyncio.to_thread(read_all, fd)
        assert isinstance(failed, frames.StreamFailed)
        assert failed.request_id == "a"
        assert passed == frames.Outputs([output("b", "2")])

    with_pipe(test)


def test_a_server_that_is_gone_stops_nobody() -> None:
    async def test(pipe: ReplyPipe, fd: int) -> None:
        while not pipe._unwritten:
            pipe.send(frames.Tokens(0, [1] * 1000))
        os.close(fd)
        await asyncio.sleep(0.05)
        pipe.put([output("a", "1")])
        pipe.send(frames.Accepted("a"))
        await pipe.close()

    with_pipe(test)


def test_closing_gives_up_on_a_server_that_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ReplyPipe, "CLOSE_SECONDS", 0.05)

    async def test(pipe: ReplyPipe, fd: int) -> None:
        while not pipe._unwritten:
            pipe.send(frames.Tokens(0, [1] * 1000))
        await pipe.close()
        os.close(fd)

    with_pipe(test)
