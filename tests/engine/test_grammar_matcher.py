"""`shimmy._core.GrammarMatcher`: masks, rollback, forced tokens, lazy grammars; regex, choice and Lark."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
from engine_fixtures import tokenizer
from grammar_walk import byte_tokens, compiler, matcher, random_output, takes

from shimmy import _core
from shimmy.errors import DecodeError, InvalidRequestError, ModelLoadError


def tokens_of(text: str) -> list[int]:
    return tokenizer().encode(text, add_special=False, parse_special=False)


def allowed(start: _core.GrammarMatcher) -> set[int]:
    logits = np.zeros(tokenizer().n_vocab, np.float32)
    start.mask(logits)
    return set(np.flatnonzero(np.isfinite(logits)).tolist())


def test_a_choice() -> None:
    start = matcher("choice", choices=["yes", "no", "not sure"])
    assert takes(start, "yes") and takes(start, "no") and takes(start, "not sure")
    assert not takes(start, "not") and not takes(start, "yesno")
    assert takes(start, "not", whole=False)
    assert {random_output(start, seed) for seed in range(20)} == {"yes", "no", "not sure"}


def test_a_choice_with_every_kind_of_character() -> None:
    choices = ["/a\\b", '"q" (x)', "é🦊", "a\nb", "[&&]"]
    start = matcher("choice", choices=choices)
    assert all(takes(start, choice) and takes(start, choice, bytewise=True) for choice in choices)
    assert not takes(start, "/a")


def test_a_regex() -> None:
    start = matcher("regex", r"[a-z]+@[a-z]+\.(com|org)")
    assert takes(start, "me@here.org") and not takes(start, "me@here.net")
    assert not start.accepting


def test_a_lark_grammar() -> None:
    start = matcher("lark", 'start: "(" start ")" | /[0-9]+/')
    assert takes(start, "((12))") and not takes(start, "((12)")


def test_the_mask_is_what_is_allowed() -> None:
    start = matcher("json_schema", '{"type": "array", "items": {"enum": ["a", "bc"]}, "minItems": 1}')
    for text in ("[", '["', '["a"', '["a"]'):
        walked = start.clone()
        for token in tokens_of(text):
            walked.accept(token)
        if not walked.forced():
            every = {token for token in range(tokenizer().n_vocab) if walked.allows(token)}
            assert allowed(walked) == every
    assert walked.stopped and walked.accepting
    assert allowed(walked) == set(tokenizer().eog_tokens)


def test_end_of_generation_only_where_the_output_may_end() -> None:
    start = matcher("regex", "a+")
    eog = set(tokenizer().eog_tokens)
    assert not allowed(start) & eog
    start.accept(tokens_of("a")[0])
    assert start.accepting and not start.stopped
    assert allowed(start) >= eog
    start.accept(min(eog))
    assert start.stopped
    start.rollback(1)
    assert not start.stopped and start.accepting


def test_a_refused_token_changes_nothing() -> None:
    start = matcher("regex", "ab")
    (a, b) = (byte_tokens()[b"a"], byte_tokens()[b"b"])
    with pytest.raises(InvalidRequestError, match="not allowed here"):
        start.accept(b)
    assert not start.allows(-1) and not start.allows(10**9)
    start.accept(a)
    start.accept(b)
    assert start.stopped and start.n_tokens == 2


def test_drafts_are_validated_and_rolled_back() -> None:
    start = matcher("json_object")
    tokens = tokens_of('{"a": 1}')
    assert start.validate(tokens) == len(tokens)
    assert start.validate([*tokens[:2], tokens[0], tokens[0]]) < len(tokens)
    assert start.validate([]) == 0
    assert start.validate([10**9]) == 0
    before = allowed(start)
    for token in tokens:
        start.accept(token)
    assert start.stopped
    start.rollback(len(tokens))
    assert allowed(start) == before
    with pytest.raises(InvalidRequestError, match="take back 1 tokens of 0"):
        start.rollback(1)


def test_forced_tokens_are_canonical() -> None:
    schema = '{"type":"object","properties":{"temperature":{"const":"very warm"}},"required":["temperature"]}'
    start = matcher("json_schema", schema, any_whitespace=False)
    forced = start.forced()
    text = tokenizer().decode(forced)
    assert len(text) > 10
    assert forced == tokens_of(text)
    assert start.validate(forced) == len(forced)


def test_a_clone_goes_its_own_way() -> None:
    start = matcher("choice", choices=["ab", "ac"])
    start.accept(byte_tokens()[b"a"])
    other = start.clone()
    start.accept(byte_tokens()[b"b"])
    other.accept(byte_tokens()[b"c"])
    assert start.stopped and other.stopped


def test_a_lazy_grammar_starts_at_its_word() -> None:
    lazy = matcher("gbnf", 'root ::= "<go>" [0-9]+ "."', lazy=True, triggers=[("word", "<go>")])
    assert lazy.awaiting and lazy.accepting and not lazy.stopped and lazy.forced() == []
    assert allowed(lazy) == set(range(tokenizer().n_vocab))
    assert takes(lazy, "anything at all, then <go>12.")
    assert takes(lazy, "anything at all <g o>")
    assert not takes(lazy, "then <go>x", whole=False)
    assert takes(lazy, "then <go>12", whole=False, bytewise=True)
    assert not takes(lazy, "then <go>12", bytewise=True)
    assert lazy.validate([byte_tokens()[bytes([byte])] for byte in b"a<go>1x"]) == 6


def test_a_lazy_grammar_is_rolled_back_over_its_trigger() -> None:
    lazy = matcher("gbnf", 'root ::= "<go>" [0-9]+', lazy=True, triggers=[("word", "<go>")])
    text = [byte_tokens()[bytes([byte])] for byte in b"a<go>1"]
    for _ in range(2):
        for token in text:
            lazy.accept(token)
        assert not lazy.awaiting and not lazy.allows(byte_tokens()[b"x"])
        lazy.rollback(3)
        assert lazy.awaiting and lazy.allows(byte_tokens()[b"x"])
        lazy.rollback(lazy.n_tokens)


@pytest.mark.parametrize("before", ["", "a", "a<", "a<g", "a<go", "<<go"])
def test_before_its_trigger_a_lazy_grammar_masks_what_it_refuses(before: str) -> None:
    lazy = matcher("gbnf", 'root ::= "<go>" [0-9]+', lazy=True, triggers=[("word", "<go>")])
    for byte in before.encode():
        lazy.accept(byte_tokens()[bytes([byte])])
    every = {token for token in range(tokenizer().n_vocab) if lazy.allows(token)}
    assert allowed(lazy) == every
    assert len(every) > tokenizer().n_vocab - 100
    if before.endswith("<go"):
        assert len(every) < tokenizer().n_vocab


def test_a_row_longer_than_the_vocabulary() -> None:
    for start in (matcher("regex", "a"), matcher("regex", "a", lazy=True, triggers=[("word", "a")])):
        logits = np.zeros(tokenizer().n_vocab + 3, np.float32)
        start.mask(logits)
        assert not np.isfinite(logits[-3:]).any()


def test_a_token_that_was_found_allowed_is_not_so_elsewhere() -> None:
    start = matcher("regex", "ab+")
    (a, b) = (byte_tokens()[b"a"], byte_tokens()[b"b"])
    assert start.allows(a) and start.allows(a)
    start.accept(a)
    assert not start.allows(a) and start.allows(b)
    start.rollback(1)
    assert not start.allows(b) and start.allows(a)
    other = start.clone()
    start.accept(a)
    assert other.allows(a) and not start.allows(a)


AMBIGUOUS = {"lark": 'start: s\ns: s s | "a" | "b"', "gbnf": 'root ::= s\ns ::= "(" s ")" | "a" | "a" t\nt ::= s s | s'}


@pytest.mark.parametrize("kind", AMBIGUOUS)
def test_an_ambiguous_grammar_ends_with_an_error_that_names_it(kind: str) -> None:
    start = matcher(kind, AMBIGUOUS[kind])
    row = np.zeros(tokenizer().n_vocab, np.float32)
    with pytest.raises(DecodeError, match=f"the {kind} needs more work for one step than is allowed"):
        for _ in range(2000):
            start.mask(row)
            start.accept(byte_tokens()[b"a"])
    with pytest.raises(DecodeError, match=f"the {kind} "):
        start.mask(row)
    assert matcher(kind, AMBIGUOUS[kind]).allows(byte_tokens()[b"a"])


def test_long_outputs_stay_within_the_limits_without_a_mask() -> None:
    start = matcher("regex", "([a-z]{1,9} ){2000}")
    token = byte_tokens()[b"a"]
    for n in range(3000):
        start.accept(byte_tokens()[b" "] if n % 3 == 2 else token)
    assert start.n_tokens == 3000


def test_preserved_tokens_count_as_text() -> None:
    special = next(token for token in range(tokenizer().n_vocab) if tokenizer().is_control(token)
                   and not tokenizer().is_eog(token))  # fmt: skip
    name = tokenizer().piece(special, special=True).decode()
    grammar = f'root ::= "{name}" [a-z]'
    assert not matcher("gbnf", grammar).allows(special)
    start = matcher("gbnf", grammar, preserved_tokens=[name])
    assert start.allows(special)
    assert takes(start, f"{name}x")
    by_token = matcher("gbnf", grammar, preserved_tokens=[name], lazy=True, triggers=[("token", name)])
    by_token.accept(special)
    assert not by_token.awaiting
    named = matcher("gbnf", f"root ::= <[{special}]> [a-z]")
    assert named.allows(special) and allowed(named) == {special}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "xml"}, "kind is xml"),
        ({"kind": "regex", "text": ""}, "regex is empty"),
        ({"kind": "regex", "text": "a" * 5000}, "at most 4096"),
        ({"kind": "regex", "text": "("}, "regex cannot be compiled"),
        ({"kind": "regex", "text": r"(a)\1"}, "regex cannot be compiled"),
        ({"kind": "regex", "text": "(?!a)b"}, "regex cannot be compiled"),
        ({"kind": "choice"}, "choice has 0 entries"),
        ({"kind": "choice", "choices": ["a"] * 20_000}, "choice has 20000 entries"),
        ({"kind": "choice", "choices": ["a\0"]}, "NUL"),
        ({"kind": "lark", "text": "start: " + "(" * 300 + '"a"' + ")" * 300}, "more than 256 levels"),
        ({"kind": "lark", "text": "start: missing"}, "lark cannot be compiled"),
        ({"kind": "regex", "text": "a", "lazy": True}, "needs a trigger"),
        ({"kind": "regex", "text": "a", "triggers": [("word", "x")]}, "need a lazy"),
        ({"kind": "regex", "text": "a", "lazy": True, "triggers": [("phrase", "x")]}, "of kind phrase"),
        ({"kind": "regex", "text": "a", "lazy": True, "triggers": [("token", "x y z")]}, "no token of the model"),
        ({"kind": "regex", "text": "a", "prefill": "b"}, "does not begin with its prefill"),
    ],
)
def test_bad_input_is_named(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        compiler().compile(**arguments)


def test_a_short_row_of_logits_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="there are 3 logits"):
        matcher("regex", "a").mask(np.zeros(3, np.float32))
    with pytest.raises(TypeError):
        matcher("regex", "a").mask(np.zeros(tokenizer().n_vocab))


def test_a_library_that_is_none() -> None:
    with pytest.raises(ModelLoadError, match="cannot be loaded"):
        _core.GrammarCompiler(tokenizer(), "/nowhere/lib.so")
    assert compiler().version.startswith("1.")


def test_matchers_of_one_grammar_in_several_threads() -> None:
    grammar = compiler().compile("json_schema", '{"type": "array", "items": {"type": "integer"}, "maxItems": 3}')
    texts: list[list[str | None]] = [[] for _ in range(4)]

    def run(index: int) -> None:
        texts[index] = [random_output(_core.GrammarMatcher(grammar), seed) for seed in range(5)]

    threads = [threading.Thread(target=run, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts[0] == texts[1] == texts[2] == texts[3]
