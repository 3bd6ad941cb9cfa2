"""Many short requests to the real server, after which it must be as small as before: SHIMMY_SOAK_REQUESTS=20000."""

from __future__ import annotations

import asyncio
import logging
import os
import statistics
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from itertools import combinations
from typing import TYPE_CHECKING

import httpx
import pytest

from shimmy.models.host_memory import process_memory

if TYPE_CHECKING:
    from conftest import ServerProcess

REQUESTS = int(os.environ.get("SHIMMY_SOAK_REQUESTS", "0"))
ENOUGH = 5000
"""Requests of which the slope says something; fewer show that it runs."""
CLIENTS = 16
LOOKS = 50
MIB = 1 << 20


def slope(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's: the median of the slopes between all pairs."""
    return statistics.median((b[1] - a[1]) / (b[0] - a[0]) for a, b in combinations(points, 2) if b[0] != a[0])


@pytest.mark.skipif(REQUESTS == 0, reason="set SHIMMY_SOAK_REQUESTS to run it")
@pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")
@pytest.mark.timeout(3600)
def test_memory_stays_flat(start: Callable[..., AbstractContextManager[ServerProcess]]) -> None:
    with start() as server:
        points = asyncio.run(soaked(server))
    late = points[len(points) // 5 :]  # caches fill at first
    for which, name, most in ((1, "server", 1.0), (2, "runner", 4.0)):
        line = [(float(point[0]), point[which] / MIB) for point in late]
        per_10k = slope(line) * 10_000
        told = "%s: %.1f -> %.1f MiB, %+.2f MiB per 10,000 requests"
        logging.getLogger("test.soak").warning(told, name, line[0][1], line[-1][1], per_10k)
        assert per_10k < most or REQUESTS < ENOUGH


async def soaked(server: ServerProcess) -> list[tuple[int, int, int]]:
    """Requests done, and the bytes that server and runner had allocated then."""
    points: list[tuple[int, int, int]] = []
    done = 0

    async def ask(client: httpx.AsyncClient) -> None:
        nonlocal done
        while done < REQUESTS:
            done += 1
            number = done
            body = {
                "model": "shimmy-mini",
                "messages": [
                    {"role": "user", "content": f"Question {number}: what is {number % 97} and {number % 89}?"}
                ],
                "max_tokens": 2 + number % 6,
                "stream": number % 2 == 0,
            }
            answer = await client.post("/v1/chat/completions", json=body)
            assert answer.status_code == 200, answer.text
            if number % max(1, REQUESTS // LOOKS) == 0:
                memory = [process_memory(pid) for pid in (server.process.pid, server.runners()[0])]
                assert None not in memory
                points.append((number, *(one.own for one in memory if one is not None)))  # type: ignore[arg-type]

    async with httpx.AsyncClient(base_url=server.url, timeout=60) as client:
        await asyncio.gather(*(ask(client) for _ in range(CLIENTS)))
    return points
