"""JSON schemas: by hand one or more per keyword, and generated ones with a seed (see test_grammar_json)."""

from __future__ import annotations

import random
from typing import Any

Schema = dict[str, Any]


def closed(properties: dict[str, Any], *required: str, **more: Any) -> Schema:
    return {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
        **more,
    }


TREE: Schema = {
    "$ref": "#/$defs/node",
    "$defs": {
        "node": closed(
            {"value": {"type": "integer"}, "next": {"anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}},
            "value",
            "next",
        )
    },
}

# Supported by the compiler: every output validates.
ACCEPTED: list[Schema] = [
    {"type": "string"},
    {"type": "integer"},
    {"type": "number"},
    {"type": "boolean"},
    {"type": "null"},
    {"type": "object"},
    {"type": "array"},
    {},
    {"type": ["string", "null"]},
    {"type": ["integer", "boolean", "array"]},
    {"enum": ["a", 1, None, True, 2.5, {"x": [1]}, ["y"]]},
    {"enum": ["é", '"', "\\", "\n", "🦊", ""]},
    {"const": "yes"},
    {"const": {"a": [1, 2, {"b": None}]}},
    {"type": "string", "minLength": 2, "maxLength": 5},
    {"type": "string", "minLength": 3},
    {"type": "string", "maxLength": 0},
    {"type": "string", "pattern": "^[a-z]{2,4}-[0-9]+$"},
    {"type": "string", "pattern": "^(foo|bar)?$"},
    {"type": "string", "pattern": "x"},
    {"type": "string", "pattern": "^\\d{3}$"},
    *({"type": "string", "format": name} for name in ("date", "time", "date-time", "duration", "email", "hostname")),
    *({"type": "string", "format": name} for name in ("ipv4", "ipv6", "uuid", "uri")),
    {"type": "integer", "minimum": 3, "maximum": 17},
    {"type": "integer", "exclusiveMinimum": -5, "exclusiveMaximum": 5},
    {"type": "integer", "minimum": 1000},
    {"type": "integer", "maximum": -1},
    {"type": "integer", "multipleOf": 7},
    {"type": "integer", "multipleOf": 5, "minimum": 0, "maximum": 100},
    {"type": "number", "minimum": 0.5, "maximum": 1.5},
    {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
    {"type": "array", "items": {"type": "integer"}},
    {"type": "array", "items": {"type": "string"}, "minItems": 2, "maxItems": 3},
    {"type": "array", "maxItems": 0},
    {"type": "array", "prefixItems": [{"type": "string"}, {"type": "integer"}], "items": False, "minItems": 2},
    {"type": "array", "prefixItems": [{"const": 1}], "items": {"type": "null"}},
    {"type": "array", "items": {"type": "array", "items": {"type": "boolean"}}},
    closed({}),
    closed({"a": {"type": "string"}, "b": {"type": "integer"}}, "a"),
    closed({"a": {"type": "string"}, "b": {"type": "integer"}}, "a", "b"),
    closed({"a": True, "b": {"type": "null"}}, "b"),
    {"type": "object", "additionalProperties": {"type": "integer"}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "additionalProperties": {"type": "string"}},
    {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a", "z"]},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}}, "additionalProperties": False},
    {"type": "object", "patternProperties": {"^x": {"type": "integer"}, "^y": {"type": "string"}}},
    {"type": "object", "minProperties": 1, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "maxProperties": 1, "additionalProperties": {"type": "boolean"}},
    {"type": "object", "maxProperties": 0},
    {"anyOf": [{"type": "string"}, {"type": "integer"}]},
    {"anyOf": [closed({"a": {"const": 1}}, "a"), closed({"b": {"const": 2}}, "b")]},
    {"oneOf": [{"type": "string"}, {"type": "null"}]},
    {"oneOf": [closed({"kind": {"const": "a"}}, "kind"), closed({"kind": {"const": "b"}, "n": {}}, "kind")]},
    {"allOf": [{"type": "integer", "minimum": 2}, {"maximum": 9}]},
    {"allOf": [{"properties": {"a": {"type": "integer"}}, "required": ["a"]}, {"type": "object"}]},
    {"$ref": "#/$defs/x", "$defs": {"x": {"enum": [1, 2]}}},
    {"$ref": "#/definitions/x", "definitions": {"x": {"type": "boolean"}}},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"type": "null"}}},
    TREE,
    {"type": "array", "items": TREE["$defs"]["node"], "$defs": TREE["$defs"], "maxItems": 1},
    {"title": "t", "description": "d", "default": 1, "examples": [2], "$comment": "c", "type": "integer"},
    {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "boolean"},
    {"$schema": "http://json-schema.org/draft-07/schema#", "type": "array", "items": [{"const": 1}], "minItems": 1},
]

# Not supported: an error that names what stands beside it.
REFUSED: list[tuple[Schema, str]] = [
    ({"type": "array", "uniqueItems": True}, "uniqueItems"),
    ({"type": "array", "contains": {"type": "integer"}}, "contains"),
    ({"not": {"type": "integer"}}, "not"),
    ({"if": {"type": "integer"}, "then": {"minimum": 1}}, "if"),
    ({"type": "object", "propertyNames": {"pattern": "^a"}}, "propertyNames"),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, "dependentRequired"),
    ({"type": "object", "dependentSchemas": {"a": {"required": ["b"]}}}, "dependentSchemas"),
    ({"type": "object", "dependencies": {"a": ["b"]}}, "dependencies"),
    ({"type": "object", "unevaluatedProperties": False}, "unevaluatedProperties"),
    ({"type": "array", "unevaluatedItems": False}, "unevaluatedItems"),
    ({"type": "object", "minProperties": 2}, "minProperties"),
    ({"type": "object", "properties": {"a": {"not": {}}}}, "#/properties/a/not"),
    ({"x-guidance": {"lenient": True}, "type": "object"}, "x-guidance"),
    ({"type": "string", "format": "no-such-format"}, "no-such-format"),
    ({"type": "string", "pattern": "(?=a)b"}, "json_schema"),
    ({"type": "string", "pattern": "("}, "json_schema"),
    ({"type": "nonsense"}, "json_schema"),
    ({"$ref": "#/$defs/missing"}, "json_schema"),
    ({"$ref": "https://example.com/schema"}, "json_schema"),
    ({"type": "integer", "minimum": 5, "maximum": 4}, "json_schema"),
    ({"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 3}]}, "json_schema"),
]


def generated_schema(rng: random.Random, depth: int = 0) -> Schema:
    """A schema that the compiler should support, of moderate size."""
    kinds = ["string", "integer", "number", "boolean", "null", "enum", "const"]
    if depth < 3:
        kinds += ["object", "object", "object", "array", "array", "anyOf", "map"]
    kind = rng.choice(kinds)
    if kind == "object":
        names = rng.sample(["id", "name", "tags", "größe", "a b", 'q"', "x-y", "n1"], rng.randint(0, 4))
        schema = closed({name: generated_schema(rng, depth + 1) for name in names})
        schema["required"] = [name for name in names if rng.random() < 0.6]
        if rng.random() < 0.2:
            schema["additionalProperties"] = generated_schema(rng, 3)
        return schema
    if kind == "map":
        return {"type": "object", "additionalProperties": generated_schema(rng, 3)}
    if kind == "array":
        low = rng.randint(0, 2)
        schema = {"type": "array", "items": generated_schema(rng, depth + 1), "minItems": low}
        if rng.random() < 0.7:
            schema["maxItems"] = low + rng.randint(0, 3)
        return schema
    if kind == "anyOf":
        return {"anyOf": [generated_schema(rng, depth + 1) for _ in range(rng.randint(1, 3))]}
    if kind == "enum":
        return {"enum": rng.sample(["a", "b", "ä", 1, 2.5, None, True, [], {"k": 1}], rng.randint(1, 4))}
    if kind == "const":
        return {"const": rng.choice(["fixed", 7, None, ["x", 1], {"deep": {"er": False}}])}
    if kind == "string":
        options: list[Schema] = [
            {},
            {"minLength": rng.randint(0, 3), "maxLength": rng.randint(3, 12)},
            {"pattern": rng.choice(["^[A-Z]{3}$", "^a+b*$", "[0-9]", "^(yes|no)$", "^.{1,5}$"])},
            {"format": rng.choice(["date", "ipv4", "uuid", "time"])},
        ]
        return {"type": "string", **rng.choice(options)}
    if kind in ("integer", "number"):
        low = rng.randint(-1000, 1000)
        options = [{}, {"minimum": low}, {"maximum": low}, {"minimum": low, "maximum": low + rng.randint(0, 500)}]
        return {"type": kind, **rng.choice(options)}
    return {"type": kind}


def corpus(n_generated: int, seed: int) -> list[Schema]:
    rng = random.Random(seed)
    return ACCEPTED + [generated_schema(rng) for _ in range(n_generated)]
