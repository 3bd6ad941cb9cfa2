"""The real server, while its runners are killed."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any

import httpx
import pytest

if TYPE_CHECKING:
    from conftest import ServerProcess

MODEL = "shimmy-mini"
Start = Callable[..., "AbstractContextManager[ServerProcess]"]
COUNT: dict[str, Any] = {
    "model": MODEL,
    "messages": [{"role": "user", "content": "Count to 150."}],
    "temperature": 0,
    "n": 2,
    "speculation": False,
}
"""Answers that take about a second, although the server has given them before."""


def texts(stream: str) -> dict[int, str]:
    found = {0: "", 1: ""}
    for line in stream.splitlines():
        if line.startswith("data: {"):
            for choice in json.loads(line[6:]).get("choices", []):
                found[choice["index"]] += choice["delta"].get("content") or ""
    return found


def asked(server: ServerProcess, act: Callable[[], Any]) -> str:
    """The whole stream of COUNT, during which `act` happens."""
    lines: list[str] = []
    began = threading.Event()

    def read() -> None:
        url = f"{server.url}/v1/chat/completions"
        with httpx.stream("POST", url, json={**COUNT, "stream": True}, timeout=60) as response:
            for line in response.iter_lines():
                lines.append(line)
                if '"content":"1' in line:
                    began.set()

    thread = threading.Thread(target=read)
    thread.start()
    assert began.wait(30)
    act()
    thread.join(60)
    return "\n".join(lines)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
def test_a_response_goes_on_over_a_crash(server: ServerProcess, number: signal.Signals) -> None:
    whole = asked(server, lambda: None)
    assert whole.endswith("data: [DONE]\n")
    n_lines = len(server.log)
    for _ in range(5):  # the answer may have been whole before the signal came
        broken = asked(server, lambda: os.kill(server.runners()[0], number))
        assert broken.endswith("data: [DONE]\n")
        assert texts(broken) == texts(whole)
        assert texts(broken)[0].startswith("1, 2, 3") and texts(broken)[0].endswith("149, 150")
        # Wanted again, so that it is started if nothing ran at its end.
        once = httpx.post(f"{server.url}/v1/chat/completions", json={**COUNT, "max_tokens": 1}, timeout=60)
        assert once.status_code == 200
        if any("goes on after" in line for line in server.log[n_lines:]):
            break
    else:
        raise AssertionError("no signal came in time")
    status = httpx.get(f"{server.url}/api/models/{MODEL}/status", timeout=60).json()
    assert (status["status"], status["error"]) == ("loaded", None)


def test_a_server_that_is_told_to_end_lets_resumed_answers_finish(start: Start) -> None:
    with start() as server:
        whole = asked(server, lambda: None)
        codes: list[int] = []

        def kill_and_end() -> None:
            os.kill(server.runners()[0], signal.SIGKILL)
            time.sleep(0.1)
            codes.append(server.terminate())

        broken = asked(server, kill_and_end)
        assert texts(broken) == texts(whole)
        assert codes == [0]
