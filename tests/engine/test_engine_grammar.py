"""Grammars in the engine: answers that match, whatever else is in the batch."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest
from arithmetic import N_SAME
from engine_fixtures import GREEDY, QUESTIONS, Answer, Driver, ask_alone, open_engine, tokenizer
from grammar_walk import compiler

from shimmy import _core

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 20},
        "age": {"type": "integer", "minimum": 0, "maximum": 150},
    },
    "required": ["name", "age"],
    "additionalProperties": False,
}
WHO = "Who are you?"


def grammars() -> dict[str, _core.Grammar]:
    make = compiler().compile
    return {
        "schema": make("json_schema", json.dumps(PERSON)),
        "dense": make("json_schema", json.dumps(PERSON), any_whitespace=False),
        "regex": make("regex", "[A-Z][a-z]{2,8}( [a-z]{2,8}){1,3}\\."),
        "choice": make("choice", choices=["Budapest", "Bucharest", "Belgrade"]),
        "gbnf": make("gbnf", 'root ::= "(" [0-9]{1,4} ")" (" " root)?'),
        "lark": make("lark", 'start: "yes" | "no" NAME\nNAME: / [a-z]{3}/'),
    }


def matches(name: str, text: str) -> bool:
    if name in ("schema", "dense"):
        jsonschema.validate(json.loads(text), PERSON)
        return name == "schema" or text == json.dumps(json.loads(text), separators=(",", ":"), ensure_ascii=False)
    patterns = {
        "regex": r"[A-Z][a-z]{2,8}( [a-z]{2,8}){1,3}\.",
        "choice": "Budapest|Bucharest|Belgrade",
        "gbnf": r"\([0-9]{1,4}\)( \([0-9]{1,4}\))*",
        "lark": "yes|no [a-z]{3}",
    }
    return re.fullmatch(patterns[name], text) is not None


def requests() -> list[tuple[str, _core.SamplingParams, dict[str, Any]]]:
    every = []
    for name, grammar in grammars().items():
        for sampling in (GREEDY, _core.SamplingParams(temperature=0.8, seed=4)):
            every.append((name, sampling, {"grammar": grammar, "max_tokens": 80}))
    return every


def test_answers_match_and_are_the_same_in_a_batch() -> None:
    with open_engine(n_ubatch=N_SAME) as engine:
        alone = [ask_alone(engine, WHO, sampling, **options) for _, sampling, options in requests()]
        driver = Driver(engine)
        free = [driver.ask(question) for question in list(QUESTIONS)[:4]]
        batched = [driver.ask(WHO, sampling, **options) for _, sampling, options in requests()]
        driver.finish()
    assert [one.text for one in free] == list(QUESTIONS.values())[:4]
    for (name, sampling, _), one, other in zip(requests(), alone, batched, strict=True):
        for answer in (one, other):
            assert answer.reason in ("STOP", "LENGTH")
            assert answer.reason == "LENGTH" or matches(name, answer.text)
        if sampling is GREEDY:
            assert one.text == other.text
    assert sum(answer.reason == "STOP" for answer in alone) >= 8


def test_forced_tokens_count() -> None:
    text = "The quick brown fox jumps over the lazy dog."
    grammar = compiler().compile("choice", choices=[text])
    with open_engine() as engine:
        steps = engine.stats.steps
        answer = ask_alone(engine, WHO, grammar=grammar)
        assert engine.stats.steps - steps < 8
        scored = ask_alone(engine, WHO, GREEDY, grammar=grammar, logprobs=1)
    for one in (answer, scored):
        assert (one.text, one.reason) == (text, "STOP")
        assert tokenizer().decode(one.tokens) == text
        assert len(one.tokens) <= one.usage.completion_tokens <= len(one.tokens) + 1
    assert answer.tokens == scored.tokens
    assert len(scored.logprobs) == len(scored.tokens)


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_max_tokens_inside_of_forced_ones(n: int) -> None:
    grammar = compiler().compile("choice", choices=["The quick brown fox jumps over the lazy dog."])
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, grammar=grammar, max_tokens=n)
    assert (len(answer.tokens), answer.usage.completion_tokens, answer.reason) == (n, n, "LENGTH")


def test_stops_inside_of_forced_ones() -> None:
    text = "The quick brown fox jumps over the lazy dog."
    grammar = compiler().compile("choice", choices=[text])
    with open_engine() as engine:
        by_string = ask_alone(engine, WHO, grammar=grammar, stop=["fox"])
        whole = ask_alone(engine, WHO, grammar=grammar)
        token = whole.tokens[3]
        by_token = ask_alone(engine, WHO, grammar=grammar, stop_token_ids=[token])
    assert (by_string.text, by_string.reason) == (text[: text.index("fox")], "STOP")
    assert by_token.tokens == whole.tokens[: whole.tokens.index(token)]
    assert by_token.last is not None
    assert by_token.last.stop_token == token


def test_one_that_cannot_end_within_max_tokens() -> None:
    grammar = compiler().compile("regex", "[a-z ]{300,400}")
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, grammar=grammar, max_tokens=12)
    assert (answer.reason, len(answer.tokens)) == ("LENGTH", 12)
    assert re.fullmatch("[a-z ]+", answer.text)


def test_with_banned_strings() -> None:
    with open_engine() as engine:
        grammar = compiler().compile("choice", choices=["Budapest", "Bucharest", "Belgrade"])
        question = "What is the capital of Hungary?"
        assert ask_alone(engine, question, grammar=grammar).text == "Budapest"
        answer = ask_alone(engine, question, grammar=grammar, banned_strings=["Bud"])
    assert answer.reason == "STOP"
    assert answer.text in ("Bucharest", "Belgrade")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("choice", {"choices": ["Budapest", "Buda"]}),
        ("regex", {"text": "(Bu|Be)d[a-z]{3}"}),
        ("json_schema", {"text": '{"const": {"x": "Bud"}}'}),
    ],
)
def test_banned_strings_win_over_a_grammar_that_needs_them(kind: str, options: dict[str, Any]) -> None:
    """The answer fails alone, with an error that says so."""
    grammar = compiler().compile(kind, **options)
    question, text = next(iter(QUESTIONS.items()))
    with open_engine() as engine:
        driver = Driver(engine)
        other = driver.ask(question)
        answer = driver.ask(WHO, grammar=grammar, banned_strings=["ud", "ed"], max_tokens=60)
        driver.finish()
    assert other.text == text
    assert answer.reason == "FAILED"
    assert answer.last is not None
    assert "grammar, banned_strings" in answer.last.error


def test_banned_strings_end_an_answer_that_may_end() -> None:
    grammar = compiler().compile("regex", "yes(, no)*")
    for ignore_eos in (False, True):
        with open_engine() as engine:
            answer = ask_alone(engine, WHO, grammar=grammar, banned_strings=[","], ignore_eos=ignore_eos)
        assert (answer.text, answer.reason) == ("yes", "STOP")


def test_a_grammar_beyond_its_limits_fails_alone() -> None:
    grammar = compiler().compile("lark", 'start: s\ns: s s | "a" | "b" | " "')
    with open_engine() as engine:
        driver = Driver(engine)
        others = [driver.ask(question) for question in list(QUESTIONS)[:2]]
        answer = driver.ask(WHO, grammar=grammar, ignore_eos=True, max_tokens=400)
        driver.finish()
    assert answer.reason == "FAILED"
    assert answer.last is not None
    assert "the lark needs more work for one step than is allowed" in answer.last.error
    assert [one.text for one in others] == list(QUESTIONS.values())[:2]


def test_with_min_tokens_it_ends_where_the_grammar_does() -> None:
    grammar = compiler().compile("regex", "a{2,6}")
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, grammar=grammar, min_tokens=30, max_tokens=40)
    assert (answer.text, answer.reason) == ("a" * 6, "STOP")


def test_with_ignore_eos_it_ends_where_the_grammar_does() -> None:
    grammar = compiler().compile("regex", "a{2,6}")
    with open_engine() as engine:
        answer = ask_alone(engine, WHO, grammar=grammar, ignore_eos=True, max_tokens=40)
    assert (answer.text, answer.reason) == ("a" * 6, "STOP")


def test_beside_a_full_cache_they_still_match() -> None:
    """Preempted and resumed requests keep their place in the grammar."""
    grammar = compiler().compile("regex", "([0-9]{1,3}, ){50}end")
    with open_engine(n_ctx=256) as engine:
        driver = Driver(engine)
        answers: list[Answer] = [driver.ask("Count to 60.", GREEDY, grammar=grammar) for _ in range(4)]
        driver.finish()
        preemptions = engine.stats.preemptions
    for answer in answers:
        assert re.fullmatch("([0-9]{1,3}, ){50}end", answer.text) or answer.reason == "LENGTH"
    assert preemptions > 0


def test_deterministic_engines_take_them_too() -> None:
    with open_engine(n_ctx=2048, max_num_seqs=2, deterministic=True) as engine:
        for name, grammar in grammars().items():
            answer = ask_alone(engine, WHO, grammar=grammar, max_tokens=80)
            assert answer.reason == "LENGTH" or matches(name, answer.text)
