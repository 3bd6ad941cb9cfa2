"""The OpenAPI document, made of what the routes declare and of the structs that they decode and encode."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any, NamedTuple

import msgspec
from starlette.routing import BaseRoute, Route

from shimmy.server import context_header
from shimmy.server.auth import is_open, scope_for
from shimmy.server.errors import ErrorShape, anthropic_error, native_error, openai_error, shape_for
from shimmy.server.field_docs import field_docs
from shimmy.server.limits import is_counted
from shimmy.server.operation import EVENTS, JSON, LINES, MODEL_HEADER, Family, Operation, operation_of
from shimmy.server.request_id import ECHOED, OWN
from shimmy.server.schemas.errors import AnthropicError, NativeError, OpenAiError

_ERRORS: dict[ErrorShape, Any] = {openai_error: OpenAiError, anthropic_error: AnthropicError, native_error: NativeError}
_FAMILIES = {
    Family.OPENAI: "What OpenAI's clients know.",
    Family.ANTHROPIC: "What Anthropic's clients know.",
    Family.OLLAMA: "What Ollama's clients know. Streams unless told otherwise.",
    Family.LLAMA_SERVER: "What llama.cpp's server has, for editors and proxies, and reranking.",
    Family.SHIMMY: "shimmy's own.",
}
_PARAMETER = re.compile(r"{(\w+)(?::(\w+))?}")
_ABOUT = (
    "Language models on this machine, for clients of several protocols. Unknown fields are ignored, null means absent. "
    "GET /ws/generate is a WebSocket, which this document cannot describe."
)


class Described(NamedTuple):
    """One method of one route."""

    path: str
    """As the route has it, with the kinds of its parameters."""
    method: str
    operation: Operation
    about: str
    """The handler's docstring, may be empty."""

    @property
    def plain_path(self) -> str:
        """As the document has it."""
        return _PARAMETER.sub(r"{\1}", self.path)


def described(routes: Iterable[BaseRoute]) -> Iterator[Described]:
    """Every method of every route that declares what it does. HEAD goes without saying where GET is."""
    for route in routes:
        if isinstance(route, Route) and (operation := operation_of(route.endpoint)) is not None:
            about = inspect.cleandoc(route.endpoint.__doc__ or "")
            methods = route.methods or set()
            for method in sorted(methods - {"HEAD"} if "GET" in methods else methods):
                yield Described(route.path, method, operation, about)


def document(routes: Iterable[BaseRoute], version: str, *, keyed: bool) -> dict[str, Any]:
    """OpenAPI 3.1 of `routes`. `keyed`: API keys are asked for."""
    every = list(described(routes))
    schemas = _Schemas([one.operation for one in every])
    paths: dict[str, dict[str, Any]] = {}
    for one in every:
        item = paths.setdefault(one.plain_path, {})
        item[one.method.lower()] = _operation(one, schemas, keyed=keyed)
    components: dict[str, Any] = {"schemas": schemas.components, "headers": _HEADERS, "responses": schemas.responses}
    if keyed:
        components["securitySchemes"] = {
            "bearer": {"type": "http", "scheme": "bearer"},
            "header": {"type": "apiKey", "in": "header", "name": "x-api-key"},
        }
    return {
        "openapi": "3.1.0",
        "info": {"title": "shimmy", "version": version, "description": _ABOUT},
        "tags": [{"name": family.value, "description": about} for family, about in _FAMILIES.items()],
        "paths": paths,
        "components": components,
    }


_HEADERS: dict[str, Any] = {
    OWN: {"description": "What the server's log calls this request.", "schema": {"type": "string"}},
    ECHOED: {
        "description": "The request's own header of that name, where that is 1 to 128 letters, digits, `.`, `_` and "
        "`-`; else as `request-id`.",
        "schema": {"type": "string"},
    },
    context_header.NAME: {
        "description": "What of the prompt was kept; only where context_policy is not error. Of a stream that began "
        "with a keep-alive the last usage alone tells it.",
        "schema": {"type": "string"},
        "example": "truncate_middle; prompt=9000; kept=4000; dropped=5000; dropped-messages=12",
    },
    MODEL_HEADER: {
        "description": "The model that answers; only where one was asked for by a name that means one of several.",
        "schema": {"type": "string"},
    },
    "retry-after": {"description": "Seconds after which it is worth trying again.", "schema": {"type": "string"}},
}


class _Schemas:
    """Of all types that operations name; `components` are those that have names of their own."""

    def __init__(self, operations: Sequence[Operation]) -> None:
        taken = [kind for one in operations for kind in _kinds(one.body)]
        asked = [one.query for one in operations if one.query is not None]
        given = [kind for one in operations for answer in one.answers.values() for kind in _kinds(answer)]
        given += _ERRORS.values()
        every = list(dict.fromkeys([*taken, *asked, *given]))
        schemas, self.components = msgspec.json.schema_components(every, ref_template="#/components/schemas/{name}")
        self._of = dict(zip(every, schemas, strict=True))
        self.responses: dict[str, Any] = {}
        for name, docs in field_docs(every).items():
            properties = self.components.get(name, {}).get("properties", {})  # structs of one name have longer ones
            for field in properties.keys() & docs.keys():
                properties[field]["description"] = docs[field]
        self._queries = {query: self.components.pop(query.__name__) for query in set(asked)}
        inward = set(_references([self._of[kind] for kind in taken], self.components))
        for name in set(_references([self._of[kind] for kind in given], self.components)) - inward:
            _require_what_is_always_there(self.components[name])

    def of(self, kind: Any) -> dict[str, Any]:
        """The schema of a type, or of one of several."""
        schemas = [self._of[one] for one in _kinds(kind)]
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}

    def parameters(self, query: type[msgspec.Struct] | None) -> list[dict[str, Any]]:
        """Of a query, each of whose fields is a parameter; null cannot be said in one."""
        if query is None:
            return []
        properties: dict[str, Any] = self._queries[query]["properties"]
        return [_parameter(name, "query", schema) for name, schema in properties.items()]

    def refusal(self, one: Described, status: int) -> dict[str, Any]:
        """A reference to the answer of an error, in the shape that callers of this path know."""
        if one.method == "HEAD":
            return {"description": HTTPStatus(status).phrase}
        kind = _ERRORS[shape_for(one.path)]
        name = f"{kind.__name__}{status}"
        headers = [OWN, ECHOED, *(["retry-after"] if status in (429, 503) else [])]
        self.responses[name] = {
            "description": HTTPStatus(status).phrase,
            "headers": {header: {"$ref": f"#/components/headers/{header}"} for header in headers},
            "content": {JSON: {"schema": self.of(kind)}},
        }
        return {"$ref": f"#/components/responses/{name}"}


def _operation(one: Described, schemas: _Schemas, *, keyed: bool) -> dict[str, Any]:
    operation, path = one.operation, one.path
    success = {
        "description": operation.summary,
        "headers": {name: {"$ref": f"#/components/headers/{name}"} for name in (OWN, ECHOED, *operation.sends)},
        "content": {media: _content(media, schemas.of(kind)) for media, kind in operation.answers.items()},
    }
    out: dict[str, Any] = {
        "operationId": "_".join([one.method.lower(), *re.findall(r"\w+", one.plain_path)]),
        "summary": operation.summary,
        "tags": [operation.family.value],
        "parameters": [
            *(_path_parameter(name, kind) for name, kind in _PARAMETER.findall(path)),
            *schemas.parameters(operation.query),
            *(_parameter(name, "header", {"type": "string"}, about) for name, about in operation.headers.items()),
        ],
        "responses": {
            **{str(status): success for status in operation.statuses},
            **{str(status): schemas.refusal(one, status) for status in sorted(_errors_of(one, keyed))},
        },
    }
    if one.about:
        out["description"] = one.about
    if operation.body is not None:
        content: dict[str, Any] = {"schema": schemas.of(operation.body)} if operation.takes == JSON else {}
        if operation.example:
            example = operation.example
            content["example"] = example if isinstance(example, list) else dict(example)
        out["requestBody"] = {"required": not operation.may_be_empty, "content": {operation.takes: content}}
    if keyed:
        out["security"] = [] if is_open(path) else [{name: [scope_for(path)]} for name in ("bearer", "header")]
    return out


def _errors_of(one: Described, keyed: bool) -> set[int]:
    """Its own, and those of the guards before it."""
    statuses = {403, *one.operation.errors}
    if one.operation.body is not None:
        statuses |= {400, 408, 413}
        if one.operation.takes == JSON:
            statuses.add(503)
    if one.operation.query is not None:
        statuses.add(400)
    if is_counted({"type": "http", "method": one.method, "path": one.path}):
        statuses.add(429)
    if keyed and not is_open(one.path):
        statuses.add(401)
    return statuses


def _content(media_type: str, schema: Mapping[str, Any]) -> dict[str, Any]:
    """Of a stream the schema of each part, by OpenAPI 3.2's rules for it, of which 3.1 has none."""
    if media_type == LINES:
        return {"x-itemSchema": schema}
    if media_type != EVENTS:
        return {"schema": schema}
    data: dict[str, Any] = {"type": "string"}
    if schema != data:
        data |= {"contentMediaType": JSON, "contentSchema": schema}
    fields = {"event": {"type": "string"}, "data": data}
    return {"x-itemSchema": {"type": "object", "properties": fields, "required": ["data"]}}


def _path_parameter(name: str, kind: str) -> dict[str, Any]:
    about = "May hold slashes, also as %2F." if kind == "path" else ""
    return {**_parameter(name, "path", {"type": "string", "minLength": 1}, about), "required": True}


def _parameter(name: str, place: str, schema: Mapping[str, Any], about: str = "") -> dict[str, Any]:
    """Null, the default of what may be left out, cannot be written there."""
    rest = {key: value for key, value in schema.items() if key != "description" and (key, value) != ("default", None)}
    told = about or schema.get("description", "")
    choices = [one for one in rest.get("anyOf", ()) if one != {"type": "null"}]
    out = {"name": name, "in": place, "schema": choices[0] if len(choices) == 1 else rest}
    return {**out, "description": told} if told else out


def _kinds(kind: Any) -> list[Any]:
    return [] if kind is None else list(kind) if isinstance(kind, tuple) else [kind]


def _references(schemas: Iterable[Any], components: Mapping[str, Any]) -> Iterator[str]:
    """The names of all components that `schemas` need."""
    found: set[str] = set()
    waiting = list(schemas)
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            name = str(node.get("$ref", "")).rpartition("/")[2]
            if name and name not in found:
                found.add(name)
                waiting.append(components[name])
                yield name
            waiting += node.values()
        elif isinstance(node, list):
            waiting += node


def _require_what_is_always_there(schema: dict[str, Any]) -> None:
    """What we encode has every field but those that are left out when UNSET, which have no default in a schema."""
    properties: dict[str, Any] = schema.get("properties", {})
    always = [name for name, one in properties.items() if name in schema.get("required", ()) or "default" in one]
    schema["required"] = always
