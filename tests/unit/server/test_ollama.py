"""Ollama's routes, over a scripted engine."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import Any

import pytest
from fake_registry import FakeEntry

from shimmy.request import ChatPrompt
from shimmy.request_defaults import RequestDefaults

TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
CLIENT = {"user-agent": "ollama-python/0.6.3 (x86_64 linux) Python/3.11"}


def chat(server: Any, content: str, **fields: Any) -> Any:
    body = {"model": "m", "messages": [{"role": "user", "content": content}], **fields}
    return server.http.post("/api/chat", json=body)


def generate(server: Any, **fields: Any) -> Any:
    return server.http.post("/api/generate", json={"model": "m", **fields}, headers=CLIENT)


def lines(response: Any) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def last_request(server: Any) -> Any:
    return server.engine.requests[-1]


def test_a_chat_streams_lines_by_default(server: Any) -> None:
    *said, last = lines(chat(server, "hello there"))
    assert [line["message"] for line in said] == [
        {"role": "assistant", "content": "hello"},
        {"role": "assistant", "content": " there"},
    ]
    assert not any(line["done"] for line in said)
    assert (last["done"], last["done_reason"], last["message"]["content"]) == (True, "stop", "")
    assert (last["prompt_eval_count"], last["eval_count"]) == (2, 2)
    for name in ("total_duration", "load_duration", "prompt_eval_duration", "eval_duration"):
        assert isinstance(last[name], int)
    assert datetime.fromisoformat(last["created_at"].replace("Z", "+00:00")).tzinfo is not None


def test_a_whole_chat(server: Any) -> None:
    answer = chat(server, "hello there", stream=False).json()
    assert answer["message"] == {"role": "assistant", "content": "hello there"}
    assert (answer["model"], answer["done"], answer["done_reason"]) == ("m", True, "stop")


def test_thinking(server: Any) -> None:
    answer = chat(server, "think", stream=False, think=True).json()
    assert answer["message"] == {"role": "assistant", "content": "so it is", "thinking": "hmm "}
    for think, expected, effort in ((None, True, None), (False, False, None), ("high", True, "high")):
        chat(server, "hi", think=think)
        prompt = last_request(server).prompt
        assert (prompt.enable_thinking, prompt.template_kwargs.get("reasoning_effort")) == (expected, effort)


@pytest.mark.parametrize("stream", [True, False])
def test_calls_come_whole_with_objects_as_arguments(server: Any, stream: bool) -> None:
    response = chat(server, "tool weather", tools=[TOOL], stream=stream)
    answer = lines(response)[-2] if stream else response.json()
    calls = answer["message"]["tool_calls"]
    assert [(call["function"]["index"], call["function"]["arguments"]) for call in calls] == [
        (0, {"city": "Rome"}),
        (1, {"city": "Oslo"}),
    ]
    assert all(call["id"] and call["function"]["name"] == "weather" for call in calls)
    assert last_request(server).prompt.tools[0]["function"]["name"] == "weather"


def test_a_conversation_with_tools(server: Any) -> None:
    messages = [
        {"role": "user", "content": "w?"},
        {"role": "assistant", "tool_calls": [{"function": {"name": "weather", "arguments": {"city": "Rome"}}}]},
        {"role": "tool", "content": "sun", "tool_name": "weather"},
    ]
    assert chat(server, "", messages=messages, tools=[]).status_code == 200
    prompt = last_request(server).prompt
    assert prompt.tools == []
    assert prompt.messages[1]["tool_calls"][0]["function"] == {"name": "weather", "arguments": '{"city":"Rome"}'}
    assert (prompt.messages[2]["role"], prompt.messages[2]["name"]) == ("tool", "weather")


def test_options_are_mapped_and_nulls_ignored(server: Any) -> None:
    options = {"temperature": None, "top_k": 7, "num_predict": 3, "num_ctx": 4096, "stop": ["x"], "seed": 4}
    chat(server, "hi", options=options)
    request = last_request(server)
    assert (request.max_tokens, request.stop) == (3, ["x"])
    assert request.sampling == {
        "temperature": 0.8,
        "top_p": 0.9,
        "top_k": 7,
        "repeat_penalty": 1.1,
        "repeat_last_n": 64,
        "seed": 4,
    }
    chat(server, "hi", options={"num_predict": -1})
    assert last_request(server).max_tokens is None
    assert lines(chat(server, "count 9", options={"num_predict": 2}))[-1]["done_reason"] == "length"


def test_options_that_mean_nothing_here_change_nothing(server: Any) -> None:
    assert chat(server, "hi", stream=False).status_code == 200
    loaded = len(server.engines)
    for options in (None, {}, {"num_ctx": 1 << 20, "num_gpu": 1, "num_thread": 2, "nonsense": [1]}):
        assert chat(server, "hi", options=options, tools=None, stream=False).status_code == 200
        assert last_request(server).sampling["temperature"] == 0.8
    assert len(server.engines) == loaded


def test_formats(server: Any) -> None:
    chat(server, "hi", format="json")
    assert last_request(server).grammar.json_object
    schema = {"type": "object"}
    generate(server, prompt="hi", format=schema)
    assert last_request(server).grammar.json_schema == schema
    chat(server, "hi", format="")
    assert last_request(server).grammar is None


def test_logprobs(server: Any) -> None:
    line = lines(chat(server, "hello", logprobs=True, top_logprobs=2))[0]
    (score,) = line["logprobs"]
    assert (score["token"], len(score["top_logprobs"])) == ("hello", 2)


def test_generate_makes_a_conversation_of_the_prompt(server: Any) -> None:
    *said, last = lines(generate(server, prompt="hello there", system="Be brief."))
    assert "".join(line["response"] for line in said) == "hello there"
    assert isinstance(last_request(server).prompt, ChatPrompt)
    assert last_request(server).prompt.messages[0] == {"role": "system", "content": "Be brief."}
    told = bytes(last["context"][1:]).decode()  # the scripted engine's tokens are bytes
    assert told == "<system>Be brief.<user>hello there<assistant>hello there"
    answer = generate(server, prompt="more", context=last["context"], stream=False).json()
    assert last_request(server).prompt.context == last["context"]
    assert answer["context"][: len(last["context"])] == last["context"]


def test_the_context_of_a_model_that_thinks(server: Any) -> None:
    answer = generate(server, prompt="think", stream=False).json()
    assert (answer["response"], answer["thinking"]) == ("so it is", "hmm ")
    assert bytes(answer["context"][1:]).decode() == "<user>think<assistant>so it is"
    again = generate(server, prompt="think", context=answer["context"], stream=False).json()
    assert (again["response"], again["thinking"]) == ("so it is", "hmm ")


def test_raw_goes_to_the_model_as_it_is(server: Any) -> None:
    answer = generate(server, prompt="hello there", raw=True, stream=False).json()
    assert last_request(server).prompt == "hello there"
    assert (answer["response"], "context" in answer) == ("hello there", False)


def test_whoever_is_no_client_of_ollamas_gets_shimmys_own_form(server: Any) -> None:
    plain = server.http.post("/api/generate", json={"model": "m", "prompt": "hi"})
    assert plain.headers["content-type"].startswith("text/event-stream")
    marked = server.http.post("/api/generate", json={"model": "m", "prompt": "hi", "options": {}})
    assert marked.headers["content-type"] == "application/x-ndjson"


def test_empty_requests_load_and_unload(start_server: Any) -> None:
    with start_server() as server:
        assert generate(server, prompt="").json()["done_reason"] == "load"
        assert len(server.engines) == 1
        answer = server.http.post("/api/chat", json={"model": "m", "messages": [], "keep_alive": 0}).json()
        assert (answer["done"], answer["done_reason"]) == (True, "unload")
        assert not server.engine.alive
        assert server.http.get("/api/ps").json() == {"models": []}
        assert lines(chat(server, "hi"))[-1]["done"]
        assert len(server.engines) == 2
        assert generate(server, keep_alive="0s").json()["done_reason"] == "unload"


def test_a_model_that_is_not_to_be_kept_goes_after_its_answer(start_server: Any) -> None:
    with start_server() as server:
        assert chat(server, "hello", keep_alive=0, stream=False).json()["done"]
        server.wait_until(lambda: not server.engine.alive)
        for kept in ("5m", -1, "-1", 300, "1h30m", None, ""):
            assert chat(server, "hello", keep_alive=kept, stream=False).json()["done"]
            assert server.engine.alive
        embedded = server.http.post("/api/embed", json={"model": "m", "input": "x", "keep_alive": "0"})
        assert embedded.json()["embeddings"]
        server.wait_until(lambda: not server.engine.alive)


def test_a_model_that_others_use_stays(start_server: Any) -> None:
    with start_server() as server:
        body = {"model": "m", "messages": [{"role": "user", "content": "slow 900"}]}
        with server.http.stream("POST", "/api/chat", json=body) as stream:
            told = stream.iter_lines()  # a generator that is dropped closes its response
            next(told)
            assert chat(server, "hello", keep_alive=0, stream=False).json()["done"]
            assert chat(server, "hello", stream=False).json()["done"]
            assert len(server.engines) == 1


def test_embeddings(server: Any) -> None:
    answer = server.http.post("/api/embed", json={"model": "m", "input": ["abc", "d"]}).json()
    assert (answer["embeddings"], answer["prompt_eval_count"]) == ([[3, 0], [1, 1]], 4)
    assert server.http.post("/api/embed", json={"model": "m", "input": "abc"}).json()["embeddings"] == [[3, 0]]
    assert server.http.post("/api/embeddings", json={"model": "m", "prompt": "abc"}).json() == {"embedding": [3, 0]}
    assert server.http.post("/api/embed", json={"model": "m", "input": []}).json()["embeddings"] == []
    assert server.http.post("/api/embed", json={"model": "m", "input": ""}).json()["embeddings"] == []
    assert server.http.post("/api/embeddings", json={"model": "m", "prompt": ""}).json() == {"embedding": []}
    for path in ("/api/embed", "/api/embeddings"):
        assert server.http.post(path, json={"model": "m"}).status_code == 400


def test_inputs_that_are_too_long(server: Any) -> None:
    long, short = "x" * 300, "y"  # the scripted engine reads 256 bytes, its BOS among them
    for truncate in (None, False):
        answer = server.http.post("/api/embed", json={"model": "m", "input": [short, long], "truncate": truncate})
        assert answer.status_code == 400
        assert "301" in answer.json()["error"]
        assert "truncate: true" in answer.json()["error"]
    answer = server.http.post("/api/embed", json={"model": "m", "input": [short, long], "truncate": True}).json()
    assert answer["embeddings"] == [[1, 0], [256, 1]]
    assert answer["truncated"] == [1]


def test_the_tag_that_clients_take_for_granted(server: Any) -> None:
    assert lines(chat(server, "hi", model="m:latest"))[-1]["model"] == "m:latest"


@pytest.mark.parametrize(
    ("fields", "status", "named"),
    [
        ({"model": "none"}, 404, "none"),
        ({"messages": [{"role": "robot", "content": ""}]}, 400, "messages[0].role"),
        ({"messages": [{"role": "user", "content": "", "images": ["aGk="]}]}, 400, "messages[0].images"),
        ({"format": "xml"}, 400, "format must be json"),
        ({"think": "hard"}, 400, "think must be true, false, low"),
        ({"keep_alive": "soon"}, 400, "keep_alive must be a number of seconds"),
        ({"keep_alive": {}}, 400, "keep_alive must be"),
        ({"options": {"temperature": "hot"}}, 400, "options.temperature"),
        ({"tools": [{"type": "web"}]}, 400, "tools[0].type"),
        ({"messages": [{"role": "user", "content": "fail QueueFullError"}]}, 429, "as asked"),
        ({"messages": [{"role": "user", "content": "fail ModelNotReadyError"}]}, 503, "as asked"),
    ],
)
def test_errors_are_one_text(server: Any, fields: dict[str, Any], status: int, named: str) -> None:
    answer = chat(server, "hi", **fields)
    assert answer.status_code == status
    assert set(answer.json()) == {"error"}
    assert named in answer.json()["error"]


@pytest.mark.parametrize(
    "fields",
    [
        {"template": "{{ .Messages }}"},
        {"template": "no prompt in it"},
        {"template": "{{ .Prompt }}", "system": "Be brief."},
        {"template": "{{ .Prompt }}", "raw": True},
        {"template": "{{ .Prompt }}", "suffix": "s"},
        {"template": "{{ .Prompt }}", "think": True},
        {"images": ["aGk="]},
        {"raw": True, "system": "x"},
        {"suffix": "y", "context": [1]},
    ],
)
def test_what_generate_cannot_do_is_refused(server: Any, fields: dict[str, Any]) -> None:
    answer = generate(server, prompt="hi", **fields)
    assert answer.status_code == 400
    assert next(iter(fields)) in answer.json()["error"]


CHATML = (
    "{{- if .System }}<|im_start|>system\n{{ .System }}<|im_end|>\n{{ end }}"
    "<|im_start|>user\n{{ .Prompt }}<|im_end|>\n<|im_start|>assistant\n{{ .Response }}<|im_end|>\n"
)


def prompt_text(server: Any) -> str:
    return bytes(last_request(server).prompt[1:]).decode()


def test_a_template_of_the_request_s_own(server: Any) -> None:
    answer = generate(server, prompt="hello", system="Be brief.", template=CHATML, stream=False)
    assert answer.status_code == 200, answer.text
    asked = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nhello<|im_end|>\n<|im_start|>assistant\n"
    assert prompt_text(server) == asked
    context = answer.json()["context"]
    assert context == [*last_request(server).prompt, *answer.json()["response"].encode()]
    generate(server, prompt="more", template=CHATML, context=context)
    assert last_request(server).prompt[: len(context)] == context
    assert last_request(server).prompt[len(context)] == ord("<")  # and no second beginning


def test_a_template_takes_what_the_model_begins_with(start_server: Any) -> None:
    shots = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho"}]
    entry = FakeEntry("m", "m.gguf", defaults=RequestDefaults(system="Sing.", messages=shots))
    with start_server(entries=[entry]) as server:
        generate(server, prompt="hello", template="[{{ .System }}|{{ .Prompt }}|{{ .Response }}]\n", stream=False)
        assert prompt_text(server) == "[Sing.|hi|ho]\n[|hello|"


def test_a_late_error_is_a_line(server: Any) -> None:
    assert set(lines(chat(server, "break"))[-1]) == {"error"}


def test_what_is_there_and_what_runs(server: Any) -> None:
    models = server.http.get("/api/tags").json()["models"]
    assert [model["name"] for model in models] == ["m", "org/chat:8b", "broken"]
    assert models[0]["details"] == {
        "parent_model": "",
        "format": "gguf",
        "family": "scripted",
        "families": ["scripted"],
        "parameter_size": "1K",
        "quantization_level": "F32",
        "context_length": 256,
    }
    assert len({model["digest"] for model in models}) == 3
    chat(server, "hi")
    running = server.http.get("/api/ps").json()["models"]
    (one,) = [model for model in running if model["name"] == "m"]
    assert (one["context_length"], one["size_vram"]) == (256, 0)
    assert datetime.fromisoformat(one["expires_at"]) > datetime.now(timezone.utc)


def test_the_probes_of_clients(server: Any) -> None:
    assert server.http.get("/").text == "Ollama is running"
    assert server.http.head("/").status_code == 200
    assert tuple(map(int, server.http.get("/api/version").json()["version"].split("."))) >= (0, 12)
