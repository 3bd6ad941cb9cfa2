"""JSON schemas made to cost a compiler its stack, its memory or minutes."""

from __future__ import annotations

import json
from typing import Any


def nested(n: int, opening: str, closing: str) -> str:
    return opening * n + '{"type":"string"}' + closing * n


REFUSED_TEXTS = {
    "nested-50000": nested(50_000, '{"type":"object","properties":{"a":', "}}"),
    "anyOf-20000": nested(20_000, '{"anyOf":[', "]}"),
    "nested-5000": nested(5000, '{"type":"array","items":', "}"),
    "enum-100000": json.dumps({"enum": [f"value {i}" for i in range(100_000)]}),
    "unclosed": "{" * 100_000,
    "brackets": "[" * 1_000_000,
    "pattern": json.dumps({"type": "string", "pattern": "a" * 5000}),
    "properties": json.dumps({"type": "object", "properties": {f"p{i}": {} for i in range(5000)}}),
    "backreference": json.dumps({"type": "string", "pattern": r"(a)\1"}),
    "not-json": '{"type": "string",}',
    "text-after": '{"type": "string"} x',
    "nul": '{"type": "string"}\0',
    "number": '{"minimum": 1e999e}',
    "twice": '{"type": "string", "type": "integer"}',
    "true": "true",
    "list": "[]",
    "empty": "",
}
"""Beyond a limit, or no schema at all: refused."""

HEAVY: list[dict[str, Any]] = [
    {"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(2000)}},
    {"enum": [f"value {i}" for i in range(16_000)]},
    {"type": "string", "pattern": "(a{1,1000}){1,1000}"},
    {"type": "string", "pattern": "((a+)+)+$"},
    {"type": "string", "pattern": "(" * 1000 + "a" + ")" * 1000},
    {"type": "string", "pattern": "a{0,1000000000}"},
    {"type": "string", "maxLength": 1_000_000_000},
    {"type": "string", "minLength": 1_000_000_000},
    {"type": "array", "minItems": 1_000_000_000, "items": {}},
    {"$ref": "#"},
    {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}},
    {"allOf": [{"$ref": "#"}]},
    {"properties": [], "required": 5},
    {"type": "object", "properties": {"a": {"pattern": 5}}},
    {"type": {"a": 1}},
    {"enum": "abc"},
    {"multipleOf": 0, "type": "number"},
]
"""Within the limits, or malformed: compiled or refused, both soon."""
