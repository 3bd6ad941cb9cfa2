"""Responses in the background: their events are kept, and read as often as one likes; how they are ended."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shimmy.server.response_events import ResponseEvents

BACKGROUND = {"model": "m", "background": True, "stream": True}


def create(server: Any, given: str, **fields: Any) -> Any:
    return server.http.post("/v1/responses", json={**BACKGROUND, "input": given, **fields})


def events(response: Any) -> list[dict[str, Any]]:
    assert response.status_code == 200, response.text
    assert response.headers["content-type"] == "text/event-stream"
    return [json.loads(line[6:]) for line in response.text.splitlines() if line.startswith("data: ")]


def replay(server: Any, response_id: str, **params: Any) -> Any:
    return server.http.get(f"/v1/responses/{response_id}", params={"stream": "true", **params})


def begin_and_leave(server: Any, given: str, n_events: int = 4) -> tuple[str, list[dict[str, Any]]]:
    """The id of a response whose stream was left after some events, and these."""
    seen: list[dict[str, Any]] = []
    with server.http.stream("POST", "/v1/responses", json={**BACKGROUND, "input": given}) as answer:
        lines = answer.iter_lines()
        while len(seen) < n_events:
            if (line := next(lines)).startswith("data: "):
                seen.append(json.loads(line[6:]))
    return seen[0]["response"]["id"], seen


def test_a_stream_says_that_it_waits_and_then_all_that_others_say(server: Any) -> None:
    told = events(create(server, "hello there"))
    assert [event["type"] for event in told[:4]] == [
        "response.created",
        "response.queued",
        "response.in_progress",
        "response.output_item.added",
    ]
    assert [event["response"]["status"] for event in told[:3]] == ["queued", "queued", "in_progress"]
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert (told[-1]["type"], told[-1]["response"]["status"]) == ("response.completed", "completed")
    assert replay(server, told[0]["response"]["id"]).text == create_text(told)


def create_text(told: list[dict[str, Any]]) -> str:
    compact = [json.dumps(event, separators=(",", ":"), ensure_ascii=False) for event in told]
    return "".join(f"event: {event['type']}\ndata: {text}\n\n" for event, text in zip(told, compact, strict=True))


def test_it_goes_on_without_its_reader_who_comes_back(server: Any) -> None:
    response_id, seen = begin_and_leave(server, "slow 40")
    rest = events(replay(server, response_id, starting_after=seen[-1]["sequence_number"]))
    assert rest[0]["sequence_number"] == seen[-1]["sequence_number"] + 1
    deltas = [event["delta"] for event in [*seen, *rest] if event["type"] == "response.output_text.delta"]
    assert "".join(deltas) == "".join(f"{i} " for i in range(40))
    assert rest[-1]["type"] == "response.completed"
    assert events(replay(server, response_id, starting_after=rest[-2]["sequence_number"])) == rest[-1:]
    assert replay(server, response_id, starting_after=10_000).text == ""
    assert server.http.get(f"/v1/responses/{response_id}").json() == rest[-1]["response"]


def test_cancelling_ends_the_stream_and_keeps_what_came(server: Any) -> None:
    response_id, _ = begin_and_leave(server, "slow 500", 8)
    followed: list[Any] = []
    follower = threading.Thread(target=lambda: followed.append(replay(server, response_id)))
    follower.start()
    ended = server.http.post(f"/v1/responses/{response_id}/cancel").json()
    follower.join(10)
    assert (ended["status"], ended["incomplete_details"], ended["output"][0]["status"]) == (
        "cancelled",
        None,
        "incomplete",
    )
    last = events(followed[0])[-1]
    assert (last["type"], last["response"]) == ("response.incomplete", ended)
    assert ended["output"][0]["content"][0]["text"].startswith("0 1 ")
    server.wait_until(lambda: server.engine.running == 0)


def test_ending_the_request_is_no_limit_that_was_reached(server: Any) -> None:
    response_id, _ = begin_and_leave(server, "slow 500")
    server.http.delete(f"/v1/requests/{response_id}")
    last = events(replay(server, response_id))[-1]
    assert (last["type"], last["response"]["status"]) == ("response.incomplete", "cancelled")
    assert last["response"]["incomplete_details"] is None
    assert last["response"]["usage"]["output_tokens"] > 0


def test_a_failure_is_the_last_event(server: Any) -> None:
    told = events(create(server, "fail DecodeError"))
    assert told[-1]["type"] == "response.failed"
    assert [event["sequence_number"] for event in told] == list(range(len(told)))
    assert create(server, "hi", model="none").status_code == 404


@pytest.mark.parametrize(
    ("fields", "params", "param"),
    [
        ({}, {"stream": "true", "starting_after": "-1"}, "starting_after"),
        ({}, {"starting_after": "1"}, "starting_after"),
        ({}, {"stream": "perhaps"}, "stream"),
        ({"stream": False}, {"stream": "true"}, "stream"),
        ({"background": False}, {"stream": "true"}, "stream"),
    ],
)
def test_what_cannot_be_replayed_says_why(
    server: Any, fields: dict[str, Any], params: dict[str, str], param: str
) -> None:
    created = create(server, "hello", **fields)
    response_id = created.json()["id"] if not fields.get("stream", True) else events(created)[0]["response"]["id"]
    answer = server.http.get(f"/v1/responses/{response_id}", params=params)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


@given(st.lists(st.binary(max_size=3), max_size=600), st.integers(-1, 700), st.integers(0, 600))
def test_whoever_follows_gets_each_event_once(added: list[bytes], after: int, before: int) -> None:
    async def follow() -> bytes:
        kept = ResponseEvents()
        for event in added[:before]:
            kept.add(event)

        async def add() -> None:
            for event in added[before:]:
                kept.add(event)
                await asyncio.sleep(0)
            kept.end()

        adding = asyncio.ensure_future(add())
        parts = [part async for part in kept.follow(after)]
        await adding
        assert kept.n_bytes == sum(map(len, added))
        return b"".join(parts)

    assert asyncio.run(follow()) == b"".join(added[after + 1 :])
