"""What the output of a request has to look like, from whichever field says it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.grammar import GrammarSpec
from shimmy.server.schemas.decoding import check_size
from shimmy.server.schemas.structure import ResponseFormat, StructureFields

_ENGINE_FIELDS = frozenset(GrammarSpec.__struct_fields__) | {"grammar"}


def grammar_of(fields: StructureFields) -> GrammarSpec | None:
    """The grammar for the engine; None when the request leaves its output free.

    Raises InvalidRequestError, with the client's field as param, for two fields at once and for one that is no grammar.
    """
    given = list(_grammars(fields))
    if not given:
        return None
    (param, spec), *others = given
    if others:
        other = others[0][0]
        raise InvalidRequestError(f"{param} and {other} exclude each other: both say what the output looks like", other)
    try:
        spec.text()
    except InvalidRequestError as error:
        raise at_field(error, fields) from error
    return spec


def at_field(error: InvalidRequestError, fields: StructureFields) -> InvalidRequestError:
    """`error` with the client's field as param, when it names a part of the engine's grammar."""
    if error.param not in _ENGINE_FIELDS:
        return error
    for param, _ in _grammars(fields):
        return InvalidRequestError(error.message, param)
    return error


def _grammars(fields: StructureFields) -> Iterator[tuple[str, GrammarSpec]]:
    """Every grammar of the request with the field that it is from."""
    if fields.response_format is not None:
        spec = _of_response_format(fields.response_format)
        if spec is not None:
            yield "response_format", spec
    outputs = fields.structured_outputs
    if outputs is not None:
        for name in ("json", "regex", "choice", "grammar", "json_object"):
            value = getattr(outputs, name)
            if value is not None and value is not False:
                yield f"structured_outputs.{name}", _spec(name, value, f"structured_outputs.{name}")
    for field, name in (
        ("guided_json", "json"),
        ("guided_regex", "regex"),
        ("guided_choice", "choice"),
        ("guided_grammar", "grammar"),
        ("json_schema", "json"),
        ("grammar", "grammar"),
    ):
        value = getattr(fields, field)
        if value is not None:
            yield field, _spec(name, value, field)


def _spec(name: str, value: Any, param: str) -> GrammarSpec:
    match name:
        case "json":
            return GrammarSpec(json_schema=_schema(value, param))
        case "regex":
            return GrammarSpec(regex=value)
        case "choice":
            return GrammarSpec(choice=value)
        case "json_object":
            return GrammarSpec(json_object=True)
    return GrammarSpec(gbnf=value)


def _of_response_format(wanted: ResponseFormat) -> GrammarSpec | None:
    match wanted.type:
        case "text":
            return None
        case "json_object":
            if wanted.schema is None:
                return GrammarSpec(json_object=True)
            return GrammarSpec(json_schema=_schema(wanted.schema, "response_format"))
        case "json_schema":
            inner = wanted.json_schema
            schema = wanted.schema if inner is None else inner.schema
            if schema is None:
                raise InvalidRequestError("response_format.json_schema.schema is required", "response_format")
            strict = inner is not None and bool(inner.strict)
            return GrammarSpec(json_schema=_schema(schema, "response_format"), strict=strict)
    raise InvalidRequestError(
        f"response_format.type must be text, json_object or json_schema, got {wanted.type!r}", "response_format.type"
    )


def _schema(value: str | dict[str, Any], param: str) -> dict[str, Any]:
    if isinstance(value, str):
        try:
            value = msgspec.json.decode(value, type=dict[str, Any])
        except (msgspec.MsgspecError, RecursionError) as error:
            raise InvalidRequestError(f"{param} must be a JSON schema, an object: {error}", param) from error
    check_size(value, param)
    return value
