"""Detokenizer: text comes out in whole characters, and all of it is what decoding all tokens at once gives."""

from __future__ import annotations

import pytest
from engine_fixtures import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st

from shimmy._core import Detokenizer
from shimmy.errors import InvalidRequestError

N_VOCAB = tokenizer().n_vocab
FOX = "🦊"


def stream(tokens: list[int], **options: set[int]) -> list[str]:
    detokenizer = Detokenizer(tokenizer(), **options)
    return [*map(detokenizer.push, tokens), detokenizer.flush()]


@given(st.text(st.characters(exclude_categories=["Cs"])))
@settings(max_examples=100, deadline=None)
def test_pieces_join_to_the_text(text: str) -> None:
    pieces = stream(tokenizer().encode(text, add_special=False, parse_special=False))
    assert "".join(pieces) == text
    for piece in pieces:
        piece.encode()


@given(st.lists(st.integers(0, N_VOCAB - 1)))
@settings(max_examples=200, deadline=None)
def test_any_tokens_stream_to_what_decoding_them_gives(tokens: list[int]) -> None:
    pieces = stream(tokens)
    for piece in pieces:
        piece.encode()
    assert "".join(pieces) == tokenizer().decode(tokens)


def test_a_character_in_pieces_comes_out_once_it_is_whole() -> None:
    tokens = tokenizer().encode(FOX, add_special=False)
    assert len(tokens) > 1
    assert stream(tokens) == [""] * (len(tokens) - 1) + [FOX, ""]


def test_flush_gives_an_unfinished_character_as_one_replacement_and_starts_anew() -> None:
    detokenizer = Detokenizer(tokenizer())
    start = tokenizer().encode(FOX, add_special=False)[:-1]
    assert [detokenizer.push(token) for token in start] == [""] * len(start)
    assert detokenizer.flush() == "\N{REPLACEMENT CHARACTER}"
    assert detokenizer.flush() == ""
    letter = tokenizer().encode("a", add_special=False)
    assert [detokenizer.push(token) for token in letter] == ["a"]


def test_a_broken_character_does_not_swallow_what_follows() -> None:
    start = tokenizer().encode(FOX, add_special=False)[:-1]
    assert "".join(stream([*start, *tokenizer().encode("a", add_special=False)])) == "\N{REPLACEMENT CHARACTER}a"


def test_control_tokens_render_as_nothing_unless_preserved() -> None:
    eot = tokenizer().eot
    assert eot is not None
    assert stream([eot]) == ["", ""]
    assert stream([eot], preserved={eot}) == ["<|im_end|>", ""]


@pytest.mark.parametrize("token", [-1, N_VOCAB, 2**31 - 1, -(2**31)])
def test_unknown_ids_are_refused(token: int) -> None:
    detokenizer = Detokenizer(tokenizer())
    with pytest.raises(InvalidRequestError, match=f"token {token}, the vocabulary has ids 0 to {N_VOCAB - 1}"):
        detokenizer.push(token)
    with pytest.raises(InvalidRequestError, match=f"preserved holds token {token}"):
        Detokenizer(tokenizer(), {token})
    assert detokenizer.push(tokenizer().encode("a")[0]) == "a"
