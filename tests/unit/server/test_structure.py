"""Every name under which clients say what the output has to look like."""

from __future__ import annotations

from typing import Any

import pytest

from shimmy.grammar import GrammarSpec

SCHEMA = {"type": "object", "properties": {"x": {"type": "integer"}}, "required": ["x"], "additionalProperties": False}
LOOSE = {"type": "object", "properties": {"x": {"type": "integer"}}}
GBNF = 'root ::= "yes" | "no"'


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"response_format": {"type": "text"}}, None),
        ({"response_format": {"type": "json_object"}}, GrammarSpec(json_object=True)),
        ({"response_format": {"type": "json_object", "schema": LOOSE}}, GrammarSpec(json_schema=LOOSE)),
        ({"response_format": {"type": "json_schema", "schema": LOOSE}}, GrammarSpec(json_schema=LOOSE)),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"name": "a", "schema": LOOSE, "strict": None}}},
            GrammarSpec(json_schema=LOOSE),
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA, "strict": True}}},
            GrammarSpec(json_schema=SCHEMA, strict=True),
        ),
        ({"guided_json": LOOSE}, GrammarSpec(json_schema=LOOSE)),
        ({"guided_json": '{"type": "object"}'}, GrammarSpec(json_schema={"type": "object"})),
        ({"guided_regex": "[0-9]+"}, GrammarSpec(regex="[0-9]+")),
        ({"guided_choice": ["yes", "no"]}, GrammarSpec(choice=["yes", "no"])),
        ({"guided_grammar": GBNF}, GrammarSpec(gbnf=GBNF)),
        ({"grammar": GBNF}, GrammarSpec(gbnf=GBNF)),
        ({"json_schema": LOOSE}, GrammarSpec(json_schema=LOOSE)),
        ({"structured_outputs": {"json": LOOSE}}, GrammarSpec(json_schema=LOOSE)),
        ({"structured_outputs": {"regex": "a|b", "choice": None, "json_object": False}}, GrammarSpec(regex="a|b")),
        ({"structured_outputs": {"choice": ["a"]}}, GrammarSpec(choice=["a"])),
        ({"structured_outputs": {"grammar": GBNF}}, GrammarSpec(gbnf=GBNF)),
        ({"structured_outputs": {"json_object": True}}, GrammarSpec(json_object=True)),
        ({"structured_outputs": {}}, None),
    ],
)
@pytest.mark.parametrize("route", ["chat", "text", "native"])
def test_each_name_reaches_the_engine(server: Any, route: str, fields: dict[str, Any], expected: Any) -> None:
    if route == "chat":
        response = server.chat("hi", **fields)
    elif route == "text":
        response = server.http.post("/v1/completions", json={"model": "m", "prompt": "hi", **fields})
    else:
        response = server.generate(prompt="hi", **fields)
    assert response.status_code == 200
    assert server.engine.requests[-1].grammar == expected


def json_schema(**fields: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "a", **fields}}}


@pytest.mark.parametrize(
    ("fields", "param", "words"),
    [
        ({"response_format": {"type": "xml"}}, "response_format.type", "text, json_object or json_schema"),
        ({"response_format": {}}, "response_format.type", "is required"),
        ({"response_format": {"type": "json_schema"}}, "response_format", "schema is required"),
        (json_schema(), "response_format", "schema is required"),
        (json_schema(schema=3), "response_format.json_schema.schema", "must be an object"),
        (json_schema(schema=LOOSE, strict=True), "response_format", "additionalProperties must be false"),
        ({"guided_json": "{"}, "guided_json", "must be a JSON schema"),
        ({"guided_json": "[]"}, "guided_json", "must be a JSON schema"),
        ({"structured_outputs": {"json": "3"}}, "structured_outputs.json", "must be a JSON schema"),
        ({"guided_choice": "yes"}, "guided_choice", "must be a list"),
        ({"guided_choice": ["x"] * 5000}, "guided_choice", "at most 4096"),
        ({"grammar": GBNF, "response_format": {"type": "json_object"}}, "grammar", "exclude each other"),
        ({"guided_regex": "a", "guided_choice": ["a"]}, "guided_choice", "exclude each other"),
        ({"structured_outputs": {"regex": "a", "json": {}}}, "structured_outputs.regex", "exclude each other"),
    ],
)
def test_bad_fields_are_named(server: Any, fields: dict[str, Any], param: str, words: str) -> None:
    response = server.chat("hi", **fields)
    assert response.status_code == 400
    error = response.json()["error"]
    assert error["param"] == param
    assert words in error["message"]


def test_a_deep_schema_is_refused(server: Any) -> None:
    schema: dict[str, Any] = {}
    for _ in range(100):
        schema = {"items": schema}
    for fields in (json_schema(schema=schema), {"guided_json": schema}):
        error = server.chat("hi", **fields).json()["error"]
        assert "nested more than 64 levels" in error["message"]


@pytest.mark.parametrize(
    ("fields", "engine_param", "param"),
    [
        (json_schema(schema=LOOSE), "json_schema", "response_format"),
        ({"grammar": "root ::="}, "gbnf", "grammar"),
        ({"structured_outputs": {"regex": "("}}, "regex", "structured_outputs.regex"),
        (json_schema(schema=LOOSE), "tool_choice", "tool_choice"),
        ({}, "json_schema", "json_schema"),
    ],
)
def test_what_the_engine_refuses_names_the_client_s_field(
    server: Any, fields: dict[str, Any], engine_param: str, param: str
) -> None:
    response = server.chat(f"grammar {engine_param}", **fields)
    assert response.status_code == 400
    assert response.json()["error"]["param"] == param
    assert "unsatisfiable" in response.json()["error"]["message"]
