"""POST /v1/completions."""

from __future__ import annotations

from typing import Any

import pytest

from shimmy.output import TokenLogprob
from shimmy.server.echo import Echo


def complete(server: Any, prompt: Any, **fields: Any) -> Any:
    return server.http.post("/v1/completions", json={"model": "m", "prompt": prompt, **fields})


def test_the_whole_answer(server: Any) -> None:
    answer = complete(server, "a b").json()
    assert answer["id"].startswith("cmpl-")
    assert answer["object"] == "text_completion"
    assert answer["choices"] == [{"index": 0, "text": "a b", "logprobs": None, "finish_reason": "stop"}]
    assert answer["usage"]["total_tokens"] == 4


def test_every_form_of_prompt(server: Any) -> None:
    assert complete(server, [7, 8]).json()["choices"][0]["text"] == "7 8"
    texts = [choice["text"] for choice in complete(server, ["one", "two words"]).json()["choices"]]
    assert texts == ["one", "two words"]
    answer = complete(server, [[1, 2], [3]]).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [(0, "1 2"), (1, "3")]
    assert answer["usage"]["prompt_tokens"] == 3


def test_stream_of_several_prompts(server: Any, events: Any) -> None:
    response = complete(server, ["a b", "c d e"], stream=True, stream_options={"include_usage": True})
    *chunks, usage, done = events(response)
    assert done == "[DONE]"
    assert usage["choices"] == []
    assert usage["usage"]["completion_tokens"] == 5
    texts = ["", ""]
    finishes = []
    for chunk in chunks:
        (choice,) = chunk["choices"]
        texts[choice["index"]] += choice["text"]
        finishes += [choice["index"]] if choice["finish_reason"] else []
    assert texts == ["a b", "c d e"]
    assert sorted(finishes) == [0, 1]


def test_legacy_logprobs(server: Any, events: Any) -> None:
    expected = {
        "tokens": ["é", " b"],
        "token_logprobs": [-0.5, -0.5],
        "top_logprobs": [{"é": -0.5, "alt1": -1.5}, {" b": -0.5, "alt1": -1.5}],
        "text_offset": [0, 1],
    }
    assert complete(server, "é b", logprobs=2).json()["choices"][0]["logprobs"] == expected
    chunks = events(complete(server, "é b", logprobs=2, stream=True))[:-1]
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert [part["text_offset"] for part in parts] == [[0], [1]]


def test_echo_begins_each_choice(server: Any) -> None:
    answer = complete(server, ["a b", "c"], echo=True, n=2, max_tokens=1).json()
    assert [choice["text"] for choice in answer["choices"]] == ["a ba", "a ba", "cc", "cc"]
    assert [choice["index"] for choice in answer["choices"]] == [0, 1, 2, 3]
    assert server.engine.requests[-1].prompt_logprobs is None
    assert complete(server, [104, 105], echo=True, max_tokens=0).json()["choices"][0]["text"] == "hi"


def test_echo_scores_the_prompt(server: Any, events: Any) -> None:
    expected = {
        "tokens": ["\x01", "h", "i"],
        "token_logprobs": [None, -1.0, -1.0],
        "top_logprobs": [None, {"h": -1.0}, {"i": -1.0}],
        "text_offset": [0, 0, 1],
    }
    choice = complete(server, "hi", echo=True, logprobs=1, max_tokens=0).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("hi", "length")
    assert choice["logprobs"] == expected
    both = complete(server, [104, 105], echo=True, logprobs=1).json()["choices"][0]["logprobs"]
    assert both["tokens"] == ["h", "i", "104", " 105"]
    assert both["token_logprobs"] == [None, -1.0, -0.5, -0.5]
    assert both["text_offset"] == [0, 1, 2, 5]
    chunks = events(complete(server, [104, 105], echo=True, logprobs=1, stream=True))[:-1]
    parts = [chunk["choices"][0]["logprobs"] for chunk in chunks if chunk["choices"][0]["logprobs"]]
    assert {name: [one for part in parts for one in part[name]] for name in both} == both
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == "hi104 105"


@pytest.mark.parametrize(
    ("text", "first", "pieces", "offsets"),
    [
        ("hi you", "hi", [b" you"], [0, 2]),
        ("<|a|>hi", "", [b"hi"], [0, 5]),  # a control token that the text has
        ("hi", "", [b"hi"], [0, 0]),  # one that it has not
        ("hi", "", [b" hi"], [0, 0]),
        ("hi you", "hi", [b"<|a|>", b" you"], [0, 2, 2]),
        ("\N{PARTY POPPER}!", "\N{REPLACEMENT CHARACTER}", [b"\x9f\x8e", b"\x89", b"!"], [0, 0, 0, 1]),
        ("x", "x", [], [0]),
    ],
)
def test_offsets_of_an_echo(text: str, first: str, pieces: list[bytes], offsets: list[int]) -> None:
    echo = Echo(text, first, len(pieces))
    assert echo.offsets([TokenLogprob(0, piece, -1.0) for piece in pieces]) == offsets


def test_several_choices_count_their_prompt_once(server: Any, events: Any) -> None:
    fields = {"n": 2, "seed": 1}
    answer = complete(server, ["guess", "guess"], **fields).json()
    assert [choice["text"] for choice in answer["choices"]] == ["guess 1", "guess 2"] * 2
    usage = answer["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (20, 12, 32)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 8
    streamed = complete(server, ["guess", "guess"], stream=True, stream_options={"include_usage": True}, **fields)
    assert events(streamed)[-2]["usage"] == usage


def test_best_of_keeps_the_likeliest(server: Any) -> None:
    answer = complete(server, "guess", best_of=4, n=2, seed=3).json()
    assert [(choice["index"], choice["text"]) for choice in answer["choices"]] == [(0, "guess 6"), (1, "guess 5")]
    assert answer["choices"][0]["logprobs"] is None
    assert answer["usage"]["completion_tokens"] == 12


def test_max_tokens_zero_is_legal(server: Any) -> None:
    choice = complete(server, "a b", max_tokens=0).json()["choices"][0]
    assert (choice["text"], choice["finish_reason"]) == ("", "length")


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"prompt": []}, "prompt", "empty list"),
        ({"prompt": [[]]}, "prompt", "empty token list"),
        ({"prompt": ["a", 1]}, "prompt", "one kind"),
        ({"prompt": [-1]}, "prompt", "no token id"),
        ({"prompt": [[-1]]}, "prompt[0][0]", "at least 0"),
        ({"prompt": ["x"] * 129}, "prompt", "at most 128"),
        ({"prompt": {}}, "prompt", "must be a string or a list"),
        ({"prompt": None}, "prompt", "must be"),
        ({"suffix": "x", "prompt": [1]}, "suffix", "needs a prompt of text"),
        ({"suffix": "x", "echo": True}, "echo", "exclude each other"),
        ({"n": 2, "best_of": 1}, "best_of", "at least n, 2"),
        ({"best_of": 2, "stream": True}, "best_of", "cannot be streamed"),
        ({"best_of": 0}, "best_of", "at least 1"),
        ({"n": 0}, "n", "at least 1"),
        ({"prompt": ["x"] * 64, "n": 3}, "n", "at most 2 here"),
        ({"logprobs": 21}, "logprobs", "at most 20"),
    ],
)
def test_bad_fields_are_named(server: Any, fields: dict[str, Any], param: str, words: str) -> None:
    response = complete(server, **({"prompt": "x"} | fields))
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_one_failing_prompt_fails_the_answer_and_cancels_the_rest(server: Any) -> None:
    assert complete(server, ["hang", "fail DecodeError"]).status_code == 500
    server.wait_until(lambda: len(server.engine.cancelled) == 2)
