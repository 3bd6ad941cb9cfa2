"""Is our client the cap? It reads from a trivial server that only writes events, as fast as it can take them."""

from __future__ import annotations

import asyncio
import json
import multiprocessing
from multiprocessing.connection import Connection

from client import read_openai
from raw_client import RawClient

_EVENT = {
    "id": "cmpl-0",
    "object": "text_completion",
    "choices": [{"index": 0, "text": " word", "finish_reason": None}],
}


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Read requests of one connection; each gets as many events as its max_tokens says, one write each."""
    event = b"data: " + json.dumps(_EVENT).encode() + b"\n\n"
    chunk = b"%x\r\n%b\r\n" % (len(event), event)
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(
                int(line.split(b":")[1]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")
            )
            body = json.loads(await reader.readexactly(length))
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n")
            for _ in range(body["max_tokens"]):
                writer.write(chunk)
                await writer.drain()
                await asyncio.sleep(0)  # so that streams take turns and events go out one by one
            writer.write(b"e\r\ndata: [DONE]\n\n\r\n0\r\n\r\n")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    finally:
        writer.close()


def _serve(pipe: Connection) -> None:
    async def run() -> None:
        server = await asyncio.start_server(_answer, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        async with server:
            await server.serve_forever()

    asyncio.run(run())


async def _read(port: int, streams: int, tokens: int) -> float:
    async with RawClient(port) as client:
        body = {"prompt": "", "max_tokens": tokens, "stream": True}
        await client.stream("/v1/completions", {**body, "max_tokens": 10})
        events = await asyncio.gather(*(client.stream("/v1/completions", body) for _ in range(streams)))
        count = sum(len(read_openai(one).times) for one in events)
        return count / (max(one.ended for one in events) - min(one.started for one in events))


def client_rates(streams: tuple[int, ...] = (1, 4, 8), tokens: int = 2000) -> dict[int, float]:
    """Tokens per second that the client takes from so many streams; the server runs in a process of its own."""
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=_serve, args=(theirs,), daemon=True)
    server.start()
    try:
        if not ours.poll(30):
            raise RuntimeError("the echo server did not start within 30 s")
        port = ours.recv()
        return {n: asyncio.run(_read(port, n, tokens)) for n in streams}
    finally:
        server.terminate()
        server.join()
