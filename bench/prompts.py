"""Prompts of an exact length that every contender gets as the same text."""

from __future__ import annotations

import random
import re
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shimmy import _core

_WORD = re.compile(rb" [a-z]{2,}")
MIN_WORDS = 50


class Prompts:
    """Random words that are one token each of the model at `path`, so that n words are n tokens whoever counts.

    The same `seed` gives the same prompts. A model that adds a BOS token counts one more. The vocabulary is loaded
    when the first prompt is made, which raises ValueError when it has fewer than MIN_WORDS such words.
    """

    def __init__(self, path: Path, seed: str) -> None:
        self._path = path
        self._random = random.Random(seed)

    @cached_property
    def _tokenizer(self) -> _core.Tokenizer:
        from shimmy import _core  # here, so that a start that is timed pays for its own imports

        return _core.Tokenizer(_core.Model(self._path, _core.ModelParams(vocab_only=True)))

    @cached_property
    def _words(self) -> list[str]:
        enough = 2000
        tokens = list(range(self._tokenizer.n_vocab))
        random.Random(0).shuffle(tokens)
        words: list[str] = []
        for token in tokens:
            piece = self._tokenizer.piece(token)
            if _WORD.fullmatch(piece):
                text = piece.decode()
                if self._tokenizer.encode(text, add_special=False) == [token]:
                    words.append(text)
                    if len(words) == enough:
                        break
        if len(words) < MIN_WORDS:
            raise ValueError(f"{self._path}: only {len(words)} words are one token, at least {MIN_WORDS} needed")
        return words

    def text(self, n_tokens: int) -> str:
        """A new prompt of `n_tokens` tokens, unlike all before."""
        return "".join(self._random.choices(self._words, k=n_tokens))

    def tokens(self, n_tokens: int) -> list[int]:
        """The same as token ids, for those who ask in process."""
        return self._tokenizer.encode(self.text(n_tokens), add_special=False)
