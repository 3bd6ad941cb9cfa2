"""Filling in the middle over HTTP, by a model that has the tokens for it and one that has not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import ollama
import openai
import pytest
from openai import OpenAI

from chain_model import FILL_IN, ChainModel

MODEL = "filler"
PREFIX, SUFFIX = "def add(a, b):\n    return ", "\n\nprint(add(1, 2))\n"
MIDDLE = "a + b"


@pytest.fixture(scope="module")
def http(tmp_path_factory: pytest.TempPathFactory, start: Callable[..., Any]) -> Iterator[httpx.Client]:
    """A server with a model that goes on with MIDDLE behind the last of the three tokens, and nowhere else."""
    folder = tmp_path_factory.mktemp("filler")
    ChainModel([FILL_IN[-1], "a", " +", " b"], fill_in=True).write(folder / f"{MODEL}.gguf")
    ChainModel().write(folder / "plain.gguf")
    with start("--model-dirs", str(folder)) as process, httpx.Client(base_url=process.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="module")
def client(http: httpx.Client) -> Iterator[OpenAI]:
    with OpenAI(base_url=f"{http.base_url}/v1", api_key="none", max_retries=0, timeout=60) as client:
        yield client


def post(http: httpx.Client, path: str, **body: Any) -> Any:
    answer = http.post(path, json={"model": MODEL, **body})
    assert answer.status_code == 200, answer.text
    return answer.json()


def prompt_of(http: httpx.Client, prefix: str, suffix: str) -> list[int]:
    """The tokens that such a request is about, in the order of the models that have them."""

    def ids(text: str, special: bool = False) -> list[int]:
        tokens: list[int] = post(http, "/tokenize", content=text, add_special=False, parse_special=special)["tokens"]
        return tokens

    before, after, middle = (ids(token, special=True) for token in FILL_IN)
    assert len(before) == len(after) == len(middle) == 1
    return [*before, *ids(prefix), *after, *ids(suffix), *middle]


def test_completions_with_a_suffix(http: httpx.Client, client: OpenAI) -> None:
    answer = client.completions.create(model=MODEL, prompt=PREFIX, suffix=SUFFIX)
    assert (answer.choices[0].text, answer.choices[0].finish_reason) == (MIDDLE, "stop")
    parts = client.completions.create(model=MODEL, prompt=PREFIX, suffix=SUFFIX, stream=True)
    assert "".join(part.choices[0].text for part in parts) == MIDDLE
    tokens = prompt_of(http, PREFIX, SUFFIX)
    assert answer.usage
    assert answer.usage.prompt_tokens == len(tokens)
    # The cache knows a prompt by its tokens: all but the last one, which is computed for its logits.
    again = post(http, "/v1/completions", prompt=tokens)
    assert again["choices"][0]["text"] == MIDDLE
    assert again["usage"]["prompt_tokens_details"]["cached_tokens"] == len(tokens) - 1
    assert client.completions.create(model=MODEL, prompt=PREFIX).choices[0].text == ""


def test_infill(http: httpx.Client) -> None:
    fields: Any = {"input_prefix": "def add(a, b):\n", "prompt": "    return ", "input_suffix": SUFFIX}
    answer = post(http, "/infill", **fields)
    assert (answer["content"], answer["stop_type"]) == (MIDDLE, "eos")
    assert answer["tokens_evaluated"] == len(prompt_of(http, PREFIX, SUFFIX))
    extra = "x = 1\n"
    longer = post(http, "/infill", **fields, input_extra=[{"filename": "a.py", "text": extra}])
    assert longer["content"] == MIDDLE
    assert longer["tokens_evaluated"] >= answer["tokens_evaluated"] + len(extra)
    lines = http.post("/infill", json={"model": MODEL, **fields, "stream": True}).text.strip().split("\n\n")
    parts = [httpx.Response(200, text=line.removeprefix("data: ")).json() for line in lines]
    assert "".join(part["content"] for part in parts) == MIDDLE
    assert [part["stop"] for part in parts] == [False] * (len(parts) - 1) + [True]


def test_ollama(http: httpx.Client) -> None:
    client = ollama.Client(host=str(http.base_url), timeout=60)
    assert client.generate(MODEL, PREFIX, suffix=SUFFIX).response == MIDDLE
    assert "insert" in client.show(MODEL).capabilities
    client._client.close()


def test_a_model_without_the_tokens(http: httpx.Client, client: OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="plain has no tokens to fill in the middle") as refused:
        client.completions.create(model="plain", prompt=PREFIX, suffix=SUFFIX)
    assert refused.value.param == "suffix"
    answer = http.post("/infill", json={"model": "plain", "input_prefix": PREFIX, "input_suffix": SUFFIX})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "input_suffix")
    answer = http.post("/api/generate", json={"model": "plain", "prompt": PREFIX, "suffix": SUFFIX})
    assert answer.status_code == 400
    assert "no tokens to fill in the middle" in answer.json()["error"]
