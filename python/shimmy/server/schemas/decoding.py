"""Request bytes to a struct, with errors that name the field."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from shimmy.errors import InvalidRequestError
from shimmy.server.schemas.json_size import MAX_NODES, check_counts

Body = TypeVar("Body", bound=msgspec.Struct)
Value = TypeVar("Value")

MAX_DEPTH = 64

_KINDS = {"int": "an integer", "float": "a number", "str": "a string", "bool": "true or false"}
_KINDS |= {"array": "a list", "object": "an object", "null": "null"}


def decode(body: bytes, kind: type[Body]) -> Body:
    """`body` as `kind`. InvalidRequestError for bad UTF-8, bad JSON, and fields of a wrong type or out of range."""
    return decode_value(body, kind)


def decode_value(body: bytes, kind: type[Value]) -> Value:
    """As `decode`, for any type of JSON value. Also for more values than anyone can mean (`check_counts`)."""
    check_counts(body)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from error
    except msgspec.DecodeError as error:
        raise InvalidRequestError(f"the request body is not valid JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise InvalidRequestError("the request body is not valid UTF-8") from error
    except RecursionError as error:
        raise InvalidRequestError(f"the request body is nested more than {MAX_DEPTH} levels deep") from error


def convert(value: Any, kind: type[Body]) -> Body:
    """JSON that was decoded already, as `kind`. InvalidRequestError as `decode`."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from error


def decode_query(query: Mapping[str, str], kind: type[Body]) -> Body:
    """The parameters after the question mark, as `decode`; numbers and true or false may be text, null may not."""
    try:
        found = msgspec.convert(dict(query), kind, strict=False)
    except msgspec.ValidationError as error:
        raise _invalid_field(str(error)) from error
    for name, value in query.items():
        if value.lower() == "null" and getattr(found, name, value) is None:
            raise InvalidRequestError(f"{name} must not be {value!r}: leave it out instead", name)
    return found


def check_size(value: Any, param: str) -> None:
    """Refuse free-form JSON that is too deep or too large for those who walk it later."""
    level, nodes = [value], 0
    for _ in range(MAX_DEPTH):
        below: list[Any] = []
        for item in level:
            if isinstance(item, dict):
                below += item.values()
            elif isinstance(item, list):
                below += item
        nodes += len(below)
        if nodes > MAX_NODES:
            raise InvalidRequestError(f"{param} holds more than {MAX_NODES} values", param)
        if not below:
            return
        level = below
    raise InvalidRequestError(f"{param} is nested more than {MAX_DEPTH} levels deep", param)


def _invalid_field(message: str) -> InvalidRequestError:
    """msgspec's "Expected `int | null`, got `str` - at `$.max_tokens`" in our words."""
    reason, _, place = message.partition(" - at ")
    param = re.sub(r"^.*`\$\.?", "", place).rstrip("`").replace("[...]", "[]") or None
    key = "a key of " if place.startswith("`key`") else ""
    if missing := re.fullmatch(r"Object missing required field `(\w+)`", reason):
        name = f"{param}.{missing[1]}" if param else missing[1]
        return InvalidRequestError(f"{name} is required", name)
    if expected := re.fullmatch(r"Expected `([^`]+)`, got `([^`]+)`", reason):
        kinds = [_KINDS.get(kind, kind) for kind in expected[1].split(" | ") if kind != "null"]
        reason = f"must be {' or '.join(kinds)}, got {_KINDS.get(expected[2], expected[2])}"
    elif bound := re.fullmatch(r"Expected `(\w+)` ([<>]=?) (\S+)", reason):
        words = {">=": "at least", "<=": "at most", ">": "more than", "<": "less than"}
        reason = f"must be {words[bound[2]]} {bound[3]}"
    elif length := re.fullmatch(r"Expected `(\w+)` of length ([<>]=?) (\d+)", reason):
        words = {">=": "at least", "<=": "at most"}
        unit = "characters" if length[1] == "str" else "items"
        reason = f"must hold {words[length[2]]} {length[3]} {unit}"
    else:
        reason = f"is invalid: {reason[:1].lower()}{reason[1:]}"
    return InvalidRequestError(f"{key}{param or 'the request body'} {reason}", param)
