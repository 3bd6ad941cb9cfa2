"""/v1/requests: what is under way, ending it, and going on from any token of it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from shimmy.server import request_tracker


def only(server: Any, state: str) -> Any:
    (one,) = server.http.get(f"/v1/requests?state={state}").json()["data"]
    return one


@pytest.fixture
def own(start_server: Any) -> Any:
    with start_server() as server:
        yield server


def test_a_finished_request(own: Any) -> None:
    answer = own.chat("hello there").json()
    one = only(own, "finished")
    assert (one["id"], one["model"], one["finish_reason"]) == (answer["id"], "m", "stop")
    assert (one["n_tokens"], one["queue_position"], one["usage"]["completion_tokens"]) == (2, None, 2)
    assert one["ended"] >= one["created"]
    detail = own.http.get(f"/v1/requests/{one['id']}").json()
    assert (detail["text"], detail["token_ids"]) == ("hello there", [0, 1])
    assert own.http.get("/v1/requests?state=running").json()["data"] == []
    refused = own.http.get("/v1/requests?state=null")
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "state")


def test_cancelling_keeps_what_came(own: Any) -> None:
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(own.chat("slow 500").json()))
    asking.start()
    own.wait_until(lambda: bool(own.http.get("/v1/requests?state=running").json()["data"]))
    ended = own.http.delete(f"/v1/requests/{only(own, 'running')['id']}").json()
    asking.join(10)
    assert (ended["state"], ended["finish_reason"]) == ("cancelled", "cancelled")
    assert ended["text"].startswith("0 ")
    content = answers[0]["choices"][0]["message"]["content"]
    assert content == ended["text"]
    assert answers[0]["usage"]["completion_tokens"] == ended["n_tokens"] > 0
    assert own.http.delete(f"/v1/requests/{ended['id']}").json()["state"] == "cancelled"  # again


def test_an_answer_that_was_left_counts_what_came(own: Any) -> None:
    body = {"model": "m", "messages": [{"role": "user", "content": "slow 500"}], "stream": True}
    with own.http.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = answer.iter_lines()
        while '"3 "' not in next(lines):
            pass
        under_way = only(own, "running")
        assert under_way["usage"]["completion_tokens"] == under_way["n_tokens"] >= 4
    own.wait_until(lambda: bool(own.http.get("/v1/requests?state=cancelled").json()["data"]))
    left = only(own, "cancelled")
    assert left["usage"]["completion_tokens"] == left["n_tokens"] >= 4
    (counted,) = [line for line in own.http.get("/metrics").text.splitlines() if "completion_tokens_total{" in line]
    assert float(counted.split()[-1]) == left["n_tokens"]


def test_what_waits_says_at_which_place(own: Any) -> None:
    threads = [threading.Thread(target=lambda: own.chat("hang")) for _ in range(2)]
    for thread in threads:
        thread.start()
    own.wait_until(lambda: len(own.http.get("/v1/requests?state=queued").json()["data"]) == 2)
    waiting = own.http.get("/v1/requests?state=queued").json()["data"]
    assert [one["queue_position"] for one in waiting] == [0, 1]
    for one in waiting:
        assert own.http.delete(f"/v1/requests/{one['id']}").json()["state"] == "cancelled"
    for thread in threads:
        thread.join(10)


def test_a_client_that_leaves_and_an_error(own: Any) -> None:
    with own.http.stream("POST", "/v1/completions", json={"model": "m", "prompt": "slow 500", "stream": True}) as reply:
        next(reply.iter_lines())
    own.wait_until(lambda: bool(own.http.get("/v1/requests?state=cancelled").json()["data"]))
    own.chat("break")
    failed = only(own, "failed")
    assert failed["error"] == "as asked"


def test_a_refused_request_is_none(own: Any) -> None:
    own.chat("hi", stop=["x"] * 3)
    assert own.chat("hi", temperature="hot").status_code == 400
    assert len(own.http.get("/v1/requests").json()["data"]) == 1


def test_going_on_from_a_token(own: Any) -> None:
    parent = own.http.post(
        "/v1/completions", json={"model": "m", "prompt": "a b c", "temperature": 0.5, "seed": 3, "stop": ["x"]}
    ).json()
    (one,) = own.http.get("/v1/requests").json()["data"]
    assert one["id"].startswith(parent["id"])
    forked = own.http.post(f"/v1/requests/{one['id']}/fork", json={"at": 2, "temperature": 1.5, "max_tokens": 4}).json()
    request = own.engine.requests[-1]
    assert (request.prompt, request.answered) == ("a b c", [0, 1])
    assert (request.sampling["temperature"], request.sampling["seed"]) == (1.5, 3)
    assert (request.stop, request.max_tokens) == (["x"], 6)
    assert (forked["forked_from"], forked["state"]) == (one["id"], "finished")
    assert forked["text"]
    streamed = own.http.post(f"/v1/requests/{one['id']}/fork", json={"stream": True})
    assert streamed.text.endswith("data: [DONE]\n\n")
    assert (own.engine.requests[-1].prompt, own.engine.requests[-1].answered) == ("a b c", [0, 1, 2])


def fork_of(own: Any, parent: str, **body: Any) -> dict[str, Any]:
    answer = own.http.post(f"/v1/requests/{parent}/fork", json=body)
    assert answer.status_code == 200, answer.text
    forked: dict[str, Any] = answer.json()
    return forked


def test_a_forked_conversation_goes_on_in_its_form(own: Any) -> None:
    own.chat("spell 9", max_tokens=4, stop="END", temperature=1.0)
    parent = only(own, "finished")
    asked = own.engine.requests[-1]
    forked = fork_of(own, parent["id"], at=2, max_tokens=3, temperature=1.5, seed=4)
    request = own.engine.requests[-1]
    assert (request.prompt, request.answered, request.max_tokens) == (asked.prompt, list(b"ab"), 5)
    assert (request.stop, request.sampling["temperature"]) == (["END"], 1.5)
    assert (forked["text"], bytes(forked["token_ids"]), forked["n_tokens"]) == ("cde", b"cde", 3)
    again = fork_of(own, forked["id"], at=1)
    assert (own.engine.requests[-1].answered, own.engine.requests[-1].max_tokens) == (list(b"abc"), 6)
    assert again["text"] == "def"
    whole = fork_of(own, parent["id"], at=0)
    request = own.engine.requests[-1]
    assert (request.prompt, request.answered, request.max_tokens) == (asked.prompt, [], 4)
    assert whole["text"] == "abcd"
    streamed = own.http.post(f"/v1/requests/{parent['id']}/fork", json={"at": 3, "max_tokens": 1, "stream": True})
    assert streamed.text.startswith("data: d\n\nevent: usage")


def test_a_fork_with_tools_goes_on_as_text(own: Any) -> None:
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}
    own.chat("one two", tools=[tool])
    parent = only(own, "finished")["id"]
    fork_of(own, parent, at=1)
    assert isinstance(own.engine.requests[-1].prompt, list)
    fork_of(own, parent, at=0)
    assert own.engine.requests[-1].prompt.tools


def test_a_fork_keeps_what_was_asked_for(own: Any) -> None:
    asked = {"model": "m", "prompt": "a b", "banned_strings": ["x"], "guided_regex": "a|b", "min_tokens": 1}
    own.http.post("/v1/completions", json=asked)
    (one,) = own.http.get("/v1/requests").json()["data"]
    path = f"/v1/requests/{one['id']}/fork"
    assert own.http.post(path, json={"at": 0, "stop": []}).status_code == 200
    request = own.engine.requests[-1]
    assert (request.banned_strings, request.min_tokens, request.grammar.regex) == (["x"], 1, "a|b")
    assert own.http.post(path, json={"at": 1}).status_code == 200
    request = own.engine.requests[-1]
    assert (request.answered, request.grammar.regex) == ([0], "a|b")


def test_errors(own: Any) -> None:
    for response in (own.http.get("/v1/requests/none"), own.http.delete("/v1/requests/none")):
        assert (response.status_code, response.json()["error"]["code"]) == (404, "request_not_found")
    assert own.http.post("/v1/requests/none/fork", json={}).status_code == 404
    own.chat("hello there")
    path = f"/v1/requests/{only(own, 'finished')['id']}/fork"
    refused = own.http.post(path, json={"at": 3})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "at")


def test_only_the_last_ones_are_remembered(own: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_tracker, "MAX_ENDED", 16)
    for _ in range(20):
        own.http.post("/v1/completions", json={"model": "m", "prompt": "a"})
    assert len(own.http.get("/v1/requests").json()["data"]) == 17
    monkeypatch.setattr(request_tracker, "MAX_BYTES", 1_000_000)
    for _ in range(4):
        own.http.post("/v1/completions", json={"model": "m", "prompt": "a" * 200_000})
    left = own.http.get("/v1/requests").json()["data"]
    assert len(left) < 5  # the large ones have driven out the rest
