"""What an output has to look like: the value that requests carry, and where the library that enforces it is.

The strict subset is that of OpenAI's structured outputs: every object lists all of its properties as required and
allows no others, and nothing is left to chance by an unknown keyword.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError, ModelLoadError

STRICT_KEYWORDS = frozenset(
    [
        "type",
        "enum",
        "const",
        "properties",
        "required",
        "additionalProperties",
        "items",
        "prefixItems",
        "anyOf",
        "$ref",
        "$defs",
        "definitions",
        "title",
        "description",
        "default",
        "examples",
        "$schema",
        "$id",
        "$comment",
        "pattern",
        "format",
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minItems",
        "maxItems",
        "minLength",
        "maxLength",
    ]
)
MAX_SCHEMA_DEPTH = 64


class GrammarSpec(msgspec.Struct, kw_only=True, frozen=True, omit_defaults=True):
    """What the whole output has to look like: exactly one of the first six.

    `json_schema` is a schema (an object); `json_object` any JSON object; `regex` a pattern in the syntax of Rust's
    regex crate that the whole output matches; `choice` the texts of which the output is one; `lark` a grammar in
    llguidance's dialect of Lark; `gbnf` one in llama.cpp's format. `strict` also refuses schemas outside of OpenAI's
    strict subset. `any_whitespace`: JSON may hold a blank, or a line break indented with up to 20 blanks or 20 tabs,
    wherever JSON allows them: all that serialisers print, and little to ramble in. Else it holds none.
    """

    json_schema: dict[str, Any] | None = None
    json_object: bool = False
    regex: str | None = None
    choice: list[str] | None = None
    lark: str | None = None
    gbnf: str | None = None
    strict: bool = False
    any_whitespace: bool = True

    def kind(self) -> str:
        """The name of the one field that is set. Raises InvalidRequestError when there is none or more than one."""
        given = [name for name in ("json_schema", "regex", "choice", "lark", "gbnf") if getattr(self, name) is not None]
        given += ["json_object"] * self.json_object
        if len(given) != 1:
            found = f"{', '.join(given)} are given" if given else "none is given"
            raise InvalidRequestError(
                f"{found}: a grammar is exactly one of json_schema, json_object, regex, choice, lark and gbnf",
                given[1] if given else None,
            )
        if self.strict and given[0] != "json_schema":
            raise InvalidRequestError("strict is for json_schema only", "strict")
        return given[0]

    def text(self) -> str:
        """What `_core.GrammarCompiler.compile` takes as `text`. Raises what `kind` and `check_strict` raise."""
        kind = self.kind()
        if kind == "json_schema":
            if self.strict:
                check_strict(self.json_schema)
            try:
                return msgspec.json.encode(self.json_schema).decode()
            except (TypeError, ValueError, RecursionError) as error:
                raise InvalidRequestError(f"json_schema is not JSON: {error}", "json_schema") from error
        return "" if kind in ("json_object", "choice") else str(getattr(self, kind))


def check_strict(schema: Any) -> None:
    """Raise InvalidRequestError, naming the keyword and its path, unless the schema is of OpenAI's strict subset."""
    if not isinstance(schema, dict) or schema.get("type") != "object":
        raise InvalidRequestError("json_schema with strict must be of type object at its root", "json_schema")
    todo: list[tuple[str, Any, int]] = [("#", schema, 0)]
    while todo:
        path, node, depth = todo.pop()
        if depth > MAX_SCHEMA_DEPTH:
            raise InvalidRequestError(f"json_schema is nested more than {MAX_SCHEMA_DEPTH} levels deep", "json_schema")
        if not isinstance(node, dict):
            raise InvalidRequestError(f"json_schema with strict needs an object at {path}", "json_schema")
        check_strict_object(path, node)
        for name in ("properties", "$defs", "definitions"):
            children = node.get(name, {})
            if not isinstance(children, dict):
                raise InvalidRequestError(f"{name} must be an object, at {path}", "json_schema")
            todo += [(f"{path}/{name}/{key}", child, depth + 1) for key, child in children.items()]
        for name in ("anyOf", "prefixItems"):
            children = node.get(name, [])
            if not isinstance(children, list):
                raise InvalidRequestError(f"{name} must be an array, at {path}", "json_schema")
            todo += [(f"{path}/{name}/{index}", child, depth + 1) for index, child in enumerate(children)]
        if "items" in node and node["items"] is not False:
            todo.append((f"{path}/items", node["items"], depth + 1))


def check_strict_object(path: str, node: dict[str, Any]) -> None:
    """The rules of the strict subset for one schema, without those in it."""
    unknown = sorted(set(node) - STRICT_KEYWORDS)
    if unknown:
        raise InvalidRequestError(f"the keyword {unknown[0]} is not allowed with strict, at {path}", "json_schema")
    types = node.get("type")
    is_object = types == "object" or (isinstance(types, list) and "object" in types) or "properties" in node
    if not is_object:
        return
    if node.get("additionalProperties") is not False:
        raise InvalidRequestError(f"additionalProperties must be false with strict, at {path}", "json_schema")
    properties, required = node.get("properties", {}), node.get("required", [])
    names = set(properties) if isinstance(properties, dict) else set()
    listed = {name for name in required if isinstance(name, str)} if isinstance(required, list) else set()
    if names != listed:
        missing = ", ".join(sorted(names ^ listed))
        raise InvalidRequestError(
            f"required must list every property and no other with strict ({missing}), at {path}", "json_schema"
        )


def llguidance_library() -> str:
    """The path of llguidance's shared library, for `_core.GrammarCompiler`. Nothing of it is imported.

    Raises ModelLoadError when the package is not installed.
    """
    found = importlib.util.find_spec("llguidance")
    folders = (found.submodule_search_locations or []) if found else []
    for folder in folders:
        for name in ("_lib.abi3.so", "_lib.pyd"):
            path = Path(folder) / name
            if path.exists():
                return str(path)
    raise ModelLoadError("structured output needs llguidance: pip install 'llguidance>=1.9.1,<1.10'")
