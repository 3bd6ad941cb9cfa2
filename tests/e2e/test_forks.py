"""Forks of real answers: they share what is computed, and go on as the answer did."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from endless import ENDLESS

MODEL = "shimmy-mini"
STORY: dict[str, Any] = {"messages": [{"role": "user", "content": "Tell me a story about a fox."}], "temperature": 0}
TEXT: dict[str, Any] = {"prompt": "Once upon a time there was a fox who", "temperature": 0, "ignore_eos": True}


@pytest.fixture(scope="module")
def http(server: Any) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, timeout=60) as client:
        yield client


def newest(http: httpx.Client) -> Any:
    return http.get("/v1/requests").json()["data"][-1]


def asked(http: httpx.Client, path: str, **body: Any) -> Any:
    """A request that was answered, with its tokens."""
    answer = http.post(path, json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    return http.get(f"/v1/requests/{newest(http)['id']}").json()


def fork(http: httpx.Client, parent: Any, **body: Any) -> Any:
    answer = http.post(f"/v1/requests/{parent['id']}/fork", json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


@pytest.mark.parametrize(("path", "body"), [("/v1/chat/completions", STORY), ("/v1/completions", TEXT)])
@pytest.mark.parametrize("at", [1, 20, 39])
def test_a_greedy_fork_goes_on_as_the_answer_did(http: httpx.Client, path: str, body: dict[str, Any], at: int) -> None:
    parent = asked(http, path, **body, max_tokens=40)
    assert parent["n_tokens"] == 40
    forked = fork(http, parent, at=at, max_tokens=40 - at)
    assert forked["token_ids"] == parent["token_ids"][at:]
    assert parent["text"].endswith(forked["text"])
    assert (forked["forked_from"], forked["finish_reason"]) == (parent["id"], "length")
    # What was kept of the answer counts as the fork's answer; of the prompt nothing is computed again.
    n_prompt = parent["usage"]["prompt_tokens"]
    assert forked["usage"]["prompt_tokens"] == forked["usage"]["cached_tokens"] == n_prompt > 0


def test_forks_of_what_still_runs_share_it_too(http: httpx.Client) -> None:
    body = {"model": MODEL, **STORY, **ENDLESS, "stream": True}
    with http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = (line for line in answer.iter_lines() if line)
        for _ in range(30):
            next(lines)
        parent = newest(http)
        assert parent["state"] == "running"
        forked = fork(http, parent, at=10, max_tokens=10)
        known = http.get(f"/v1/requests/{parent['id']}").json()
        assert known["state"] == "running"
        assert forked["token_ids"] == known["token_ids"][10:20]
        assert forked["usage"]["cached_tokens"] == forked["usage"]["prompt_tokens"] > 10


def test_forks_with_other_sampling_differ(http: httpx.Client) -> None:
    parent = asked(http, "/v1/chat/completions", **STORY, max_tokens=40)
    told = {fork(http, parent, at=5, max_tokens=30, temperature=1.5, seed=seed)["text"] for seed in range(4)}
    assert len(told) > 1


def test_what_cannot_be_forked(http: httpx.Client) -> None:
    parent = asked(http, "/v1/chat/completions", **STORY, max_tokens=5)
    answer = http.post(f"/v1/requests/{parent['id']}/fork", json={"at": 6})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "at")
    assert http.post("/v1/requests/nothing/fork", json={}).status_code == 404
