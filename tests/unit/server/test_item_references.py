"""Items of stored responses that an input refers to, instead of sending them: the AI SDK does so by default."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from shimmy.server import response_store
from shimmy.server.auth import tenant
from shimmy.server.errors import HttpError
from shimmy.server.response_store import Conversation, ResponseStore, StoredResponse
from shimmy.server.responses_answer import new_response
from shimmy.server.responses_input import read_input
from shimmy.server.schemas.responses import MessageItem, OutputText, ResponsesRequest
from shimmy.settings import Settings

TOOL = {"type": "function", "name": "weather", "parameters": {"type": "object"}}
USER = {"role": "user", "content": "and then"}


def create(server: Any, given: Any, **fields: Any) -> Any:
    answer = server.http.post("/v1/responses", json={"model": "m", "input": given, **fields})
    assert answer.status_code == 200, answer.text
    return answer.json()


def refer(*items: Any) -> list[dict[str, Any]]:
    """To items, or to ids."""
    return [{"type": "item_reference", "id": item if isinstance(item, str) else item["id"]} for item in items]


def said(server: Any) -> list[dict[str, Any]]:
    return server.engine.requests[-1].prompt.messages


def refused(server: Any, given: Any, **fields: Any) -> Any:
    answer = server.http.post("/v1/responses", json={"model": "m", "input": given, **fields})
    assert answer.status_code == 400
    return answer.json()["error"]


@pytest.mark.parametrize("asked", ["think", "tool weather"])
def test_a_reference_says_what_the_item_would(server: Any, asked: str) -> None:
    output = create(server, asked, tools=[TOOL])["output"]
    assert len(output) == 2
    create(server, [{"role": "user", "content": asked}, *output, USER])
    inline = said(server)
    create(server, [{"role": "user", "content": asked}, *refer(*output), USER])
    assert said(server) == inline
    assert len(inline) == 3


def test_the_type_may_be_absent(server: Any) -> None:
    (item,) = create(server, "hello")["output"]
    for reference in ({"id": item["id"]}, {"type": None, "id": item["id"]}):
        create(server, [reference, USER])
        assert said(server) == [{"role": "assistant", "content": "hello"}, USER]
    create(server, [{"id": "msg_mine", **USER}])
    assert said(server) == [USER]


def test_items_of_streams_and_of_the_background(server: Any) -> None:
    streamed = server.http.post("/v1/responses", json={"model": "m", "input": "hello", "stream": True}).text
    added = [json.loads(line[6:]) for line in streamed.splitlines() if '"response.output_item.added"' in line[6:]]
    create(server, [*refer(added[0]["item"]), USER])
    assert said(server)[0] == {"role": "assistant", "content": "hello"}
    queued = create(server, "slow 3", background=True)
    end = time.monotonic() + 5
    while (done := server.http.get(f"/v1/responses/{queued['id']}").json())["status"] != "completed":
        assert time.monotonic() < end
        time.sleep(0.005)
    create(server, [*refer(*done["output"]), USER])
    assert said(server)[0] == {"role": "assistant", "content": "0 1 2 "}


def listed(server: Any, response: Any) -> list[dict[str, Any]]:
    """Its input, the oldest first."""
    return server.http.get(f"/v1/responses/{response['id']}/input_items").json()["data"][::-1]


def test_items_of_the_input_have_ids_too(server: Any) -> None:
    given = [
        {"id": "msg_mine", "role": "user", "content": [{"type": "input_text", "text": "a"}]},
        {"type": "reasoning", "summary": [], "content": [{"type": "reasoning_text", "text": "t"}]},
        {"type": "function_call", "call_id": "c1", "name": "weather", "arguments": '{"city":"Rome"}'},
        {"type": "function_call_output", "call_id": "c1", "output": "sun"},
    ]
    first = create(server, given)
    inline = said(server)
    items = listed(server, first)
    assert [item["type"] for item in items] == ["message", "reasoning", "function_call", "function_call_output"]
    assert items[1]["content"] == [{"type": "reasoning_text", "text": "t"}]
    second = create(server, refer(*items))
    assert said(server) == inline
    assert listed(server, second) == items
    server.http.delete(f"/v1/responses/{second['id']}")  # it only referred to them
    create(server, refer(*items))
    assert refused(server, refer("msg_mine"))["param"] == "input[0].id"


def test_nothing_is_said_twice(server: Any) -> None:
    first = create(server, "one")
    (item,) = first["output"]
    create(server, [*refer(item, item), USER])
    assert [message["content"] for message in said(server)] == ["one", "and then"]
    second = create(server, [*refer(item), {"role": "user", "content": "two"}], previous_response_id=first["id"])
    assert [message["content"] for message in said(server)] == ["one", "one", "two"]
    known = [*refer(item, *second["output"]), *refer(*listed(server, first))]
    create(server, [*known, USER], previous_response_id=second["id"])
    assert [message["content"] for message in said(server)] == ["one", "one", "two", "two", "and then"]
    inline = create(server, [item, USER])
    create(server, [*refer(item), {"role": "user", "content": "end"}], previous_response_id=inline["id"])
    assert [message["content"] for message in said(server)] == ["one", "and then", "and then", "end"]


def test_what_is_not_there_is_refused(server: Any) -> None:
    unstored = create(server, "hello", store=False)
    deleted = create(server, "hello")
    server.http.delete(f"/v1/responses/{deleted['id']}")
    for item in ("msg_none", unstored["output"][0], deleted["output"][0]):
        error = refused(server, [USER, *refer(item)])
        assert (error["param"], error["code"]) == ("input[1].id", "item_not_found")
        assert "send the item itself" in error["message"]
        assert "store: true" in error["message"]
    body = {"model": "m", "input": refer("msg_none")}
    assert server.http.post("/v1/responses/input_tokens", json=body).status_code == 400


def test_tokens_of_references_are_counted(server: Any) -> None:
    (item,) = create(server, "hello")["output"]
    counts = [
        server.http.post("/v1/responses/input_tokens", json={"model": "m", "input": [one, USER]}).json()
        for one in (item, *refer(item))
    ]
    assert counts[0] == counts[1]


def test_keys_do_not_see_each_others_items(start_server: Callable[..., Any], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[ann]\nkey = "ann-secret"\n[bob]\nkey = "bob-secret"\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys)) as server:
        server.http.headers["authorization"] = "Bearer ann-secret"
        (item,) = create(server, "hello")["output"]
        create(server, refer(item))
        server.http.headers["authorization"] = "Bearer bob-secret"
        assert refused(server, refer(item))["code"] == "item_not_found"


def stored(number: int) -> StoredResponse:
    body = ResponsesRequest(model="m", input="hi")
    response = new_response(f"resp_{number}", body, [])
    content = [OutputText(text=str(number))]
    response.output = [MessageItem(id=f"msg_out_{number}", status="completed", content=content)]
    return StoredResponse(response, Conversation(), read_input("hi", ResponseStore().item, ()))


def test_items_are_forgotten_with_their_response(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(response_store, "MAX_RESPONSES", 2)
    store = ResponseStore()
    for number in (1, 2):
        store.add(stored(number))
    store.item("msg_out_1", "input[0].id")  # which makes its response the one used last
    store.add(stored(3))
    assert store.item("msg_out_1", "input[0].id").content
    assert store.item("msg_3_0", "input[0].id").content == "hi"
    for item_id in ("msg_out_2", "msg_2_0"):
        with pytest.raises(HttpError, match="was not found"):
            store.item(item_id, "input[0].id")
    token = tenant.set("someone else")
    try:
        with pytest.raises(HttpError):
            store.item("msg_out_1", "input[0].id")
    finally:
        tenant.reset(token)
    for number in (1, 3):
        store.delete(f"resp_{number}")
    assert not store._owners
