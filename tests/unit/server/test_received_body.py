"""Bodies between having come and being decoded: where that is done, and what is left of them."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from websockets.sync.client import connect

from shimmy.errors import InvalidRequestError
from shimmy.server import received_body
from shimmy.server.body_budget import FREE_BYTES, BodyBudget
from shimmy.server.received_body import LARGE_BYTES, ReceivedBody


def test_a_body_is_forgotten_when_it_was_decoded() -> None:
    async def look() -> None:
        budget = BodyBudget(100)
        for data in (b"[1]", b"{"):
            share = budget.share()
            share.add(FREE_BYTES + 5)
            body = ReceivedBody(data, share)
            if data == b"[1]":
                assert await body.peek(list[int]) == await body.decode(list[int]) == [1]
            else:
                with pytest.raises(InvalidRequestError):
                    await body.decode(dict[str, int])
            assert not body
            assert budget.used == 0

    asyncio.run(look())


@pytest.fixture
def threads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of those that decoded something, in turn."""
    names: list[str] = []
    decode = received_body.decode_value

    def noted(body: bytes, kind: Any) -> Any:
        names.append(threading.current_thread().name)
        return decode(body, kind)

    monkeypatch.setattr(received_body, "decode_value", noted)
    return names


@pytest.mark.parametrize("length", [100, 2 * LARGE_BYTES])
def test_large_bodies_are_decoded_beside_the_loop(server: Any, threads: list[str], length: int) -> None:
    for path in ("/v1/completions", "/api/generate"):  # the latter is looked at twice: whose it is, and what it says
        response = server.http.post(path, json={"model": "m", "prompt": "x" * length, "stream": False})
        assert response.status_code == 200
    assert [name.startswith("asyncio_") for name in threads] == [length > LARGE_BYTES] * 3


@pytest.mark.parametrize("length", [100, 2 * LARGE_BYTES])
def test_large_frames_of_sockets_too(server: Any, threads: list[str], length: int) -> None:
    with connect(server.url.replace("http", "ws") + "/ws/generate", max_size=None) as client:
        client.send(json.dumps({"model": "m", "prompt": "x" * length}))
        assert client.recv(timeout=5) == "x" * length
        assert json.loads(client.recv(timeout=5))["done"]
    assert [name.startswith("asyncio_") for name in threads] == [length > LARGE_BYTES] * 2
