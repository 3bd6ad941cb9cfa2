"""Runners of the embedded model are killed, aborted, stopped and starved under answers, which end as if nothing was."""

from __future__ import annotations

import asyncio
import os
import random
import re
import resource
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from endless import ENDLESS

from shimmy.completion import Completion
from shimmy.demo_model import demo_model_path
from shimmy.engine_client import OutputStream
from shimmy.errors import OutOfMemoryError
from shimmy.grammar import GrammarSpec
from shimmy.model_info import LoadSpec
from shimmy.models import crash_history
from shimmy.models.supervisor import Supervisor
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import RunnerClient

ROUNDS = int(os.environ.get("SHIMMY_FAULT_ROUNDS", "3"))
"""How often each of the ways to die is tried."""

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Weather of a city",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
GREEDY = {"temperature": 0.0}


def chat(question: str, **fields: Any) -> ChatPrompt:
    return ChatPrompt(messages=[{"role": "user", "content": question}], **fields)


REQUESTS: dict[str, dict[str, Any]] = {
    "long": {"prompt": chat("Count to 60."), "sampling": GREEDY},
    "scored": {"prompt": chat("Count to 20."), "sampling": GREEDY, "logprobs": 2},
    "stopped": {"prompt": chat("List the days of the week."), "sampling": GREEDY, "stop": ["6. Sat"]},
    "poem": {"prompt": chat("Write a poem about the sea."), "sampling": GREEDY, "max_tokens": 30},
    "raw": {"prompt": "Once upon a time", "sampling": GREEDY, "max_tokens": 40, "ignore_eos": True},
    "seeded": {"prompt": chat("Write a poem about the sea."), "sampling": {"temperature": 0.8, "seed": 7}},
    "called": {
        "prompt": chat("What is the weather in Rome?", tools=[WEATHER], tool_choice="required"),
        "sampling": GREEDY,
    },
    "shaped": {
        "prompt": chat("Count to 60."),
        "sampling": GREEDY,
        "grammar": GrammarSpec(regex="([0-9]{1,2}, ){20}end"),
    },
}


async def answer(supervisor: Supervisor, name: str) -> dict[str, Any]:
    async with supervisor.stream(GenerateRequest(request_id=name, **REQUESTS[name])) as outputs:
        whole = Completion.collect([output async for output in outputs])
    return {
        "text": whole.text,
        "calls": [(call.name, call.arguments) for call in whole.tool_calls],
        "token_ids": whole.token_ids,
        "scored": [one.token for one in whole.logprobs],
        "ended": (whole.finish_reason, whole.stop_reason),
        "usage": (whole.usage.prompt_tokens, whole.usage.completion_tokens),
    }


async def answers(supervisor: Supervisor) -> dict[str, dict[str, Any]]:
    found = await asyncio.gather(*(answer(supervisor, name) for name in REQUESTS))
    return dict(zip(REQUESTS, found, strict=True))


def send(number: signal.Signals, pid: int) -> None:
    os.kill(pid, number)


def starve(pid: int) -> None:
    """No memory but what it has."""
    resource.prlimit(pid, resource.RLIMIT_AS, (1 << 20, 1 << 20))


def spoil(pid: int) -> None:
    """Write what is no frame into the pipe of its replies."""
    ours = {pipe for pipe in map(target, Path("/proc/self/fd").iterdir()) if pipe.startswith("pipe:")}
    for fd in Path(f"/proc/{pid}/fd").iterdir():
        try:
            flags = re.search(r"flags:\s*(\d+)", Path(f"/proc/{pid}/fdinfo/{fd.name}").read_text())
        except FileNotFoundError:  # closed since it was listed
            continue
        assert flags is not None
        if int(fd.name) > 2 and int(flags[1], 8) & os.O_WRONLY and target(fd) in ours:
            with fd.open("wb", buffering=0) as pipe:
                pipe.write(b"\xff\xff\xff\x7fnothing of ours")
            return
    raise AssertionError("the runner has no pipe of ours")


def target(fd: Path) -> str:
    try:
        return str(fd.readlink())
    except OSError:
        return ""


WAYS: dict[str, Callable[[int], None]] = {
    "killed": partial(send, signal.SIGKILL),
    "aborted": partial(send, signal.SIGABRT),
    "stopped": partial(send, signal.SIGSTOP),
    "spoiled": spoil,
}


async def supervised(hang_seconds: float = 20) -> Supervisor:
    spec = LoadSpec(name="mini", path=str(demo_model_path()), context={"n_ctx": 2048})
    return await Supervisor.start(spec, partial(RunnerClient.start, hang_seconds=hang_seconds))


@pytest.mark.skipif(sys.platform != "linux", reason="finds and harms processes through /proc")
@pytest.mark.timeout(120 + 20 * ROUNDS)
@pytest.mark.parametrize("way", WAYS)
def test_answers_end_as_if_nothing_was(way: str) -> None:
    async def body() -> None:
        supervisor = await supervised(5 if way == "stopped" else 20)
        whole = await answers(supervisor)  # the first one waits for the page cache
        clock = asyncio.get_running_loop().time
        began = clock()
        assert await answers(supervisor) == whole
        took = clock() - began
        chance = random.Random(way)
        for _ in range(ROUNDS):
            running = asyncio.ensure_future(answers(supervisor))
            await asyncio.sleep(chance.uniform(0, took))
            WAYS[way]((await supervisor.ready()).pid)  # type: ignore[attr-defined]
            assert await asyncio.wait_for(running, 60) == whole
            await supervisor.tokenize("x")  # notices a death that came after the last answer
        await supervisor.close()

    asyncio.run(body())


@pytest.mark.skipif(sys.platform != "linux", reason="kills processes as it has them")
def test_a_long_answer_outlives_five_kills(monkeypatch: pytest.MonkeyPatch) -> None:
    """From the third on its model is put aside for a while each time, which the answers wait for."""
    monkeypatch.setattr(crash_history, "FIRST_SECONDS", 0.1)
    monkeypatch.setitem(REQUESTS, "longest", {"prompt": chat("Count to 150."), "sampling": GREEDY})

    async def body() -> None:
        supervisor = await supervised()
        names = ("longest", "scored")
        whole = {name: await answer(supervisor, name) for name in names}
        REQUESTS["longest"].update(ENDLESS)  # so that no kill comes too late; what follows the count is not compared
        n_tokens = dict.fromkeys(names, 0)
        told = asyncio.Event()
        streams: dict[str, OutputStream] = {}

        async def watched(name: str) -> Completion:
            async with supervisor.stream(GenerateRequest(request_id=name, **REQUESTS[name])) as outputs:
                streams[name] = outputs
                collected = []
                async for output in outputs:
                    collected.append(output)
                    n_tokens[name] += len(output.token_ids)
                    told.set()
            return Completion.collect(collected)

        running = {name: asyncio.ensure_future(watched(name)) for name in names}
        for one in running.values():
            one.add_done_callback(lambda _: told.set())

        async def wait_for_tokens(least: dict[str, int]) -> None:
            while any(n_tokens[name] < least[name] and not one.done() for name, one in running.items()):
                told.clear()
                await told.wait()

        for _ in range(5):
            await wait_for_tokens({name: n + 5 for name, n in n_tokens.items()})
            assert not running["longest"].done()
            send(signal.SIGKILL, supervisor.pid)
        await wait_for_tokens({name: max(n + 5, len(whole[name]["token_ids"])) for name, n in n_tokens.items()})
        streams["longest"].cancel()
        longest, scored = await asyncio.wait_for(asyncio.gather(*running.values()), 60)
        assert longest.text.startswith(whole["longest"]["text"])
        n_longest = len(whole["longest"]["token_ids"])
        assert longest.token_ids[:n_longest] == whole["longest"]["token_ids"]
        assert longest.finish_reason == "cancelled"
        assert (scored.text, scored.token_ids) == (whole["scored"]["text"], whole["scored"]["token_ids"])
        assert scored.finish_reason == whole["scored"]["ended"][0]
        assert supervisor.health == "loaded"
        await supervisor.close()

    asyncio.run(body())


@pytest.mark.skipif(sys.platform != "linux", reason="sets limits of another process")
@pytest.mark.parametrize("warm", [False, True])
def test_a_runner_without_memory_answers_wrong_never(warm: bool) -> None:
    """It dies, and the next one goes on; or it says which request it has no memory for."""

    async def body() -> None:
        supervisor = await supervised()
        whole = await answers(supervisor)
        if not warm:
            await supervisor.close()
            supervisor = await supervised()
        running = asyncio.gather(*(answer(supervisor, name) for name in REQUESTS), return_exceptions=True)
        if warm:
            await asyncio.sleep(0.1)
        starve(supervisor.pid)
        answered = dict(zip(REQUESTS, await asyncio.wait_for(running, 60), strict=True))
        for name, found in answered.items():
            assert isinstance(found, OutOfMemoryError) or found == whole[name], (name, found)
        assert sum(isinstance(found, dict) for found in answered.values()) >= len(REQUESTS) // 2
        await supervisor.ready()
        send(signal.SIGKILL, supervisor.pid)
        assert await answers(supervisor) == whole
        await supervisor.close()

    asyncio.run(body())
