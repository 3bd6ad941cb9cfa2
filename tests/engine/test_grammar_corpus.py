"""The corpus of schemas through the engine: whatever a model writes under one validates, by jsonschema."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from engine_fixtures import Driver, demo_model
from jsonschema.validators import Draft202012Validator, validator_for
from schema_corpus import corpus

from shimmy import _core
from shimmy.errors import InvalidRequestError
from shimmy.grammar import llguidance_library

AT_ONCE = 16
MAX_TOKENS = 160
N_GENERATED = 460
CLOSING = (b'"', b"]", b"}")


@dataclass(frozen=True)
class Writer:
    """A model, and its grammars of the schemas that the compiler takes."""

    model: _core.Model
    tokenizer: _core.Tokenizer
    grammars: list[tuple[dict[str, Any], _core.Grammar]]

    @classmethod
    def of(cls, model: _core.Model) -> Writer:
        tokenizer = _core.Tokenizer(model)
        compiler = _core.GrammarCompiler(tokenizer, llguidance_library())
        grammars = []
        for schema in schemas():
            try:
                grammars.append((schema, compiler.compile("json_schema", json.dumps(schema), any_whitespace=False)))
            except InvalidRequestError:
                continue
        return cls(model, tokenizer, grammars)

    def closing_bias(self) -> dict[int, float]:
        """Makes random documents end: quotes and brackets are likelier, and the ends of an answer most of all. A
        vocabulary with fewer of these needs more of it.
        """
        bias = dict.fromkeys(self.tokenizer.eog_tokens, 9.0)
        closing = [token for token in range(self.tokenizer.n_vocab) if self.tokenizer.piece(token)[:1] in CLOSING]
        return bias | dict.fromkeys(closing, 5.0 if len(closing) > 10 else 7.5)


@cache
def schemas() -> list[dict[str, Any]]:
    return corpus(N_GENERATED, seed=7)


@pytest.fixture(scope="module", params=["trained", "random weights"])
def writer(request: pytest.FixtureRequest, tiny_models: Callable[[str, int], Path]) -> Iterator[Writer]:
    model = demo_model() if request.param == "trained" else _core.Model(str(tiny_models("f16", 1)))
    yield Writer.of(model)


def check(schema: dict[str, Any], text: str) -> None:
    cls = validator_for(schema, default=Draft202012Validator)
    cls(schema, format_checker=cls.FORMAT_CHECKER).validate(json.loads(text))


@pytest.mark.parametrize("speculation", [False, True], ids=["plain", "drafted"])
def test_every_finished_document_validates(
    writer: Writer, speculation: bool, record_property: Callable[[str, object], None]
) -> None:
    assert len(writer.grammars) >= 500
    context = _core.ContextParams(n_ctx=2048, n_batch=512, n_threads=1)
    params = _core.EngineParams(max_num_seqs=AT_ONCE, max_waiting=len(writer.grammars), adaptive_draft=False)
    engine = _core.Engine(writer.model, context, params)
    engine.start()
    try:
        prompt = writer.tokenizer.encode("Give me data.")
        bias = writer.closing_bias()
        driver = Driver(engine)
        asked = []
        for seed, (schema, grammar) in enumerate(writer.grammars):
            sampling = _core.SamplingParams(temperature=2.0, top_k=0, top_p=1.0, min_p=0.0, seed=seed, logit_bias=bias)
            answer = driver.ask(prompt, sampling, grammar=grammar, max_tokens=MAX_TOKENS, speculation=speculation)
            asked.append((schema, answer))
        driver.wait()
        stats = engine.stats
    finally:
        engine.shutdown()
    finished = [(schema, answer) for schema, answer in asked if answer.reason == "STOP"]
    for schema, answer in finished:
        check(schema, answer.text)
    record_property("finished", f"{len(finished)} of {len(asked)}")
    record_property("drafted_tokens", stats.drafted_tokens)
    assert {answer.reason for _, answer in asked} <= {"STOP", "LENGTH"}
    assert len(finished) >= math.ceil(0.93 * len(asked))
    assert len({answer.text for _, answer in finished}) >= 0.4 * len(finished)  # they are not all alike
    assert (stats.drafted_tokens > 0) == speculation
