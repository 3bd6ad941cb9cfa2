"""What a newcomer types: curl against the real server."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import openai
import psutil
import pytest
from endless import ENDLESS

MODEL = "shimmy-mini"
ANSWER = "The capital of France is Paris."
QUESTION = {"role": "user", "content": "What is the capital of France?"}


def curl(*arguments: str) -> str:
    return subprocess.run(["curl", "-sS", *arguments], check=True, capture_output=True, text=True, timeout=60).stdout


def post(url: str, body: Any, *arguments: str) -> str:
    return curl(url, "-H", "Content-Type: application/json", "-d", json.dumps(body), *arguments)


def test_chat(server: Any) -> None:
    body = {"model": MODEL, "messages": [QUESTION], "temperature": 0}
    answer = json.loads(post(f"{server.url}/v1/chat/completions", body))
    assert "Paris" in answer["choices"][0]["message"]["content"]


def test_chat_stream(server: Any) -> None:
    body = {"model": MODEL, "messages": [QUESTION], "temperature": 0, "stream": True}
    text = post(f"{server.url}/v1/chat/completions", body, "-N")
    assert text.endswith("data: [DONE]\n\n")
    assert "Paris" in text


def test_generate_in_three_forms(server: Any) -> None:
    body = {"model": MODEL, "messages": [QUESTION], "temperature": 0}
    url = f"{server.url}/api/generate"
    events = [event for event in post(url, body, "-N").split("\n\n") if event]
    assert "".join(event[6:] for event in events if event.startswith("data: ")) == f"{ANSWER}[DONE]"
    lines = [json.loads(line) for line in post(url, body, "-H", "Accept: application/x-ndjson").splitlines()]
    assert "".join(line["response"] for line in lines) == ANSWER
    assert lines[-1]["usage"]["completion_tokens"] > 5
    assert json.loads(post(url, {**body, "stream": False}))["response"] == ANSWER


def test_health_and_diag(server: Any) -> None:
    health = json.loads(curl(f"{server.url}/health"))
    assert (health["status"], health["models"]["total"]) == ("ok", 1)
    (model,) = json.loads(curl(f"{server.url}/diag"))["models"]
    assert (model["name"], model["state"]) == (MODEL, "loaded")
    assert model["info"]["n_ctx"] >= 2048


def test_a_body_over_the_limit_is_answered(server: Any, tmp_path: Path) -> None:
    big = tmp_path / "big.json"
    big.write_bytes(b" " * (40 * 1024 * 1024))
    for extra in ((), ("-H", "Expect:")):
        url = f"{server.url}/v1/chat/completions"
        answer = curl(url, "--data-binary", f"@{big}", "-w", "\n%{http_code}", *extra)
        body, _, status = answer.rpartition("\n")
        assert status == "413"
        assert json.loads(body)["error"]["code"] == "request_too_large"


def test_a_client_that_leaves_frees_its_sequence(server: Any) -> None:
    body = json.dumps({"model": MODEL, "prompt": "Once", "stream": True, **ENDLESS})
    process = subprocess.Popen(
        ["curl", "-sSN", f"{server.url}/v1/completions", "-d", body], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    process.stdout.readline()
    process.kill()
    process.wait()
    process.stdout.close()
    end = time.monotonic() + 60
    while json.loads(curl(f"{server.url}/diag"))["models"][0]["in_use"]:
        assert time.monotonic() < end


Start = Callable[..., AbstractContextManager[Any]]


def test_sigterm_finishes_answers_and_leaves_nothing(start: Start) -> None:
    with start() as server, server.openai() as client:
        story = [{"role": "user", "content": "Tell me a story about a fox."}]
        stream = client.chat.completions.create(model=MODEL, messages=story, temperature=0, stream=True)
        first = next(stream)
        runners = server.runners()
        server.process.send_signal(signal.SIGTERM)
        text = "".join(chunk.choices[0].delta.content or "" for chunk in [first, *stream])
        assert text.endswith("The end.")
        assert server.process.wait(40) == 0
        assert not any(map(psutil.pid_exists, runners))


def test_a_prompt_longer_than_the_context(start: Start) -> None:
    with start("--ctx", "256") as server, server.openai() as client:
        with pytest.raises(openai.BadRequestError) as caught:
            client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "word " * 500}])
        assert caught.value.body["n_ctx"] <= 256
        assert caught.value.body["n_prompt_tokens"] > 256


def test_what_editors_ask_for(server: Any) -> None:
    props = json.loads(curl(f"{server.url}/props"))
    assert props["default_generation_settings"]["n_ctx"] >= 2048
    assert props["chat_template"]
    tokens = json.loads(curl(f"{server.url}/tokenize", "-d", '{"content": "Hello there"}'))["tokens"]
    body = json.dumps({"tokens": tokens})
    assert json.loads(curl(f"{server.url}/detokenize", "-d", body))["content"] == "Hello there"
    answer = json.loads(curl(f"{server.url}/completion", "-d", '{"prompt": "Once", "n_predict": 4}'))
    assert answer["tokens_predicted"] == 4
