"""What the grammar tests share: the demo model's compiler, texts walked through a matcher, and random walks."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from engine_fixtures import tokenizer

from shimmy import _core
from shimmy.grammar import llguidance_library


@cache
def compiler() -> _core.GrammarCompiler:
    return _core.GrammarCompiler(tokenizer(), llguidance_library())


def matcher(kind: str, text: str = "", **options: Any) -> _core.GrammarMatcher:
    return _core.GrammarMatcher(compiler().compile(kind, text, **options))


@cache
def byte_tokens() -> dict[bytes, int]:
    """The tokens of one byte each."""
    tok = tokenizer()
    pieces = ((tok.piece(token), token) for token in range(tok.n_vocab) if not tok.is_control(token))
    return {piece: token for piece, token in pieces if len(piece) == 1}


def takes(matcher: _core.GrammarMatcher, text: str, *, whole: bool = True, bytewise: bool = False) -> bool:
    """Whether the grammar takes `text`, as a whole output or as the beginning of one."""
    tok = tokenizer()
    if bytewise:
        tokens = [byte_tokens()[bytes([byte])] for byte in text.encode()]
    else:
        tokens = tok.encode(text, add_special=False, parse_special=True)
    walked = matcher.clone()
    for token in tokens:
        if not walked.allows(token):
            return False
        walked.accept(token)
    return walked.accepting if whole else True


@cache
def closing_bias() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Logits that make random outputs end: for quotes, brackets and end-of-generation tokens, against blanks."""
    tok = tokenizer()
    bias = np.zeros(tok.n_vocab, np.float32)
    for token in range(tok.n_vocab):
        piece = tok.piece(token)
        if piece and piece[:1] in b'"]}':
            bias[token] = 4.0
        elif not piece.strip():
            bias[token] = -4.0
    bias[tok.eog_tokens] = 8.0
    return bias


def random_output(start: _core.GrammarMatcher, seed: int, max_tokens: int = 400) -> str | None:
    """What a model without a clue writes under the grammar; None when it does not end."""
    matcher = start.clone()
    tok, rng = tokenizer(), np.random.default_rng(seed)
    tokens: list[int] = []
    while len(tokens) < max_tokens:
        forced = matcher.forced()
        if forced:
            assert matcher.validate(forced) == len(forced)
            for token in forced:
                matcher.accept(token)
            tokens += forced
            continue
        logits = rng.gumbel(size=tok.n_vocab).astype(np.float32) * 2 + closing_bias() * (1 + len(tokens) / 20)
        matcher.mask(logits)
        token = int(logits.argmax())
        assert np.isfinite(logits[token])
        assert matcher.allows(token)
        matcher.accept(token)
        if tok.is_eog(token):
            return tok.decode(tokens)
        tokens.append(token)
    return None
