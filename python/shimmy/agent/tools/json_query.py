"""A part of a JSON value, by a path into it."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta

from shimmy.agent.tool import Tool
from shimmy.agent.value_path import MAX_LENGTH, parse_path
from shimmy.errors import ToolError

MAX_CHARACTERS = 2 << 20
"""Of JSON that comes as a text."""


class Query(msgspec.Struct, forbid_unknown_fields=True):
    data: Annotated[Any, Meta(description="Any JSON value; a text is read as JSON.")]
    path: Annotated[
        str,
        Meta(max_length=MAX_LENGTH, description="Such as items[0].name, $.items[*].price or $..id (at any depth)."),
    ]


def query_json(query: Query) -> dict[str, Any]:
    path = parse_path(query.path)
    data = _read(query.data) if isinstance(query.data, str) else query.data
    if path.single:
        return {"value": path.get(data), "count": 1}
    found = path.find(data)
    return {"value": found, "count": len(found)}


def _read(text: str) -> Any:
    if len(text) > MAX_CHARACTERS:
        raise ToolError(f"data has {len(text)} characters, the limit is {MAX_CHARACTERS}")
    try:
        return msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ToolError(f"data is a text that is no JSON: {error}") from error


json_query = Tool(
    "json_query",
    "Take a part out of JSON: one value by its path, or all that a path with * or .. finds.",
    Query,
    query_json,
)
