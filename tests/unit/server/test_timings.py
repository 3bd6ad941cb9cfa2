"""`timings`: once, at the end of every answer, whole or streamed, with and without usage."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.output import Usage
from shimmy.server.timings import timings_of

CHAT = {"messages": [{"role": "user", "content": "hello there"}]}
ROUTES: dict[str, tuple[str, dict[str, Any]]] = {
    "chat": ("/v1/chat/completions", CHAT),
    "several choices": ("/v1/chat/completions", {**CHAT, "n": 3}),
    "completions": ("/v1/completions", {"prompt": "hello there"}),
    "several prompts": ("/v1/completions", {"prompt": ["hello there", "hello there"], "n": 2}),
    "responses": ("/v1/responses", {"input": "hello there"}),
    "messages": ("/v1/messages", {**CHAT, "max_tokens": 9}),
    "llama-server": ("/completion", {"prompt": "hello there"}),
}
N_ANSWERS = {"several choices": 3, "several prompts": 4}
N_PROMPTS = {"several prompts": 2}


def post(server: Any, name: str, **fields: Any) -> Any:
    path, body = ROUTES[name]
    response = server.http.post(path, json={"model": "m", **body, **fields})
    assert response.status_code == 200, response.text
    return response


def data_of(response: Any) -> list[dict[str, Any]]:
    lines = [line[6:] for line in response.text.splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in lines if line != "[DONE]"]


def check(timings: dict[str, Any], name: str) -> None:
    assert timings["predicted_n"] == 2 * N_ANSWERS.get(name, 1)
    assert (timings["cache_n"], timings["prompt_n"]) == (N_PROMPTS.get(name, 1), N_PROMPTS.get(name, 1))
    assert "draft_n" not in timings


@pytest.mark.parametrize("name", ROUTES)
def test_a_whole_answer_has_them(server: Any, name: str) -> None:
    check(post(server, name).json()["timings"], name)


@pytest.mark.parametrize("name", ROUTES)
@pytest.mark.parametrize("options", [{}, {"stream_options": {"include_usage": True}}])
def test_a_stream_has_them_in_one_event_near_its_end(server: Any, name: str, options: dict[str, Any]) -> None:
    told = data_of(post(server, name, stream=True, **options))
    events = [event.get("response", event) for event in told]
    (at,) = [number for number, event in enumerate(events) if "timings" in event]
    check(events[at]["timings"], name)
    assert at == len(events) - (2 if name == "messages" else 1)  # message_stop is empty
    if options and name in ("chat", "completions"):
        assert events[at]["choices"] == [] and events[at]["usage"]["completion_tokens"] == 2


@given(st.lists(st.builds(Usage, prompt_tokens=st.integers(0, 9), completion_tokens=st.integers(0, 9))))
def test_nothing_measured_divides_by_nothing(usages: list[Usage]) -> None:
    timings = timings_of([*usages, None], 1)
    assert timings.predicted_per_second == timings.prompt_per_second == timings.prompt_per_token_ms == 0
    assert timings.predicted_n == sum(usage.completion_tokens for usage in usages)


def test_choices_run_beside_each_other() -> None:
    slow = Usage(prompt_tokens=10, cached_tokens=2, completion_tokens=4, prefill_seconds=2.0, decode_seconds=4.0)
    fast = Usage(prompt_tokens=10, cached_tokens=9, completion_tokens=4, drafted_tokens=5, accepted_tokens=3)
    timings = timings_of([slow, fast], 2)
    assert (timings.cache_n, timings.prompt_n, timings.prompt_ms, timings.prompt_per_second) == (2, 8, 2000.0, 4.0)
    assert (timings.predicted_n, timings.predicted_ms, timings.predicted_per_token_ms) == (8, 4000.0, 500.0)
    assert (timings.draft_n, timings.draft_n_accepted) == (5, 3)
