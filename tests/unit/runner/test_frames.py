"""Frames and errors survive the trip; anything else is refused."""

from __future__ import annotations

import asyncio

import pytest

from shimmy import errors
from shimmy.embedding import Embeddings, EmbedRequest, RankedDocument, Ranking, RerankRequest
from shimmy.model_info import LoadSpec
from shimmy.output import RequestOutput, TokenLogprob, ToolCallDelta, Usage
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import frames


def reader_of(data: bytes) -> asyncio.StreamReader:
    reader = asyncio.StreamReader()
    reader.feed_data(data)
    reader.feed_eof()
    return reader


def test_commands_come_back_equal() -> None:
    chat = ChatPrompt(messages=[{"role": "user", "content": "é\x00"}], template_kwargs={"a": [1, None, {"b": 1.5}]})
    commands: list[frames.Command] = [
        frames.Hello(),
        frames.Load(LoadSpec(name="m", path="p", model={"n_gpu_layers": 0})),
        frames.Start(GenerateRequest(request_id="r", prompt=chat, sampling={"logit_bias": {5: -1.0}}, logprobs=0)),
        frames.Start(GenerateRequest(request_id="r", prompt=[1, 2], stop=["x"], lora={"a": 0.5})),
        frames.Cancel("r"),
        frames.Tokenize(1, "t", True, False),
        frames.Detokenize(2, [1]),
        frames.Split(2, [1]),
        frames.RenderChat(3, chat),
        frames.Embed(5, EmbedRequest(input=["a", [1, 2]], dimensions=8, normalize=False)),
        frames.Rerank(6, RerankRequest(query="q", documents=["d"], top_n=1, raw_scores=True)),
        frames.LoadAdapter(7, "org/style:1", "a.gguf"),
        frames.UnloadAdapter(8, "org/style:1"),
        frames.CancelCall(6),
        frames.Stats(4),
        frames.Shutdown(),
    ]

    async def body() -> None:
        reader = reader_of(b"".join(map(frames.encode, commands)))
        assert [await frames.read_command(reader) for _ in commands] == commands
        assert await frames.read_command(reader) is None

    asyncio.run(body())


def test_replies_come_back_equal() -> None:
    output = RequestOutput(
        request_id="r",
        text="t",
        tool_calls=[ToolCallDelta(0, "{}", "c", "f")],
        logprobs=[TokenLogprob(1, b"\xff", -1.0, [(1, b"\xff", -1.0)])],
        finish_reason="stop",
        stop_reason=5,
        usage=Usage(prompt_tokens=1, decode_seconds=0.5),
    )

    replies: list[frames.Reply] = [
        frames.Outputs([output, RequestOutput(request_id="s")]),
        frames.Pieces(2, [b"\xc3"]),
        frames.Embedded(1, Embeddings(data=[bytes(range(8))], dimensions=2, pooling="cls", prompt_tokens=3)),
        frames.Ranked(2, Ranking(results=[RankedDocument(1, 0.5), RankedDocument(0, -1e30)], prompt_tokens=4)),
    ]

    async def body() -> None:
        for reply in replies:
            assert await frames.read_reply(reader_of(frames.encode(reply))) == reply

    asyncio.run(body())


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"\x01\x00", "inside a frame"),
        (b"\x05\x00\x00\x00abc", "inside a frame"),
        (b"\xff\xff\xff\xff", "claims 4294967295 bytes"),
        (b"\x01\x00\x00\x00\xc1", "invalid message"),
        (b"\x01\x00\x00\x00\x80", "invalid message"),
        (b"\x00\x00\x00\x00", "invalid message"),
        (frames.encode(frames.Progress(0.5)), "invalid message"),
    ],
)
def test_garbage_is_refused(data: bytes, words: str) -> None:
    async def body() -> None:
        with pytest.raises(frames.FrameError, match=words):
            await frames.read_command(reader_of(data))

    asyncio.run(body())


@pytest.mark.parametrize("name", errors.__all__)
def test_every_error_keeps_its_class(name: str) -> None:
    error = getattr(errors, name)("what happened")
    again = frames.Failure.of(error).exception()
    assert type(again) is type(error)
    assert again.message == "what happened"
    for field in type(error).fields:
        assert getattr(again, field) == getattr(error, field)


def test_a_subclass_of_ours_travels_as_its_base() -> None:
    class SpecialError(errors.QueueFullError):
        pass

    again = frames.Failure.of(SpecialError("full", retry_after=3)).exception()
    assert type(again) is errors.QueueFullError
    assert again.retry_after == 3


def test_an_unknown_class_is_still_an_error_with_its_name() -> None:
    assert str(frames.Failure("Exception", "x").exception()) == "Exception: x"
