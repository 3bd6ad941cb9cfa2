"""LoRA adapters over HTTP: the routes about them, and how requests name them in every protocol."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tiny_gguf import write_adapter, write_model
from websockets.sync.client import connect

from shimmy.discovery.walk import Root
from shimmy.models.registry import Registry
from shimmy.settings import Settings

HI = [{"role": "user", "content": "hi"}]
KEYS = """
[editor]
key = "key-of-the-editor"
[boss]
key = "key-of-the-boss"
scopes = ["infer", "admin"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    write_model(folder / "org" / "m.gguf")
    for name in ("loud", "quiet"):
        write_adapter(folder / "org" / f"m-{name}.gguf")
    write_adapter(folder / "loras" / "other.gguf")
    write_adapter(folder / "loras" / "foreign.gguf", {"general.architecture": "qwen3"})
    write_adapter(tmp_path / "outside" / "secret.gguf")
    (folder / "models.toml").write_text('[models.m]\naliases = ["org/m:8b"]\nadapters = { m-loud = 0.25 }\n')
    return folder


@pytest.fixture
def server(folder: Path, start_server: Callable[..., Any]) -> Iterator[Any]:
    registry = Registry(Settings(model_settings=folder / "models.toml"), roots=[Root(folder)])
    with start_server(registry=registry) as running:
        yield running


def adapters(server: Any, model: str = "m") -> dict[str, tuple[float, str]]:
    listed = server.http.get(f"/api/models/{model}/adapters").json()
    assert [one["id"] for one in listed["adapters"]] == list(range(len(listed["adapters"])))
    return {one["name"]: (one["scale"], one["state"]) for one in listed["adapters"]}


def load(server: Any, model: str = "m", **body: Any) -> Any:
    return server.http.post(f"/api/models/{model}/adapters", json=body)


def asked(server: Any) -> dict[str, float]:
    lora: dict[str, float] = server.engine.requests[-1].lora
    return lora


# --- every protocol ---------------------------------------------------------------------------------------------------


def post(path: str, **body: Any) -> Callable[[Any, dict[str, Any]], int]:
    def ask(server: Any, fields: dict[str, Any]) -> int:
        return int(server.http.post(path, json={"model": "m", **body, **fields}).status_code)

    return ask


def in_options(server: Any, fields: dict[str, Any]) -> int:
    options = {"lora": fields.pop("lora")} if "lora" in fields else {}
    return post("/api/chat", messages=HI, stream=False, options=options)(server, fields)


def on_a_socket(server: Any, fields: dict[str, Any]) -> int:
    with connect(server.url.replace("http", "ws") + "/ws/generate") as socket:
        socket.send(json.dumps({"model": "m", "prompt": "hi", **fields}))
        frames = [socket.recv(timeout=5)]
        while not frames[-1].startswith("{"):
            frames.append(socket.recv(timeout=5))
    last = json.loads(frames[-1])
    return 200 if "done" in last else 404 if "no adapter" in last["error"] else 400


PROTOCOLS = {
    "chat": post("/v1/chat/completions", messages=HI),
    "chat stream": post("/v1/chat/completions", messages=HI, stream=True),
    "completions": post("/v1/completions", prompt="hi"),
    "responses": post("/v1/responses", input="hi"),
    "anthropic": post("/v1/messages", messages=HI, max_tokens=5),
    "ollama chat": post("/api/chat", messages=HI, stream=False),
    "ollama options": in_options,
    "ollama generate": post("/api/generate", prompt="hi", stream=False, keep_alive=-1),
    "native": post("/api/generate", prompt="hi", stream=False),
    "socket": on_a_socket,
    "completion": post("/completion", prompt="hi"),
    "infill": post("/infill", input_prefix="hi", input_suffix="there"),
}


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_takes_adapters_with_scales(server: Any, protocol: str) -> None:
    ask = PROTOCOLS[protocol]
    cases: list[tuple[dict[str, Any], dict[str, float]]] = [
        ({}, {"m-loud": 0.25}),
        ({"lora": {}}, {"m-loud": 0.25}),
        ({"lora": {"m-quiet": 0.5}}, {"m-quiet": 0.5}),
        ({"lora": {"m-loud": 0}}, {"m-loud": 0.0}),
        ({"lora": [{"id": 1, "scale": 0.5}, {"id": 0, "scale": -1}]}, {"m-quiet": 0.5, "m-loud": -1.0}),
        ({"model": "m:m-quiet"}, {"m-quiet": 1.0}),
        ({"model": "org/m:8b:m-quiet", "lora": {"m-loud": 2}}, {"m-quiet": 1.0, "m-loud": 2.0}),
    ]
    for fields, lora in cases:
        assert ask(server, fields) == 200, fields
        assert asked(server) == lora, fields
    assert ask(server, {"model": "m:nope"}) in (400, 404)
    assert ask(server, {"lora": {"nope": 1}}) == 404
    assert ask(server, {"lora": [{"id": 2, "scale": 1}]}) == 400
    assert ask(server, {"lora": {"m-quiet": 101}}) == 400
    assert ask(server, {"lora": ["m-quiet"]}) == 400
    assert len(server.engines) == 1


def test_the_request_is_known_by_the_name_it_gave(server: Any) -> None:
    assert server.http.post("/v1/chat/completions", json={"model": "m:m-quiet", "messages": HI}).status_code == 200
    (line,) = server.http.get("/v1/requests").json()["data"]
    assert line["model"] == "m:m-quiet"
    forked = server.http.post(f"/v1/requests/{line['id']}/fork", json={"lora": {"m-quiet": 0.5}})
    assert (forked.status_code, asked(server)) == (200, {"m-quiet": 0.5})


def test_lists_of_models_name_them(server: Any) -> None:
    listed = server.http.get("/v1/models").json()["data"]
    assert [model["id"] for model in listed] == ["m", "m:m-loud", "m:m-quiet"]
    assert {tuple(model) for model in listed} == {("id", "object", "created", "owned_by")}
    for model in listed:
        assert server.http.get(f"/v1/models/{model['id']}").json() == model
    page = server.http.get("/v1/models", headers={"anthropic-version": "1"}).json()
    assert [model["id"] for model in page["data"]] == ["m", "m:m-loud", "m:m-quiet"]
    assert [model["name"] for model in server.http.get("/api/models").json()["models"]] == ["m"]


def test_what_is_made_without_adapters_says_so(server: Any) -> None:
    for path, body in (
        ("/v1/embeddings", {"input": "x"}),
        ("/api/embed", {"input": "x"}),
        ("/v1/rerank", {"query": "x", "documents": ["y"]}),
    ):
        assert server.http.post(path, json={"model": "m", **body}).status_code == 200
        answer = server.http.post(path, json={"model": "m:m-quiet", **body})
        assert (answer.status_code, "name the model alone" in answer.text) == (400, True)
    for path, body in (
        ("/api/copy", {"source": "m:m-quiet", "destination": "quiet"}),
        ("/api/create", {"model": "quiet", "from": "m:m-quiet"}),
        ("/api/delete", {"model": "m:m-quiet"}),
    ):
        answer = server.http.request("DELETE" if "delete" in path else "POST", path, json=body)
        assert (answer.status_code, "name the model alone" in answer.text) == (400, True)


# --- shimmy's routes --------------------------------------------------------------------------------------------------


def test_loading_scaling_and_unloading(server: Any, folder: Path) -> None:
    assert adapters(server) == {"m-loud": (0.25, "unloaded"), "m-quiet": (0.0, "unloaded")}
    assert server.engines == []
    answer = load(server, "org/m:8b", path="loras/other.gguf")
    assert answer.status_code == 200
    line = answer.json()["adapters"][2]
    assert line == {
        "id": 2,
        "name": "other",
        "file": "other.gguf",
        "scale": 0.0,
        "state": "loaded",
        "size_bytes": (folder / "loras" / "other.gguf").stat().st_size,
        "error": None,
    }
    assert server.http.get("/api/models/m/status").json()["adapters"] == ["m-loud", "m-quiet", "other"]
    assert "m:other" in [model["id"] for model in server.http.get("/v1/models").json()["data"]]
    assert server.chat("hi", model="m:other").status_code == 200
    assert asked(server) == {"other": 1.0}
    scaled = server.http.patch("/api/models/m/adapters", json={"scales": {"other": 0.5, "m-loud": 0}})
    assert [one["scale"] for one in scaled.json()["adapters"]] == [0.0, 0.0, 0.5]
    assert server.chat("hi").status_code == 200
    assert asked(server) == {"other": 0.5}
    assert server.http.delete("/api/models/m/adapters/other").status_code == 200
    assert server.chat("hi").status_code == 200
    assert asked(server) == {}
    assert server.chat("hi", lora={"other": 1}).status_code == 404
    assert "it has m-loud, m-quiet" in server.chat("hi", model="m:other").json()["error"]["message"]
    assert list(adapters(server)) == ["m-loud", "m-quiet"]
    assert load(server, name="other", scale=2).status_code == 200  # where it was
    assert adapters(server)["other"] == (2.0, "loaded")
    assert len(server.engines) == 1


def test_names_may_hold_slashes_and_colons(server: Any) -> None:
    assert load(server, "org/m:8b", name="styles/old:1", path="loras/other.gguf").status_code == 200
    assert server.chat("hi", model="org/m:8b:styles/old:1").status_code == 200
    assert asked(server) == {"styles/old:1": 1.0}
    assert server.http.delete("/api/models/org/m:8b/adapters/styles/old:1").status_code == 200
    assert "styles/old:1" not in adapters(server)


def test_they_stay_over_a_reload_of_the_model(server: Any) -> None:
    assert load(server, name="late", path="loras/other.gguf", scale=0.5).status_code == 200
    assert server.http.delete("/api/models/m/adapters/m-quiet").status_code == 200
    assert server.http.post("/api/models/m/unload").status_code == 200
    assert adapters(server) == {"m-loud": (0.25, "unloaded"), "late": (0.5, "unloaded")}
    assert server.chat("hi").status_code == 200
    assert asked(server) == {"m-loud": 0.25, "late": 0.5}
    assert set(server.engine.adapters) == {"m-loud", "late"}
    assert len(server.engines) == 2


def test_running_requests_are_left_alone(server: Any) -> None:
    answers: list[Any] = []
    asking = threading.Thread(target=lambda: answers.append(server.chat("slow 60", lora={"m-quiet": 1})))
    asking.start()
    server.wait_until(lambda: bool(server.engines) and server.engine.running == 1)
    assert load(server, name="m-quiet", path="loras/other.gguf").status_code == 200
    assert server.http.delete("/api/models/m/adapters/m-quiet").status_code == 200
    assert server.engine.running == 1
    asking.join(10)
    assert answers[0].json()["choices"][0]["finish_reason"] == "stop"


def test_a_file_that_changed_is_loaded_by_the_next_request(server: Any, folder: Path) -> None:
    assert server.chat("hi").status_code == 200
    loads: list[str] = []
    engine = server.engine
    load_adapter = engine.load_adapter

    async def counted(name: str, path: str) -> None:
        loads.append(name)
        await load_adapter(name, path)

    engine.load_adapter = counted
    assert server.chat("hi").status_code == 200
    assert loads == []
    write_adapter(folder / "org" / "m-loud.gguf", {"general.name": "another version"})
    assert [server.chat("hi").status_code for _ in range(3)] == [200] * 3
    assert loads == ["m-loud"]
    (folder / "org" / "m-loud.gguf").write_bytes(b"bad")
    assert server.chat("hi").status_code == 200
    (line, _) = server.http.get("/api/models/m/adapters").json()["adapters"]
    assert (line["state"], line["size_bytes"]) == ("failed", 3)
    assert line["error"] == "m-loud.gguf is no adapter"  # not where it lies


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        ({}, 400, "name or path is required"),
        ({"name": "nope"}, 404, "no adapter 'nope' was found for llama models; there are: m-loud, m-quiet, other"),
        ({"name": "foreign"}, 404, "no adapter 'foreign' was found"),
        ({"path": "loras/nope.gguf"}, 404, "no file 'loras/nope.gguf'"),
        ({"path": "../../outside/secret.gguf"}, 400, "outside of the folders"),
        ({"path": "../../outside/nothing.gguf"}, 400, "outside of the folders"),
        ({"path": "loras/foreign.gguf"}, 400, "is a LoRA adapter for qwen3 models; m.gguf is llama"),
        ({"path": "org/m.gguf"}, 400, "is not a LoRA adapter but a file of kind chat"),
        ({"path": "broken.gguf"}, 400, "not a GGUF file"),
        ({"path": "peft.safetensors"}, 400, "convert_lora_to_gguf.py"),
        ({"path": "loras/refused.gguf"}, 400, "refused.gguf is no adapter"),
        ({"path": "loras/other.gguf", "scale": 1000}, 400, "scale must be at most 100"),
        ({"path": "loras/other.gguf", "name": "#1"}, 400, "must not begin with #"),
        ({"path": "loras/other.gguf", "name": ""}, 400, "1 to 128 characters"),
        ({"path": "loras/other.gguf", "name": "x" * 129}, 400, "1 to 128 characters"),
        ({"path": 5}, 400, "path must be a string"),
    ],
)
def test_what_cannot_be_loaded(
    server: Any, folder: Path, tmp_path: Path, body: dict[str, Any], status: int, words: str
) -> None:
    (folder / "broken.gguf").write_bytes(b"x" * 100)
    (folder / "peft.safetensors").write_bytes(b"x")
    write_adapter(folder / "loras" / "refused.gguf", {"general.name": "bad"})
    answer = load(server, **body)
    assert (answer.status_code, set(answer.json())) == (status, {"error"})
    assert words in answer.json()["error"]
    assert str(tmp_path) not in answer.text
    assert list(adapters(server)) == ["m-loud", "m-quiet"]


def test_there_is_a_limit(server: Any) -> None:
    for number in range(62):
        assert load(server, name=f"a{number}", path="loras/other.gguf").status_code == 200
    answer = load(server, name="one-more", path="loras/other.gguf")
    assert (answer.status_code, "has 64 adapters" in answer.text) == (400, True)
    assert load(server, name="a1", path="org/m-quiet.gguf").status_code == 200  # in place of another


def test_models_and_adapters_that_are_not_there(server: Any) -> None:
    http = server.http
    for answer in (
        http.get("/api/models/none/adapters"),
        load(server, "none", name="m-loud"),
        http.patch("/api/models/none/adapters", json={"scales": {}}),
        http.delete("/api/models/none/adapters/m-loud"),
        http.patch("/api/models/m/adapters", json={"scales": {"m-loud": 1, "nope": 1}}),
        http.delete("/api/models/m/adapters/nope"),
    ):
        assert answer.status_code == 404
    for answer in (http.get("/api/models/m:m-quiet/adapters"), load(server, "m:m-quiet", name="m-loud")):
        assert (answer.status_code, "name the model alone" in answer.text) == (400, True)
    assert adapters(server)["m-loud"] == (0.25, "unloaded")
    assert server.engines == []


# --- llama-server's ---------------------------------------------------------------------------------------------------


def test_llama_servers_list(server: Any) -> None:
    http = server.http
    assert http.get("/lora-adapters").json() == [
        {"id": 0, "path": "m-loud.gguf", "scale": 0.25},
        {"id": 1, "path": "m-quiet.gguf", "scale": 0.0},
    ]
    assert http.post("/lora-adapters", json=[{"id": 1, "scale": 0.5}]).json() == {"success": True}
    assert [one["scale"] for one in http.get("/lora-adapters?model=org/m:8b").json()] == [0.0, 0.5]
    assert server.chat("hi").status_code == 200
    assert asked(server) == {"m-quiet": 0.5}
    assert http.post("/lora-adapters?model=m", json=[]).status_code == 200
    assert server.chat("hi").status_code == 200
    assert asked(server) == {}
    for body in ([{"id": 2, "scale": 1}], [{"id": -1, "scale": 1}], [{"id": 0}], {"id": 0}, [{"id": "0", "scale": 1}]):
        assert http.post("/lora-adapters", json=body).status_code == 400
    assert http.get("/lora-adapters?model=none").status_code == 404


def test_they_need_the_right_key(folder: Path, start_server: Callable[..., Any], tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text(KEYS)
    registry = Registry(Settings(), roots=[Root(folder)])
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys), registry=registry) as server:
        for key, status in (("key-of-the-editor", 403), ("key-of-the-boss", 200)):
            server.http.headers["authorization"] = f"Bearer {key}"
            for method, path, body in (
                ("GET", "/api/models/m/adapters", None),
                ("POST", "/api/models/m/adapters", {"name": "m-loud"}),
                ("PATCH", "/api/models/m/adapters", {"scales": {"m-loud": 1}}),
                ("GET", "/lora-adapters", None),
                ("POST", "/lora-adapters", []),
                ("DELETE", "/api/models/m/adapters/m-loud", None),
            ):
                assert server.http.request(method, path, json=body).status_code == status, (key, method, path)
            assert server.chat("hi", lora={"m-quiet": 1}).status_code == 200
