"""Answers of the embedded model to readers that are much slower than it: the same to the last token."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Any

import pytest

from shimmy.completion import Completion
from shimmy.demo_model import demo_model_path
from shimmy.grammar import GrammarSpec
from shimmy.model_info import LoadSpec
from shimmy.models.supervisor import Supervisor
from shimmy.request import ChatPrompt, GenerateRequest
from shimmy.runner import RunnerClient
from shimmy.runner.backlog import Backlog

SCORED = {"logprobs": 20, "max_tokens": 60, "ignore_eos": True}
REQUESTS: dict[str, dict[str, Any]] = {
    "greedy": {"sampling": {"temperature": 0.0}, **SCORED},
    "seeded": {"sampling": {"temperature": 1.0, "seed": 7}, **SCORED},
    "shaped": {
        "sampling": {"temperature": 0.0},
        "logprobs": 20,
        "grammar": GrammarSpec(regex="([0-9]{1,2}, ){20}end"),
    },
}


async def answer(supervisor: Supervisor, name: str, pause: float) -> tuple[dict[str, Any], int]:
    """What came, and how many requests its engine got for it."""
    prompt = ChatPrompt(messages=[{"role": "user", "content": "Count to 60."}])
    before = (await supervisor.stats()).requests_finished
    async with supervisor.stream(GenerateRequest(request_id=name, prompt=prompt, **REQUESTS[name])) as stream:
        outputs = []
        async for output in stream:
            outputs.append(output)
            await asyncio.sleep(pause)
    whole = Completion.collect(outputs)
    told = {
        "text": whole.text,
        "token_ids": whole.token_ids,
        "scored": [(one.token, len(one.top)) for one in whole.logprobs],
        "ended": whole.finish_reason,
        "usage": (whole.usage.prompt_tokens, whole.usage.completion_tokens),
    }
    return told, (await supervisor.stats()).requests_finished - before


@pytest.mark.parametrize("name", REQUESTS)
def test_a_slow_reader_gets_what_a_fast_one_gets(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Backlog, "MAX_BYTES", 32 * 1024)  # of about eight such tokens

    async def body() -> None:
        spec = LoadSpec(name="mini", path=str(demo_model_path()), context={"n_ctx": 1024})
        supervisor = await Supervisor.start(spec, partial(RunnerClient.start))
        try:
            fast, _ = await answer(supervisor, name, 0.0)
            slow, often = await answer(supervisor, name, 0.2)
        finally:
            await supervisor.close()
        assert slow == fast
        assert often > 1

    asyncio.run(asyncio.wait_for(body(), 60))
