"""The OpenAPI document: whole, valid, and true of examples and streams. What else is answered, schemathesis checks."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from fake_registry import FakeRegistry
from jsonschema import Draft202012Validator
from starlette.routing import BaseRoute, Route

from shimmy.models.adapter_names import MAX_NAME
from shimmy.models.manager import ModelManager
from shimmy.server.app import create_app
from shimmy.server.openapi import document
from shimmy.server.operation import operation_of
from shimmy.settings import Settings

KEY = "a-long-secret"
STREAMED = [
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "think"}], "stream": True}),
    ("/v1/chat/completions", {"messages": [{"role": "user", "content": "tool f"}], "stream": True, "logprobs": True}),
    ("/v1/completions", {"prompt": "a b c", "stream": True, "stream_options": {"include_usage": True}, "logprobs": 2}),
    ("/v1/responses", {"input": "think", "stream": True}),
    ("/v1/messages", {"messages": [{"role": "user", "content": "tool f"}], "max_tokens": 9, "stream": True}),
    ("/completion", {"prompt": "a b c", "stream": True, "n_probs": 1}),
    ("/api/chat", {"messages": [{"role": "user", "content": "think"}]}),
    ("/api/generate", {"prompt": "a b c", "options": {}}),
]


def routes(settings: Settings) -> list[BaseRoute]:
    async def never(*_: Any) -> Any:
        raise AssertionError("no model is asked for")

    return create_app(ModelManager(FakeRegistry(), never), settings).routes  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def plain() -> dict[str, Any]:
    made = document(routes(Settings(bind="127.0.0.1:0")), "1.2.3", keyed=False)
    return json.loads(json.dumps(made))


@pytest.fixture(scope="module")
def keyed() -> dict[str, Any]:
    return document(routes(Settings(bind="127.0.0.1:0", api_key=KEY)), "1.2.3", keyed=True)


def operations(made: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in made["paths"].items():
        for method, operation in item.items():
            yield path, method, operation


def check(made: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    """That the value is what a schema of the document says."""
    Draft202012Validator({**schema, "components": made["components"]}).validate(value)


def test_every_route_declares_what_it_does() -> None:
    every = [one for one in routes(Settings(bind="127.0.0.1:0")) if isinstance(one, Route)]
    silent = [one.path for one in every if operation_of(one.endpoint) is None]
    assert every
    assert not silent, f"give their handlers an @Operation: {silent}"


def test_it_is_valid(plain: dict[str, Any], keyed: dict[str, Any]) -> None:
    for made in (plain, keyed):
        schemathesis.openapi.from_dict(made).validate()
        for schema in made["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
    ids = [operation["operationId"] for _, _, operation in operations(plain)]
    assert len(ids) == len(set(ids))


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        yield from [node["$ref"]] if "$ref" in node else []
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def test_every_reference_leads_somewhere_and_every_component_is_needed(plain: dict[str, Any]) -> None:
    found = set(references(plain))
    there = {f"#/components/{kind}/{name}" for kind, all_ in plain["components"].items() for name in all_}
    assert found == there


def test_the_server_serves_it(server: Any, plain: dict[str, Any]) -> None:
    answer = server.http.get("/openapi.json")
    assert answer.headers["content-type"] == "application/json"
    served = answer.json()
    assert served["info"].pop("version")
    plain["info"].pop("version", None)
    assert served == plain


def test_a_field_is_described_by_its_docstring(plain: dict[str, Any]) -> None:
    schemas = plain["components"]["schemas"]
    assert schemas["ResponseObject"]["properties"]["created_at"]["description"] == "Unix time in seconds."
    inherited = schemas["ChatCompletionRequest"]["properties"]["seed"]
    assert inherited["description"] == "-1 and null mean a random one."
    assert inherited["anyOf"] == [{"type": "integer"}, {"type": "null"}]


def test_what_we_always_send_is_required_and_what_clients_may_leave_out_is_not(plain: dict[str, Any]) -> None:
    schemas = plain["components"]["schemas"]
    assert schemas["ChatCompletionRequest"]["required"] == ["model", "messages"]
    assert set(schemas["MessageOut"]["required"]) == {"role", "content", "refusal"}


def test_parameters_of_paths_and_queries(plain: dict[str, Any]) -> None:
    (name, force) = plain["paths"]["/api/models/{name}"]["delete"]["parameters"]
    assert (name["in"], name["required"], "slashes" in name["description"]) == ("path", True, True)
    assert (force["in"], force["schema"]) == ("query", {"type": "boolean", "default": False})
    (model,) = plain["paths"]["/props"]["get"]["parameters"]
    assert (model["schema"], "required" in model) == ({"type": "string", "maxLength": MAX_NAME}, False)


def test_every_name_of_a_model_is_bounded(plain: dict[str, Any]) -> None:
    names = {"model", "source", "destination", "from"}
    requests = [one["requestBody"] for _, _, one in operations(plain) if "requestBody" in one]
    found = 0
    for reference in set(references(requests)):
        component = plain["components"]["schemas"][reference.rpartition("/")[2]]
        for name in names & component.get("properties", {}).keys():
            schema = component["properties"][name]
            kinds = [one for one in schema.get("anyOf", [schema]) if one.get("type") == "string"]
            assert [one.get("maxLength") for one in kinds] == [MAX_NAME], (reference, name)
            found += 1
    assert found > 15


@pytest.mark.parametrize(
    ("path", "shape"),
    [("/v1/completions", "OpenAiError"), ("/v1/messages", "AnthropicError"), ("/api/chat", "NativeError")],
)
def test_errors_have_the_shape_of_their_family(plain: dict[str, Any], server: Any, path: str, shape: str) -> None:
    responses = plain["paths"][path]["post"]["responses"]
    assert set(responses) == {"200", "400", "403", "404", "408", "413", "429", "502", "503"}
    assert responses["429"] == {"$ref": f"#/components/responses/{shape}429"}
    assert "retry-after" in plain["components"]["responses"][f"{shape}429"]["headers"]
    check(plain, {"$ref": f"#/components/schemas/{shape}"}, server.http.post(path, json={}).json())


def test_keys_are_asked_for_where_they_are_set_up(plain: dict[str, Any], keyed: dict[str, Any]) -> None:
    assert "securitySchemes" not in plain["components"]
    assert all("security" not in operation for _, _, operation in operations(plain))
    assert set(keyed["components"]["securitySchemes"]) == {"bearer", "header"}
    paths = keyed["paths"]
    assert paths["/v1/completions"]["post"]["security"] == [{"bearer": ["infer"]}, {"header": ["infer"]}]
    assert paths["/diag"]["get"]["security"][0] == {"bearer": ["admin"]}
    assert paths["/openapi.json"]["get"]["security"] == []
    assert "401" in paths["/v1/completions"]["post"]["responses"]
    assert "401" not in paths["/health"]["get"]["responses"]


def test_whoever_has_no_key_can_read_it(start_server: Any) -> None:
    with start_server(Settings(bind="127.0.0.1:0", api_key=KEY)) as server:
        assert server.http.get("/openapi.json").status_code == 200
        assert server.http.get("/v1/models").status_code == 401


def test_examples_are_what_their_routes_take(plain: dict[str, Any]) -> None:
    for path, _, operation in operations(plain):
        content = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        if "example" in content:
            check(plain, content["schema"], content["example"])
        else:
            assert not content or path == "/api/tools/{name}/execute", f"{path} has no example"


@pytest.mark.parametrize(("path", "body"), STREAMED, ids=[path for path, _ in STREAMED])
def test_every_part_of_a_stream_is_as_described(
    plain: dict[str, Any], server: Any, events: Any, path: str, body: dict[str, Any]
) -> None:
    answer = server.http.post(path, json={"model": "m", **body})
    media_type = answer.headers["content-type"]
    described = plain["paths"][path]["post"]["responses"]["200"]["content"][media_type]["x-itemSchema"]
    if media_type == "application/x-ndjson":
        parts = [json.loads(line) for line in answer.text.splitlines()]
    else:
        described = described["properties"]["data"]["contentSchema"]
        parts = [part for part in events(answer) if part != "[DONE]"]
    assert len(parts) > 2
    for part in parts:
        check(plain, described, part)
