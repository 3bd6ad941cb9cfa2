"""llama-server's own routes, over a scripted engine whose tokens are bytes behind a 1."""

from __future__ import annotations

import json
from typing import Any

import pytest

FIM = {"before": 1001, "after": 1002, "middle": 1003}


def post(server: Any, path: str, **body: Any) -> Any:
    return server.http.post(path, json=body)


def events(response: Any) -> list[dict[str, Any]]:
    return [json.loads(line[6:]) for line in response.text.splitlines() if line]


def filled(prefix: str, suffix: str) -> list[int]:
    return [1, FIM["before"], *prefix.encode(), FIM["after"], *suffix.encode(), FIM["middle"]]


def test_tokens_of_content_prompt_and_messages(server: Any) -> None:
    assert post(server, "/tokenize", model="m", content="ab").json()["tokens"] == [97, 98]
    assert post(server, "/tokenize", model="m", content="ab", add_special=True).json()["tokens"] == [1, 97, 98]
    answer = post(server, "/tokenize", model="m", prompt="ab").json()
    assert answer == {"tokens": [1, 97, 98], "count": 3, "max_model_len": 256}
    messages = [{"role": "user", "content": "a"}]
    assert post(server, "/tokenize", model="m", messages=messages).json()["count"] == 1 + len("<user>a")
    assert post(server, "/tokenize", model="m").status_code == 400


def test_pieces_are_text_or_bytes(server: Any) -> None:
    answer = post(server, "/tokenize", model="m", content="aä", add_special=True, with_pieces=True).json()
    assert answer["tokens"] == [
        {"id": 1, "piece": "<s>"},
        {"id": 97, "piece": "a"},
        {"id": 0xC3, "piece": [0xC3]},
        {"id": 0xA4, "piece": [0xA4]},
    ]
    assert answer["count"] == 4


def test_text_of_tokens_and_templates(server: Any) -> None:
    assert post(server, "/detokenize", model="m", tokens=[97, 98]).json() == {"content": "ab", "prompt": "ab"}
    messages = [{"role": "user", "content": "a"}]
    assert post(server, "/apply-template", model="m", messages=messages).json() == {"prompt": "<user>a"}


def test_a_completion(server: Any) -> None:
    answer = post(server, "/completion", model="m", prompt="hello there", return_tokens=True).json()
    assert (answer["content"], answer["tokens"], answer["stop"]) == ("hello there", [0, 1], True)
    assert (answer["stop_type"], answer["tokens_predicted"], answer["tokens_evaluated"]) == ("eos", 2, 2)
    assert answer["timings"]["predicted_n"] == 2
    assert "id_slot" not in answer
    scored = post(server, "/completion", model="m", prompt="hello", n_probs=2).json()
    (one,) = scored["completion_probabilities"]
    assert (one["token"], one["id"], len(one["top_logprobs"])) == ("hello", 0, 2)


def test_a_streamed_completion(server: Any) -> None:
    *parts, last = events(post(server, "/completion", model="m", prompt="count 9", n_predict=3, stream=True))
    assert "".join(part["content"] for part in parts) == "0 1 2 "
    assert not any(part["stop"] for part in parts)
    assert (last["stop"], last["stop_type"], last["content"]) == (True, "limit", "")
    assert post(server, "/completion", model="m", prompt="stopped END").json()["stopping_word"] == "END"


def test_filling_in_the_middle(server: Any) -> None:
    assert post(server, "/infill", model="m", input_prefix="a", input_suffix="b", prompt="c").status_code == 200
    assert server.engine.requests[-1].prompt == filled("ac", "b")
    extra = [{"filename": "f.py", "text": "x"}]
    post(server, "/infill", model="m", input_prefix="a", input_suffix="b", input_extra=extra)
    assert server.engine.requests[-1].prompt == filled("f.py\nx\na", "b")
    for path, body in (("/v1/completions", {}), ("/api/generate", {"stream": False})):
        assert post(server, path, model="m", prompt="a", suffix="b", **body).status_code == 200
        assert server.engine.requests[-1].prompt == filled("a", "b")


def test_a_model_without_the_tokens_for_it(start_server: Any) -> None:
    with start_server() as server:
        answer = post(server, "/v1/completions", model="org/chat:8b", prompt="a", suffix="b")
        assert (answer.status_code, answer.json()["error"]["param"]) == (400, "suffix")


def test_the_model_may_be_left_out_where_one_is_meant(start_server: Any) -> None:
    with start_server() as server:
        unclear = post(server, "/tokenize", content="a")
        assert (unclear.status_code, unclear.json()["error"]["param"]) == (400, "model")
        post(server, "/tokenize", model="m", content="a")  # loads it
        assert post(server, "/tokenize", content="a").json()["tokens"] == [97]
        assert len(server.http.get("/slots").json()) == 4
        assert server.http.get("/slots?model=none").status_code == 404
        assert server.http.get("/slots?model=org/chat:8b").status_code == 503  # reading loads nothing
        assert len(server.engines) == 1


def test_slots_tell_what_runs(start_server: Any) -> None:
    with start_server() as server:
        post(server, "/tokenize", model="m", content="a")
        assert [slot["is_processing"] for slot in server.http.get("/slots?model=m").json()] == [False] * 4
        body = {"model": "m", "prompt": "slow 500", "stream": True}
        with server.http.stream("POST", "/completion", json=body) as answer:
            lines = answer.iter_lines()
            next(lines)
            first, *others = server.http.get("/slots?model=m").json()
            (running,) = server.http.get("/v1/requests?state=running").json()["data"]
        assert (first["is_processing"], first["request"]) == (True, running["id"])
        assert first["n_decoded"] >= 1
        assert others == [{"id": index, "n_ctx": 256, "is_processing": False} for index in (1, 2, 3)]


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/completion", {"prompt": []}),
        ("/completion", {"prompt": ["a", "b"]}),
        ("/completion", {"prompt": "fail InvalidRequestError"}),
        ("/detokenize", {"tokens": [-1]}),
        ("/infill", {"input_prefix": "a"}),
        ("/apply-template", {"messages": []}),
    ],
)
def test_bad_requests(server: Any, path: str, body: dict[str, Any]) -> None:
    assert post(server, path, model="m", **body).status_code == 400
