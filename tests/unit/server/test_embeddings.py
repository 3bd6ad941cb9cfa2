"""POST /v1/embeddings and /rerank, over a scripted engine: an embedding is the input's length and its place."""

from __future__ import annotations

import base64
import struct
from typing import Any

import pytest


def embed(server: Any, given: Any, **fields: Any) -> Any:
    return server.http.post("/v1/embeddings", json={"model": "m", "input": given, **fields})


@pytest.mark.parametrize(
    ("given", "lengths"),
    [("abc", [3]), (["a", "abcd"], [1, 4]), ([5, 6, 7], [3]), ([[5, 6], [7]], [2, 1])],
)
def test_the_four_forms_of_input(server: Any, given: Any, lengths: list[int]) -> None:
    answer = embed(server, given).json()
    assert answer == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": index, "embedding": [length, index]}
            for index, length in enumerate(lengths)
        ],
        "model": "m",
        "usage": {"prompt_tokens": sum(lengths), "total_tokens": sum(lengths)},
    }


def test_base64_is_little_endian_float32(server: Any) -> None:
    (one,) = embed(server, "abc", encoding_format="base64").json()["data"]
    assert struct.unpack("<2f", base64.b64decode(one["embedding"])) == (3.0, 0.0)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"input": []}, "input"),
        ({"input": [1, "a"]}, "input"),
        ({"input": [1.5]}, "input"),
        ({"input": [-1]}, "input"),
        ({"input": [[]]}, "input"),
        ({"input": [["a"]]}, "input"),
        ({"input": [True]}, "input"),
        ({"input": ["a"] * 2049}, "input"),
        ({"encoding_format": "hex"}, "encoding_format"),
        ({"dimensions": "many"}, "dimensions"),
        ({"input": [""]}, "input"),
    ],
)
def test_bad_requests(server: Any, fields: dict[str, Any], param: str) -> None:
    answer = embed(server, **{"given": "a", **({"given": fields.pop("input")} if "input" in fields else {}), **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


def test_ranking_in_jinas_form(server: Any) -> None:
    body = {"model": "m", "query": "abc", "documents": ["xyz", {"text": "abc"}, "ab"], "return_documents": True}
    for path in ("/v1/rerank", "/rerank", "/v1/reranking"):
        answer = server.http.post(path, json=body).json()
        assert (answer["model"], answer["object"]) == ("m", "list")
        assert [(one["index"], one["document"]["text"]) for one in answer["results"]] == [
            (1, "abc"),
            (2, "ab"),
            (0, "xyz"),
        ]
        assert answer["usage"]["total_tokens"] > 0
    (best,) = server.http.post("/rerank", json={**body, "top_n": 1, "return_documents": None}).json()["results"]
    assert set(best) == {"index", "relevance_score"}


def test_ranking_in_text_embeddings_inferences_form(server: Any) -> None:
    answer = server.http.post(
        "/rerank", json={"model": "m", "query": "abc", "texts": ["x", "abc"], "return_text": True}
    ).json()
    assert [(one["index"], one["text"]) for one in answer] == [(1, "abc"), (0, "x")]
    assert answer[0]["score"] > answer[1]["score"]


def test_which_model_ranks_has_to_be_clear(server: Any) -> None:
    answer = server.http.post("/rerank", json={"query": "abc", "texts": ["x"]})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "model")
    assert "no reranker was found" in answer.json()["error"]["message"]


@pytest.mark.parametrize("fields", [{}, {"documents": ["a"], "texts": ["a"]}])
def test_documents_or_texts(server: Any, fields: dict[str, Any]) -> None:
    answer = server.http.post("/rerank", json={"model": "m", "query": "a", **fields})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "documents")
