"""Pull, create, copy and delete, over a real library and registry and a scripted engine."""

from __future__ import annotations

import json
import shutil
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from fake_host import FakeHost, digest_of, run_host
from tiny_gguf import adapter_bytes, model_bytes, write_model

from shimmy.discovery.walk import Root
from shimmy.library.library import Library
from shimmy.models.registry import Registry
from shimmy.settings import Settings

MODEL = model_bytes(n_params=5000)


@pytest.fixture
def host() -> Iterator[FakeHost]:
    with run_host() as running:
        running.add_model("library/llama3", {"model": MODEL, "system": b"Be brief."}, tag="8b")
        yield running


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path / "library")


@pytest.fixture
def server(start_server: Any, host: FakeHost, library: Library, tmp_path: Path) -> Iterator[Any]:
    write_model(tmp_path / "found" / "base.gguf")
    settings = Settings(bind="127.0.0.1:0", registry_url=host.url)
    registry = Registry(settings, roots=[Root(tmp_path / "found")], library=library)
    with start_server(settings, registry=registry) as running:
        yield running


def names(server: Any) -> list[str]:
    return [model["name"] for model in server.http.get("/api/tags").json()["models"]]


def pull(server: Any, name: str, **fields: Any) -> httpx.Response:
    return server.http.post("/api/pull", json={"model": name, **fields})


def lines(response: httpx.Response) -> list[dict[str, Any]]:
    assert response.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in response.text.splitlines()]


def create(server: Any, name: str, **fields: Any) -> httpx.Response:
    return server.http.post("/api/create", json={"model": name, "from": "base", "stream": False, **fields})


def delete(server: Any, name: str) -> httpx.Response:
    return server.http.request("DELETE", "/api/delete", json={"model": name})


def chat(server: Any, model: str, content: str = "hello", **fields: Any) -> Any:
    body = {"model": model, "messages": [{"role": "user", "content": content}], "stream": False, **fields}
    answer = server.http.post("/api/chat", json=body)
    assert answer.status_code == 200, answer.text
    return server.engine.requests[-1]


class TestPull:
    def test_a_stream_of_lines(self, server: Any, host: FakeHost, library: Library) -> None:
        told = lines(pull(server, "llama3:8b"))
        assert told[0] == {"status": "pulling manifest"}
        assert told[-1] == {"status": "success"}
        moving = [line for line in told if line.get("digest") == digest_of(MODEL)]
        assert moving[-1] == {
            "status": f"pulling {digest_of(MODEL)[7:19]}",
            "digest": digest_of(MODEL),
            "total": len(MODEL),
            "completed": len(MODEL),
        }
        assert "llama3:8b" in names(server)
        assert chat(server, "llama3:8b").prompt.messages[0] == {"role": "system", "content": "Be brief."}
        assert lines(pull(server, "llama3:8b"))[-1] == {"status": "success"}
        assert len(host.fetched(digest_of(MODEL))) == 1

    def test_one_answer_at_the_end(self, server: Any) -> None:
        assert pull(server, "llama3:8b", stream=False).json() == {"status": "success"}
        assert "llama3:8b" in names(server)

    def test_many_who_ask_share_one_download(self, server: Any, host: FakeHost) -> None:
        host.gate.clear()
        begun: list[str] = []
        ended: list[Any] = []

        def ask() -> None:
            with (
                httpx.Client(base_url=server.url, timeout=60) as client,
                client.stream("POST", "/api/pull", json={"model": "llama3:8b"}) as answer,
            ):
                told = answer.iter_lines()
                begun.append(next(told))
                ended.append(json.loads([*told][-1]))

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        server.wait_until(lambda: len(begun) == 4)
        host.gate.set()
        for thread in threads:
            thread.join(60)
        assert ended == [{"status": "success"}] * 4
        assert len(host.fetched(digest_of(MODEL))) == 1
        assert len(host.fetched("manifests")) == 1

    def test_names_of_the_same_model_share_one_download(self, server: Any, host: FakeHost) -> None:
        host.gate.clear()
        called = [f"{host.name}/library/llama3:8b", f"https://{host.name}/llama3:8b", "llama3:8b"]
        with ThreadPoolExecutor() as pool:
            pulls = [pool.submit(pull, server, name) for name in called]
            server.wait_until(lambda: bool(host.fetched(digest_of(MODEL))))
            host.gate.set()
            ended = [lines(one.result(20))[-1] for one in pulls]
        assert ended == [{"status": "success"}] * 3
        assert len(host.fetched(digest_of(MODEL))) == 1
        assert {name.removeprefix("https://") for name in called} <= set(names(server))

    def test_it_ends_when_the_last_client_leaves_and_goes_on_with_the_next(
        self, server: Any, host: FakeHost, library: Library
    ) -> None:
        host.gate.clear()
        with server.http.stream("POST", "/api/pull", json={"model": "llama3:8b"}) as answer:
            told = answer.iter_lines()
            while "digest" not in json.loads(next(told)):
                pass
        partial = library.folder / "blobs" / f"{digest_of(MODEL).replace(':', '-')}.partial"
        server.wait_until(partial.exists)
        host.gate.set()
        assert pull(server, "llama3:8b", stream=False).json() == {"status": "success"}
        assert not partial.exists()
        assert "llama3:8b" in names(server)

    def test_what_is_not_there(self, server: Any, host: FakeHost, library: Library) -> None:
        told = lines(pull(server, "none"))
        assert set(told[-1]) == {"error"}
        assert "library/none:latest" in told[-1]["error"]
        answer = pull(server, "none", stream=False)
        assert (answer.status_code, set(answer.json())) == (404, {"error"})

    @pytest.mark.parametrize(
        ("fields", "named"),
        [
            ({"model": ""}, "model is required"),
            ({"model": "a/../../etc"}, "cannot be pulled"),
            ({"model": "evil.example/a/b"}, "no host to pull from"),
            ({"model": "llama3:8b", "insecure": True}, "insecure is not supported"),
            ({"model": 7}, "model must be a string"),
            ({"model": "base"}, "not shimmy's to replace"),
        ],
    )
    def test_bad_requests(self, server: Any, fields: dict[str, Any], named: str) -> None:
        answer = server.http.post("/api/pull", json=fields)
        assert answer.status_code == 400
        assert named in answer.json()["error"]

    def test_a_host_that_fails(self, server: Any, host: FakeHost) -> None:
        host.statuses["/v2/library/llama3/manifests/8b"] = 403
        answer = pull(server, "llama3:8b", stream=False)
        assert answer.status_code == 424
        assert "refuses access (403)" in answer.json()["error"]
        host.statuses["/v2/library/llama3/manifests/8b"] = 500
        answer = pull(server, "llama3:8b", stream=False)
        assert answer.status_code == 503
        assert "retry-after" in answer.headers

    def test_a_newer_version_ends_the_engine_of_the_older(self, server: Any, host: FakeHost) -> None:
        pull(server, "llama3:8b", stream=False)
        chat(server, "llama3:8b")
        older = server.engine
        host.add_model("library/llama3", {"model": model_bytes(n_params=6000)}, tag="8b")
        pull(server, "llama3:8b", stream=False)
        server.wait_until(lambda: not older.alive)
        assert chat(server, "llama3:8b").prompt.messages == [{"role": "user", "content": "hello"}]


class TestCreate:
    def test_a_model_with_a_manner_of_its_own(self, server: Any) -> None:
        answer = create(
            server,
            "mario",
            system="You are Mario.",
            parameters={"temperature": 0.1, "stop": ["x", "y"], "num_predict": 7},
            messages=[{"role": "user", "content": "hi"}, {"role": "assistant", "content": "It's me"}],
        )
        assert answer.json() == {"status": "success"}
        assert {"base", "mario"} <= set(names(server))
        request = chat(server, "mario")
        assert [message["content"] for message in request.prompt.messages] == [
            "You are Mario.",
            "hi",
            "It's me",
            "hello",
        ]
        assert request.sampling["temperature"] == 0.1
        assert (request.stop, request.max_tokens) == (["x", "y"], 7)
        request = chat(server, "mario", options={"temperature": 0.5, "stop": ["z"], "num_predict": 2})
        assert (request.sampling["temperature"], request.stop, request.max_tokens) == (0.5, ["z"], 2)
        said = [{"role": "system", "content": "You are Luigi."}, {"role": "user", "content": "hello"}]
        contents = [message["content"] for message in chat(server, "mario", messages=said).prompt.messages]
        assert contents == ["You are Luigi.", "hi", "It's me", "hello"]

    def test_every_protocol_speaks_in_that_manner(self, server: Any) -> None:
        create(server, "mario", system="You are Mario.", parameters={"temperature": 0.1})
        message = [{"role": "user", "content": "hello"}]
        for path, body in (
            ("/v1/chat/completions", {"messages": message}),
            ("/v1/messages", {"messages": message, "max_tokens": 9}),
            ("/v1/responses", {"input": "hello"}),
            ("/api/generate", {"messages": message, "stream": False}),
            ("/api/generate", {"prompt": "hello", "options": {}, "stream": False}),
        ):
            answer = server.http.post(path, json={"model": "mario", **body})
            assert answer.status_code == 200, answer.text
            request = server.engine.requests[-1]
            assert request.prompt.messages[0] == {"role": "system", "content": "You are Mario."}
            assert request.sampling["temperature"] == 0.1
        counts = [
            server.http.post("/v1/messages/count_tokens", json={"model": model, "messages": message}).json()
            for model in ("mario", "base")
        ]
        assert counts[0]["input_tokens"] > counts[1]["input_tokens"]

    def test_it_shares_the_engine_of_its_base(self, server: Any) -> None:
        create(server, "mario", system="You are Mario.")
        chat(server, "base")
        chat(server, "mario")
        assert len(server.engines) == 1
        assert 'shimmy_requests_total{model="mario",outcome="stop"} 1.0' in server.http.get("/metrics").text
        create(server, "long", parameters={"num_ctx": 512})
        chat(server, "long")
        assert len(server.engines) == 2

    def test_the_context_of_generate_holds_its_system_prompt_once(self, server: Any) -> None:
        create(server, "mario", system="Be Mario.")
        body = {"model": "mario", "prompt": "hello", "options": {}, "stream": False}
        first = server.http.post("/api/generate", json=body).json()
        again = server.http.post("/api/generate", json={**body, "context": first["context"]}).json()
        told = bytes(again["context"][1:]).decode()
        assert told == "<system>Be Mario.<user>hello<assistant>hello<user>hello<assistant>hello"

    def test_a_stream_of_lines(self, server: Any) -> None:
        told = lines(create(server, "mario", system="x", stream=True))
        statuses = [line["status"] for line in told]
        assert statuses == ["reading model metadata", "creating system layer", "writing manifest", "success"]

    def test_it_can_be_made_anew_and_built_upon(self, server: Any, library: Library) -> None:
        create(server, "mario", system="One.", parameters={"top_k": 3})
        create(server, "mario", **{"from": "mario", "system": "Two.", "parameters": {"seed": 4}})
        request = chat(server, "mario")
        assert request.prompt.messages[0]["content"] == "Two."
        assert (request.sampling["top_k"], request.sampling["seed"]) == (3, 4)
        assert [record.base for record in library.read()[0]] == ["base"]

    def test_what_is_shown_of_it(self, server: Any) -> None:
        create(
            server,
            "mario",
            system="You are Mario.",
            template="chatml",
            license=["MIT", "and more"],
            parameters={"temperature": 0.1, "stop": ["<x>", "y"]},
            messages=[{"role": "user", "content": "hi"}],
        )
        shown = server.http.post("/api/show", json={"model": "mario"}).json()
        assert shown["system"] == "You are Mario."
        assert "<|im_start|>" in shown["template"]
        assert shown["license"] == "MIT\nand more"
        assert shown["messages"] == [{"role": "user", "content": "hi"}]
        assert [line.split() for line in shown["parameters"].splitlines()] == [
            ["temperature", "0.1"],
            ["stop", '"<x>"'],
            ["stop", '"y"'],
        ]
        assert shown["details"]["parent_model"] == "base"
        assert "FROM base" in shown["modelfile"]
        assert 'SYSTEM """You are Mario."""' in shown["modelfile"]
        assert 'PARAMETER stop "<x>"' in shown["modelfile"]

    @pytest.mark.parametrize(
        ("fields", "status", "named"),
        [
            ({"from": "none"}, 404, "none"),
            ({"from": None}, 400, "from is required"),
            ({"model": "a b"}, 400, "is no name"),
            ({"model": "/".join("a" * 100)}, 400, "too long a name"),
            ({"model": "base"}, 400, "not shimmy's to replace"),
            ({"template": "{{ .System }}{{ .Prompt }}"}, 400, "Go's template language"),
            ({"template": "{{- range .Messages }}x{{ end }}"}, 400, "Go's template language"),
            ({"parameters": {"num_gpu": 1}}, 400, "parameters.num_gpu cannot be honoured"),
            ({"parameters": {"temperature": "hot"}}, 400, "parameters.temperature"),
            ({"parameters": {"num_ctx": 1.5}}, 400, "parameters.num_ctx must be"),
            ({"parameters": {"stop": [""]}}, 400, "parameters.stop"),
            ({"parameters": 3}, 400, "parameters must be"),
            ({"messages": [{"role": "robot"}]}, 400, "messages[0].role"),
            ({"adapters": {"a.gguf": "sha256:0"}}, 400, "adapters is not supported"),
            ({"quantize": "q4_K_M"}, 400, "quantize is not supported"),
            ({"modelfile": "FROM x"}, 400, "modelfile is not supported"),
        ],
    )
    def test_what_cannot_be_honoured(self, server: Any, fields: dict[str, Any], status: int, named: str) -> None:
        answer = create(server, fields.pop("model", "new"), **fields)
        assert answer.status_code == status, answer.text
        assert named in answer.json()["error"]
        assert names(server) == ["base"]


def test_what_files_say_of_themselves(server: Any, tmp_path: Path) -> None:
    template = "{% if tools %}{{ tools }}{% endif %}{% if enable_thinking %}<think>{% endif %}"
    fields = {
        "tokenizer.chat_template": template,
        "tokenizer.ggml.fim_mid_token_id": 7,
        "tokenizer.ggml.tokens": ["a", "b"],
        "general.license": "apache-2.0",
    }
    write_model(tmp_path / "found" / "able.gguf", fields)
    server.http.post("/api/models/discover")
    (told,) = [model for model in server.http.get("/api/tags").json()["models"] if model["name"] == "able"]
    assert told["details"]["context_length"] == 2048
    shown = server.http.post("/api/show", json={"model": "able"}).json()
    assert shown["capabilities"] == told["capabilities"] == ["completion", "tools", "insert", "thinking"]
    assert (shown["template"], shown["license"]) == (template, "apache-2.0")
    assert shown["model_info"]["llama.context_length"] == 2048
    assert shown["model_info"]["tokenizer.ggml.tokens"] is None
    assert str(tmp_path) not in json.dumps(shown)
    shown = server.http.post("/api/show", json={"name": "able", "verbose": True}).json()
    assert shown["model_info"]["tokenizer.ggml.tokens"] == ["a", "b"]


class TestBlobs:
    def send(self, server: Any, data: bytes, digest: str | None = None) -> httpx.Response:
        return server.http.post(f"/api/blobs/{digest or digest_of(data)}", content=data)

    def test_a_model_of_a_file_that_was_sent(self, server: Any, library: Library) -> None:
        path = f"/api/blobs/{digest_of(MODEL)}"
        assert server.http.head(path).status_code == 404
        assert (self.send(server, MODEL).status_code, self.send(server, MODEL).status_code) == (201, 200)
        assert server.http.head(path).status_code == 200
        answer = create(server, "mine", **{"from": None, "files": {"m.gguf": digest_of(MODEL)}, "system": "Be brief."})
        assert answer.json() == {"status": "success"}
        assert chat(server, "mine").prompt.messages[0]["content"] == "Be brief."
        delete(server, "mine")
        assert server.http.head(path).status_code == 404

    def test_large_ones_come_in_pieces(self, server: Any, library: Library) -> None:
        data = bytes(9_000_000)

        def pieces() -> Iterator[bytes]:
            for at in range(0, len(data), 1_000_000):
                yield data[at : at + 1_000_000]

        answer = server.http.post(f"/api/blobs/{digest_of(data)}", content=pieces())
        assert answer.status_code == 201
        assert library.file(f"blobs/{digest_of(data).replace(':', '-')}").stat().st_size == len(data)

    def test_another_content_than_it_says(self, server: Any, library: Library) -> None:
        answer = self.send(server, b"data", digest_of(b"other"))
        assert (answer.status_code, "not the one it was sent as" in answer.json()["error"]) == (400, True)
        assert list((library.folder / "blobs").iterdir()) == []

    @pytest.mark.parametrize(
        "digest", ["sha256:0", "sha256:" + "G" * 64, "md5:" + "0" * 64, "..", "sha256:" + "0" * 65]
    )
    def test_digests_that_are_none(self, server: Any, library: Library, digest: str) -> None:
        assert self.send(server, b"data", digest.replace("..", "%2e%2e")).status_code in (400, 404)
        assert not library.folder.exists()

    @pytest.mark.parametrize(
        ("files", "status", "named"),
        [
            ({"m.gguf": "sha256:" + "0" * 64}, 404, "was not sent"),
            ({"m.gguf": "../x"}, 400, "is no digest"),
            ({"a.gguf": "x", "b.gguf": "y"}, 400, "one GGUF file"),
            ({"m.gguf": digest_of(b"no model")}, 400, "m.gguf is no model"),
            ({"m.gguf": digest_of(adapter_bytes())}, 400, "of kind adapter"),
        ],
    )
    def test_files_that_make_no_model(
        self, server: Any, tmp_path: Path, files: dict[str, str], status: int, named: str
    ) -> None:
        self.send(server, b"no model")
        self.send(server, adapter_bytes())
        answer = create(server, "mine", **{"from": None, "files": files})
        assert (answer.status_code, named in answer.json()["error"]) == (status, True), answer.text
        assert str(tmp_path) not in answer.text


class TestCopyAndDelete:
    def test_an_alias(self, server: Any) -> None:
        answer = server.http.post("/api/copy", json={"source": "base", "destination": "me/alias:v1"})
        assert (answer.status_code, answer.content) == (200, b"")
        chat(server, "base")
        chat(server, "me/alias:v1")
        assert len(server.engines) == 1
        assert delete(server, "me/alias:v1").status_code == 200
        assert names(server) == ["base"]
        assert server.engine.alive

    def test_a_pulled_model_under_another_name(self, server: Any, library: Library) -> None:
        pull(server, "llama3:8b", stream=False)
        server.http.post("/api/copy", json={"source": "llama3:8b", "destination": "mine"})
        assert delete(server, "llama3:8b").status_code == 200
        assert "llama3:8b" not in names(server)
        assert chat(server, "mine").prompt.messages[0]["content"] == "Be brief."
        engine = server.engine
        assert delete(server, "mine:latest").status_code == 200
        server.wait_until(lambda: not engine.alive)
        assert not [path for path in library.folder.rglob("*") if path.is_file()]
        assert delete(server, "mine").status_code == 404

    def test_files_of_others_are_not_deleted(self, server: Any, tmp_path: Path) -> None:
        answer = delete(server, "base")
        assert answer.status_code == 400
        assert "was not downloaded or created by shimmy" in answer.json()["error"]
        assert str(tmp_path) not in answer.text
        assert (tmp_path / "found" / "base.gguf").exists()

    @pytest.mark.parametrize(
        ("fields", "status"),
        [
            ({"source": "none", "destination": "x"}, 404),
            ({"source": "base", "destination": "../x"}, 400),
            ({"source": "base"}, 400),
            ({"source": "base", "destination": "base"}, 200),
        ],
    )
    def test_copies(self, server: Any, fields: dict[str, Any], status: int) -> None:
        assert server.http.post("/api/copy", json=fields).status_code == status
        assert names(server) == ["base"]

    def test_a_base_that_has_gone(self, server: Any, tmp_path: Path) -> None:
        create(server, "mario", system="x")
        shutil.rmtree(tmp_path / "found")
        server.http.post("/api/models/discover")
        assert "mario" not in names(server)


def test_only_who_may_manage_models_changes_them(start_server: Any, tmp_path: Path) -> None:
    keys = tmp_path / "keys.toml"
    keys.write_text('[app]\nkey = "long-enough-key"\nscopes = ["infer"]\n')
    with start_server(Settings(bind="127.0.0.1:0", api_keys=keys)) as server:
        headers = {"authorization": "Bearer long-enough-key"}
        for method, path in (
            ("POST", "/api/pull"),
            ("POST", "/api/create"),
            ("POST", "/api/copy"),
            ("DELETE", "/api/delete"),
        ):
            answer = server.http.request(method, path, json={"model": "x"}, headers=headers)
            assert answer.status_code == 403, path
