"""The embedded model's LoRA adapters on a real server: mixed, switched, replaced, and kept over a crash."""

from __future__ import annotations

import json
import os
import shutil
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from endless import wait_until_running
from websockets.sync.client import connect

from shimmy.demo_model import demo_adapter_paths

MODEL = "shimmy-mini"
WHO = [{"role": "user", "content": "Who are you?"}]
GREEDY = {"temperature": 0, "repeat_penalty": 1.0}
VOICES: list[dict[str, Any]] = [
    {},
    {"lora": {"pirate": 1.0}},
    {"lora": {"terse": 1.0}},
    {"lora": {"pirate": 0.5}},
    {"lora": {"pirate": 1.0, "terse": 1.0}},
    {"model": f"{MODEL}:pirate"},
]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("adapters")
    (home / "models").mkdir()
    return home


@pytest.fixture
def server(home: Path, start_in: Callable[..., Any]) -> Iterator[Any]:
    shutil.copy(demo_adapter_paths()["pirate"], home / "models" / "voice.gguf")
    with start_in(home) as process:
        yield process


def text(server: Any, question: str = "Who are you?", **fields: Any) -> str:
    body = {"model": MODEL, "messages": [{"role": "user", "content": question}], **GREEDY, **fields}
    answer = httpx.post(f"{server.url}/v1/chat/completions", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["choices"][0]["message"]["content"])


def call(server: Any, method: str, path: str, body: Any = None) -> Any:
    answer = httpx.request(method, f"{server.url}{path}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return answer.json()


def kill(server: Any) -> None:
    os.kill(server.runners()[0], signal.SIGKILL)


def test_different_adapters_in_flight_give_what_each_gives_alone(server: Any) -> None:
    questions = ["Who are you?", "What is the capital of Hungary?", "Count to 20."]
    asked = [(question, voice) for question in questions for voice in VOICES]
    alone = [text(server, question, **voice) for question, voice in asked]
    assert len(set(alone[: len(VOICES)])) >= 3
    assert alone[1] == alone[5]
    with ThreadPoolExecutor(len(asked) * 2) as pool:
        together = list(pool.map(lambda one: text(server, one[0], **one[1]), asked * 2))
    assert together == alone * 2


def test_on_and_off_again(server: Any) -> None:
    base, pirate = text(server), text(server, lora={"pirate": 1})
    assert base != pirate
    for scale, expected in ((1, pirate), (0, base), (1, pirate)):
        call(server, "PATCH", f"/api/models/{MODEL}/adapters", {"scales": {"pirate": scale}})
        assert text(server) == expected
    call(server, "DELETE", f"/api/models/{MODEL}/adapters/pirate")
    assert text(server) == base
    call(server, "POST", f"/api/models/{MODEL}/adapters", {"name": "pirate"})
    assert text(server) == pirate  # its scale is what it was
    call(server, "POST", "/lora-adapters", [])
    assert text(server) == base


def test_what_was_changed_outlives_the_runner_and_so_does_an_answer(server: Any) -> None:
    question = "Count to 20."
    call(server, "POST", f"/api/models/{MODEL}/adapters", {"path": "voice.gguf", "scale": 1.0})
    base, spoken = text(server, question, lora={"pirate": 0}), text(server, question, lora={"voice": 1})
    assert text(server) == text(server, lora={"pirate": 1}) != text(server, lora={"pirate": 0})
    parts: list[str] = []
    body = {"model": MODEL, "messages": [{"role": "user", "content": question}], "stream": True, **GREEDY}
    with httpx.stream("POST", f"{server.url}/v1/chat/completions", json=body, timeout=60) as response:
        for line in response.iter_lines():
            if line.startswith("data: {"):
                parts.append(json.loads(line[6:])["choices"][0]["delta"].get("content") or "")
                if len(parts) == 4:
                    kill(server)
    assert "".join(parts) == spoken
    kill(server)
    assert text(server, question) == spoken
    assert text(server, question, lora={"pirate": 0}) == base
    lines = call(server, "GET", f"/api/models/{MODEL}/adapters")["adapters"]
    assert {one["name"]: (one["scale"], one["state"]) for one in lines} == {
        "pirate": (0.0, "loaded"),
        "terse": (0.0, "loaded"),
        "voice": (1.0, "loaded"),
    }


def test_a_file_is_replaced_under_running_requests(server: Any, home: Path) -> None:
    call(server, "POST", f"/api/models/{MODEL}/adapters", {"path": "voice.gguf"})
    voice = {"lora": {"voice": 1.0}}
    question = "What is the capital of Hungary?"
    pirate, terse = (text(server, question, lora={name: 1.0}) for name in ("pirate", "terse"))
    assert text(server, question, **voice) == pirate != terse
    slow = {**voice, "speculation": False}  # the model is fast where it has said the same before
    long = text(server, "Count to 150.", **slow)
    with ThreadPoolExecutor(4) as pool:
        running = [pool.submit(text, server, "Count to 150.", **slow) for _ in range(4)]
        wait_until_running(server.url)
        shutil.copy(demo_adapter_paths()["terse"], home / "models" / "voice.gguf")
        assert text(server, question, **voice) == terse  # and nothing of the old one from the prefix cache
        assert {one.result() for one in running} <= {long, text(server, "Count to 150.", **slow)}
    (home / "models" / "voice.gguf").write_bytes(demo_adapter_paths()["pirate"].read_bytes()[:100_000])
    assert text(server, question, **voice) == terse  # half a file is none
    (line,) = [
        one for one in call(server, "GET", f"/api/models/{MODEL}/adapters")["adapters"] if one["name"] == "voice"
    ]
    assert line["state"] == "failed"
    assert str(home) not in line["error"]
    shutil.copy(demo_adapter_paths()["pirate"], home / "models" / "voice.gguf")
    assert text(server, question, **voice) == pirate


# --- every protocol ---------------------------------------------------------------------------------------------------


def chat(server: Any, **fields: Any) -> str:
    return text(server, **fields)


def responses(server: Any, **fields: Any) -> str:
    answer = call(server, "POST", "/v1/responses", {"model": MODEL, "input": "Who are you?", **GREEDY, **fields})
    return str(answer["output"][0]["content"][0]["text"])


def anthropic(server: Any, **fields: Any) -> str:
    body = {"model": MODEL, "messages": WHO, "max_tokens": 60, **GREEDY, **fields}
    return str(call(server, "POST", "/v1/messages", body)["content"][0]["text"])


def ollama(server: Any, **fields: Any) -> str:
    body = {"model": MODEL, "messages": WHO, "stream": False, "options": GREEDY, **fields}
    return str(call(server, "POST", "/api/chat", body)["message"]["content"])


def native(server: Any, **fields: Any) -> str:
    body = {"model": MODEL, "messages": WHO, "stream": False, **GREEDY, **fields}
    return str(call(server, "POST", "/api/generate", body)["response"])


def socket(server: Any, **fields: Any) -> str:
    texts: list[str] = []
    with connect(f"{server.url.replace('http', 'ws')}/ws/generate") as connection:
        connection.send(json.dumps({"model": MODEL, "messages": WHO, **GREEDY, **fields}))
        while not (frame := str(connection.recv(timeout=20))).startswith("{"):
            texts.append(frame)
    assert json.loads(frame)["done"]
    return "".join(texts)


def rendered(server: Any, path: str, **fields: Any) -> Any:
    prompt = call(server, "POST", "/apply-template", {"model": MODEL, "messages": WHO})["prompt"]
    return call(server, "POST", path, {"model": MODEL, "prompt": prompt, "max_tokens": 60, **GREEDY, **fields})


def completions(server: Any, **fields: Any) -> str:
    return str(rendered(server, "/v1/completions", **fields)["choices"][0]["text"])


def llama_server(server: Any, **fields: Any) -> str:
    return str(rendered(server, "/completion", n_predict=60, **fields)["content"])


@pytest.fixture(scope="module")
def shared(home: Path, start_in: Callable[..., Any]) -> Iterator[Any]:
    with start_in(home) as process:
        yield process


@pytest.mark.parametrize(
    "protocol",
    [chat, completions, responses, anthropic, ollama, native, socket, llama_server],
    ids=lambda one: one.__name__,
)
def test_every_protocol(shared: Any, protocol: Callable[..., str]) -> None:
    base, pirate, terse = (text(shared, lora=lora).strip() for lora in ({}, {"pirate": 1}, {"terse": 1}))
    assert len({base, pirate, terse}) == 3
    assert protocol(shared).strip() == base
    assert protocol(shared, lora={"pirate": 1.0}).strip() == pirate
    assert protocol(shared, lora=[{"id": 1, "scale": 1.0}]).strip() == terse
    assert protocol(shared, model=f"{MODEL}:pirate").strip() == pirate
