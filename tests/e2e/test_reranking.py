"""Reranking over HTTP with a real encoder, in Jina's and Cohere's form and in that of text-embeddings-inference."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from tiny_bert import CLS, SEP, TOKENS, TinyBert

MODEL = "ranker"
QUERY = "the cat"
DOCUMENTS = ["the bird sings loud", "the cat sat on the mat", "a dog", "mat"]
BERT = TinyBert("rank", "dense")


def ids(text: str) -> list[int]:
    return [TOKENS.index("\u2581" + word) for word in text.split()]


PROMPTS = [[CLS, *ids(QUERY), SEP, *ids(document), SEP] for document in DOCUMENTS]
LOGITS = [float(BERT.logits(prompt)[0]) for prompt in PROMPTS]
ORDER = sorted(range(len(DOCUMENTS)), key=lambda index: -LOGITS[index])
SCORES = [1 / (1 + math.exp(-LOGITS[index])) for index in ORDER]
"""As numpy computes them, best first."""


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any]) -> Iterator[httpx.Client]:
    path = BERT.write(tmp_path_factory.mktemp("ranker") / f"{MODEL}.gguf")
    with start("--model-path", str(path)) as process, httpx.Client(base_url=process.url, timeout=60) as client:
        yield client


@pytest.mark.parametrize("path", ["/v1/rerank", "/rerank", "/v1/reranking"])
def test_jinas_form(http: httpx.Client, path: str) -> None:
    documents: list[Any] = [DOCUMENTS[0], {"text": DOCUMENTS[1]}, *DOCUMENTS[2:]]
    body = {"model": MODEL, "query": QUERY, "documents": documents, "return_documents": True}
    answer = http.post(path, json=body).json()
    assert (answer["model"], answer["object"]) == (MODEL, "list")
    assert [one["index"] for one in answer["results"]] == ORDER
    assert [one["relevance_score"] for one in answer["results"]] == pytest.approx(SCORES, abs=2e-3)
    assert [one["document"]["text"] for one in answer["results"]] == [DOCUMENTS[index] for index in ORDER]
    assert answer["usage"]["total_tokens"] == sum(map(len, PROMPTS))


def test_the_best_one_only_and_raw_scores(http: httpx.Client) -> None:
    body = {"model": MODEL, "query": QUERY, "documents": DOCUMENTS, "top_n": 1, "raw_scores": True}
    (best,) = http.post("/v1/rerank", json=body).json()["results"]
    assert best == {"index": ORDER[0], "relevance_score": pytest.approx(LOGITS[ORDER[0]], abs=5e-3)}


def test_the_form_of_text_embeddings_inference(http: httpx.Client) -> None:
    answer = http.post("/rerank", json={"query": QUERY, "texts": DOCUMENTS, "return_text": True}).json()
    assert [(one["index"], one["text"]) for one in answer] == [(index, DOCUMENTS[index]) for index in ORDER]
    assert [one["score"] for one in answer] == pytest.approx(SCORES, abs=2e-3)


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"documents": DOCUMENTS, "top_n": 0}, "top_n", "top_n is 0"),
        ({"documents": ["a", "cat " * 64]}, "documents", "input 1 has"),
        ({}, "documents", "documents is required"),
    ],
)
def test_what_cannot_be_ranked(http: httpx.Client, fields: dict[str, Any], param: str, words: str) -> None:
    answer = http.post("/v1/rerank", json={"model": MODEL, "query": QUERY, **fields})
    error = answer.json()["error"]
    assert (answer.status_code, error["param"], error["type"]) == (400, param, "invalid_request_error")
    assert words in error["message"]


def test_a_reranker_neither_embeds_nor_talks(http: httpx.Client) -> None:
    for path, body in (
        ("/v1/embeddings", {"input": "a"}),
        ("/v1/chat/completions", {"messages": [{"role": "user", "content": "a"}]}),
    ):
        answer = http.post(path, json={"model": MODEL, **body})
        assert answer.status_code == 400, answer.text
        assert MODEL in answer.json()["error"]["message"]
