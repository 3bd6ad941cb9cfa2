"""The official Ollama client pulls, creates, copies and deletes: the real server, and a registry of the test's own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ollama
import pytest
from ollama import Client

sys.path.insert(0, str(Path(__file__).parents[1] / "unit"))

from fake_host import FakeHost, run_host

from shimmy.demo_model import demo_model_path

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]
ANSWER = "The capital of France is Paris."
GREEDY = {"temperature": 0, "repeat_penalty": 1.0}


@pytest.fixture(scope="module")
def registry() -> Iterator[FakeHost]:
    with run_host() as host:
        layers = {"model": demo_model_path().read_bytes(), "params": b'{"temperature": 0, "repeat_penalty": 1.0}'}
        host.add_model("library/tiny", layers, tag="1b")
        host.add_repository("owner/tiny-GGUF", {"tiny-Q8_0.gguf": layers["model"], "README.md": b"hello"})
        yield host


@pytest.fixture(scope="module")
def client(registry: FakeHost, tmp_path_factory: pytest.TempPathFactory, start_in: Any) -> Iterator[Client]:
    environment = {"SHIMMY_REGISTRY_URL": registry.url, "HF_ENDPOINT": registry.url}
    with start_in(tmp_path_factory.mktemp("home"), environment=environment) as server:
        client = Client(host=server.url, timeout=60)
        yield client
        client._client.close()


def names(client: Client) -> list[str | None]:
    return [model.model for model in client.list().models]


def answer(client: Client, model: str, **fields: Any) -> str | None:
    return client.chat(model, QUESTION, **fields).message.content


def test_pull_from_a_registry(client: Client) -> None:
    parts = list(client.pull("tiny:1b", stream=True))
    assert (parts[0].status, parts[-1].status) == ("pulling manifest", "success")
    assert any(part.digest and part.completed == part.total for part in parts)
    assert "tiny:1b" in names(client)
    assert answer(client, "tiny:1b") == ANSWER
    assert client.pull("tiny:1b").status == "success"
    with pytest.raises(ollama.ResponseError, match="library/none:latest") as missing:
        client.pull("none")
    assert missing.value.status_code == 404
    with pytest.raises(ollama.ResponseError, match="library/none:latest"):
        list(client.pull("none", stream=True))


def test_pull_from_the_hub(client: Client) -> None:
    assert client.pull("hf.co/owner/tiny-GGUF:Q8_0").status == "success"
    assert answer(client, "hf.co/owner/tiny-GGUF:Q8_0", options=GREEDY) == ANSWER
    assert client.delete("hf.co/owner/tiny-GGUF:Q8_0").status == "success"
    with pytest.raises(ollama.ResponseError, match="no Q2_K"):
        client.pull("owner/tiny-GGUF:Q2_K")


def test_a_file_that_the_client_brings(client: Client) -> None:
    digest = client.create_blob(demo_model_path())
    made = client.create("brought", files={"tiny.gguf": digest}, parameters=GREEDY)
    assert made.status == "success"
    assert answer(client, "brought") == ANSWER
    assert client.delete("brought").status == "success"


def test_create_copy_and_delete(client: Client) -> None:
    client.pull("tiny:1b")
    made = client.create("pirate", from_="tiny:1b", system="You are a pirate.", parameters={"num_predict": 3})
    assert made.status == "success"
    assert [part.status for part in client.create("pirate2", from_="pirate", stream=True)][-1] == "success"
    shown = client.show("pirate2")
    assert 'SYSTEM """You are a pirate."""' in (shown.modelfile or "")
    assert "num_predict" in (shown.parameters or "")
    assert client.chat("pirate2", QUESTION).eval_count == 3
    assert client.copy("pirate", "jack").status == "success"
    assert {"pirate", "pirate2", "jack"} <= set(names(client))
    for name in ("pirate", "pirate2", "jack", "tiny:1b"):
        assert client.delete(name).status == "success"
    assert not {"pirate", "pirate2", "jack", "tiny:1b"} & set(names(client))
    with pytest.raises(ollama.ResponseError) as refused:
        client.delete("shimmy-mini")
    assert refused.value.status_code == 400
    with pytest.raises(ollama.ResponseError) as missing:
        client.delete("jack")
    assert missing.value.status_code == 404
