"""Tokenizer: round trips of any text, special tokens on and off, and inputs that end other tokenizers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
from engine_fixtures import tokenizer
from hypothesis import given, settings
from hypothesis import strategies as st
from token_loop import PROMPT, PROMPT_TEXT

from shimmy._core import Model, Tokenizer
from shimmy.errors import InvalidRequestError

N_VOCAB = tokenizer().n_vocab
REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
NAMED = ["bos", "eos", "eot", "sep", "nl", "pad", "mask", "fim_pre", "fim_suf", "fim_mid"]


def encode(text: str | bytes) -> list[int]:
    return tokenizer().encode(text, add_special=False, parse_special=False)


@given(st.text())
@settings(max_examples=300, deadline=None)
def test_any_text_comes_back(text: str) -> None:
    tokens = encode(text)
    assert all(0 <= token < N_VOCAB for token in tokens)
    # A lone surrogate is no character: UTF-8 decoders see three bytes that belong to none.
    whole = "".join(REPLACEMENT * 3 if 0xD800 <= ord(c) <= 0xDFFF else c for c in text)
    assert tokenizer().decode(tokens) == whole


@given(st.binary())
@settings(max_examples=200, deadline=None)
def test_any_bytes_give_text(data: bytes) -> None:
    assert tokenizer().decode(encode(data)) == data.decode(errors="replace")


@pytest.mark.parametrize("data", [b"\xff", b"a\xf0\x9f\xa6", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc0\x80"])
def test_bytes_that_are_no_utf8_are_replaced(data: bytes) -> None:
    assert encode(data) == encode(data.decode(errors="replace"))


@pytest.mark.parametrize("text", ["", "a", "naïve 東京 🦊👩‍👩‍👧", "\0", "a\0b", "\r\n\t  x  ", "e\u0301", "\U0010ffff"])
def test_str_and_its_bytes_are_the_same(text: str) -> None:
    assert encode(text) == encode(text.encode())
    assert tokenizer().decode(encode(text)) == text


def test_pieces_are_the_bytes_of_the_text() -> None:
    text = "The capital of Hungary is Budapest 🦊."
    assert b"".join(map(tokenizer().piece, encode(text))) == text.encode()


@pytest.mark.parametrize("character", ["a", " ", "1", "é", "\n", "🦊", "!", "A", "\0", "一"])
def test_30_000_equal_characters_come_back(character: str) -> None:
    text = character * 30_000
    assert tokenizer().decode(encode(text)) == text


def test_a_megabyte_comes_back() -> None:
    text = "The quick brown fox jumps over the lazy dog 🦊.\n" * 20_000
    assert len(text.encode()) >= 1_000_000
    assert tokenizer().decode(encode(text)) == text


def test_more_than_64_mib_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="67108865 bytes, at most 67108864") as caught:
        tokenizer().encode(b"a" * (2**26 + 1))
    assert caught.value.param == "text"


def test_special_tokens_are_parsed_only_when_asked() -> None:
    parsed = tokenizer().encode("<|im_end|>")
    plain = tokenizer().encode("<|im_end|>", parse_special=False)
    assert parsed == [tokenizer().eot]
    assert len(plain) > 1
    assert tokenizer().eot not in plain
    assert tokenizer().decode(plain) == "<|im_end|>"
    assert tokenizer().decode(parsed) == ""
    assert tokenizer().decode(parsed, unparse_special=True) == "<|im_end|>"
    assert tokenizer().decode(PROMPT, unparse_special=True) == PROMPT_TEXT
    assert tokenizer().piece(parsed[0]) == b""
    assert tokenizer().piece(parsed[0], special=True) == b"<|im_end|>"


def test_add_special_adds_what_the_model_asks_for(tok: Tokenizer) -> None:
    assert (tok.add_bos, tok.add_eos) == (False, False)
    assert tok.encode("hi", add_special=True) == tok.encode("hi", add_special=False)


def test_named_tokens_are_none_or_in_the_vocabulary(tok: Tokenizer) -> None:
    for name in NAMED:
        token = getattr(tok, name)
        assert token is None or 0 <= token < N_VOCAB, name
    assert tok.piece(tok.eos, special=True) == b"<|im_end|>"
    assert tok.piece(tok.nl) == b"\n"


def test_a_token_that_the_file_does_not_name_is_none(tok: Tokenizer) -> None:
    metadata = tok.model.metadata
    assert "tokenizer.ggml.eos_token_id" in metadata
    assert "tokenizer.ggml.bos_token_id" not in metadata
    assert tok.bos is None
    assert (tok.sep, tok.mask) == (None, None)


def test_end_of_generation_and_control_tokens(tok: Tokenizer) -> None:
    assert tok.eog_tokens == [token for token in range(N_VOCAB) if tok.is_eog(token)]
    assert tok.eos in tok.eog_tokens
    assert all(tok.is_control(token) for token in tok.eog_tokens)
    letter = encode("a")[0]
    assert not tok.is_eog(letter)
    assert not tok.is_control(letter)


@pytest.mark.parametrize("token", [-1, N_VOCAB, 2**31 - 1, -(2**31)])
def test_unknown_ids_are_refused(tok: Tokenizer, token: int) -> None:
    for call in (tok.piece, tok.is_eog, tok.is_control, lambda t: tok.decode([1, t])):
        with pytest.raises(InvalidRequestError, match=f"token {token}, the vocabulary has ids 0 to {N_VOCAB - 1}"):
            call(token)


@pytest.mark.parametrize("text", [None, 5, ["a"], bytearray(b"a")])
def test_what_is_no_text_is_a_type_error(tok: Tokenizer, text: object) -> None:
    with pytest.raises(TypeError):
        tok.encode(text)  # type: ignore[arg-type]


def test_a_tokenizer_is_of_a_model(tok: Tokenizer, model: Model) -> None:
    assert tok.model is model
    assert tok.n_vocab == model.n_vocab
    with pytest.raises(TypeError):
        Tokenizer(None)  # type: ignore[arg-type]


def test_threads_share_one_tokenizer() -> None:
    texts = [f"sentence {n} about foxes 🦊 and numbers {n * n}. " * 200 for n in range(16)]
    expected = [encode(text) for text in texts]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            assert list(pool.map(encode, texts)) == expected
