"""JSON schemas: what is written under one validates, and what cannot be promised is refused."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from typing import Any

import pytest
from grammar_walk import compiler, matcher, random_output, takes
from jsonschema.validators import Draft202012Validator, validator_for
from schema_corpus import ACCEPTED, REFUSED, corpus

from hostile_schemas import HEAVY, REFUSED_TEXTS
from shimmy import _core
from shimmy.errors import InvalidRequestError
from shimmy.grammar import GrammarSpec

SEED = 20_240
REFUSAL_SECONDS = 0.05  # of processor time
COMPILE_SECONDS = 0.25  # the compiler's own limit
SLOW_BUILD = 4  # how much longer a slow machine or build may take


def check(schema: dict[str, Any], text: str) -> None:
    cls = validator_for(schema, default=Draft202012Validator)
    cls(schema, format_checker=cls.FORMAT_CHECKER).validate(json.loads(text))


def test_every_output_validates() -> None:
    schemas = corpus(460, SEED)
    assert len(schemas) >= 500
    ended = refused = 0
    for index, schema in enumerate(schemas):
        try:
            start = matcher("json_schema", json.dumps(schema), any_whitespace=index % 2 == 0)
        except InvalidRequestError:
            refused += 1
            assert index >= len(ACCEPTED), schema
            continue
        text = random_output(start, index)
        if text is not None:
            ended += 1
            check(schema, text)
    assert refused <= 5
    assert ended >= 0.95 * len(schemas)


@pytest.mark.parametrize(("schema", "names"), REFUSED, ids=lambda value: json.dumps(value)[:40])
def test_what_is_not_supported_is_refused(schema: dict[str, Any], names: str) -> None:
    with pytest.raises(InvalidRequestError) as caught:
        compiler().compile("json_schema", json.dumps(schema))
    assert names in str(caught.value)
    assert caught.value.param == "json_schema"


@pytest.mark.parametrize("text", REFUSED_TEXTS.values(), ids=REFUSED_TEXTS.keys())
def test_hostile_schemas_are_refused(text: str, record_property: Callable[[str, object], None]) -> None:
    spent = []
    for n_blanks in range(3):  # each is another text for caches
        started = time.process_time()
        with pytest.raises(InvalidRequestError):
            compiler().compile("json_schema", text + " " * n_blanks)
        spent.append(time.process_time() - started)
    record_property("processor_seconds", min(spent))
    assert min(spent) < SLOW_BUILD * REFUSAL_SECONDS


@pytest.mark.parametrize("schema", HEAVY, ids=lambda schema: json.dumps(schema)[:50])
def test_heavy_and_malformed_schemas_compile_or_are_refused(schema: dict[str, Any]) -> None:
    spent = []
    for n_blanks in range(3):  # each is another text for caches; other threads of the process count too
        started = time.process_time()
        try:
            start = matcher("json_schema", json.dumps(schema) + " " * n_blanks)
        except InvalidRequestError as error:
            assert error.param == "json_schema"
        else:
            start.forced()
        spent.append(time.process_time() - started)
    assert min(spent) < SLOW_BUILD * COMPILE_SECONDS


def test_whitespace_is_bounded_or_absent() -> None:
    schema = json.dumps({"type": "array", "items": {"type": "integer"}})
    assert takes(matcher("json_schema", schema), "[ 1,\n  2 ]")
    assert takes(matcher("json_schema", schema), "[\n\t1,\n\t2\n]")
    for blanks in ("  ", "\n\n", "\n \t", " \n", "\n" + " " * 21):
        assert not takes(matcher("json_schema", schema), f"[{blanks}1]")
    assert not takes(matcher("json_schema", schema), "[" + " " * 200 + "1]")
    assert takes(matcher("json_schema", schema, any_whitespace=False), "[1,2]")
    assert not takes(matcher("json_schema", schema, any_whitespace=False), "[1, 2]")
    assert takes(matcher("json_object"), '{"a": [1, {"b": null}]}')
    assert not takes(matcher("json_object"), "[1]")


def test_the_value_type_says_what_is_wrong() -> None:
    assert GrammarSpec(regex="a").kind() == "regex"
    assert json.loads(GrammarSpec(json_schema={"type": "null"}).text()) == {"type": "null"}
    with pytest.raises(InvalidRequestError, match="none is given"):
        GrammarSpec().kind()
    with pytest.raises(InvalidRequestError, match="regex, json_object are given"):
        GrammarSpec(regex="a", json_object=True).kind()
    with pytest.raises(InvalidRequestError, match="strict is for json_schema"):
        GrammarSpec(regex="a", strict=True).kind()


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "array"}, "of type object at its root"),
        ({"type": "object", "properties": {}}, "additionalProperties must be false with strict, at #"),
        (
            {"type": "object", "properties": {"a": {}}, "required": [], "additionalProperties": False},
            r"required must list every property and no other with strict \(a\), at #",
        ),
        (
            {
                "type": "object",
                "properties": {"a": {"oneOf": []}},
                "required": ["a"],
                "additionalProperties": False,
            },
            "the keyword oneOf is not allowed with strict, at #/properties/a",
        ),
    ],
)
def test_strict_schemas(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        GrammarSpec(json_schema=schema, strict=True).text()


def test_a_strict_schema_is_enforced() -> None:
    schema = {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": ["integer", "null"]}},
        "required": ["city", "days"],
        "additionalProperties": False,
    }
    start = matcher("json_schema", GrammarSpec(json_schema=schema, strict=True).text())
    assert takes(start, '{"city": "Oslo", "days": null}')
    assert not takes(start, '{"city": "Oslo"}')
    assert not takes(start, '{"city": "Oslo", "days": 1, "x": 1}')


def test_equal_specs_are_compiled_once() -> None:
    own = _core.GrammarCompiler.compile
    first = own(compiler(), "regex", "cached[0-9]+")
    assert own(compiler(), "regex", "cached[0-9]+") is first
    assert own(compiler(), "choice", choices=["a", "b"]) is not own(compiler(), "choice", choices=["ab"])
