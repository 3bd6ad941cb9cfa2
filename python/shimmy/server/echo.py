"""The prompt at the beginning of a completion that echoes it."""

from __future__ import annotations

import codecs
from collections.abc import Sequence
from typing import NamedTuple

from shimmy.engine_client import EngineClient
from shimmy.output import TokenLogprob


class Echo(NamedTuple):
    """What a choice begins with; the default is nothing."""

    text: str = ""
    first_token: str = ""
    """The prompt's first token as text, which has no log-probability; empty for a control token."""
    n_scored: int = -1
    """Tokens of the prompt that have one; -1 when the prompt is not echoed."""

    def offsets(self, scored: Sequence[TokenLogprob]) -> list[int]:
        """Where in `text`, in characters, each token of the prompt begins. `scored` are those from the second on.

        Tokens that are not in the text, such as a begin token that the model adds itself, have no width.
        """
        text = self.text.encode("utf-8", "surrogatepass")
        decoder = codecs.getincrementaldecoder("utf-8")("replace")
        at = self._first_width(text, scored)
        offsets, characters = [0], len(decoder.decode(text[:at]))
        for one in scored:
            offsets.append(characters)
            # A vocabulary of SentencePiece begins a text with a blank that the text does not have.
            shapes = (one.piece,) if at else (one.piece, one.piece.lstrip(b" "))
            width = next((len(shape) for shape in shapes if text.startswith(shape, at)), 0)
            characters += len(decoder.decode(text[at : at + width]))
            at += width
        return offsets

    def _first_width(self, text: bytes, scored: Sequence[TokenLogprob]) -> int:
        """In bytes. The text of a control token is what the other tokens leave of the prompt."""
        if self.first_token and self.text.startswith(self.first_token):
            return len(self.first_token.encode())
        return max(0, len(text) - sum(len(one.piece) for one in scored))


async def echo_of(client: EngineClient, prompt: str | list[int]) -> Echo:
    """What echoes `prompt`, which the engine has accepted. Control tokens of a token list are not in its text."""
    tokens = await client.tokenize(prompt) if isinstance(prompt, str) else prompt
    text = prompt if isinstance(prompt, str) else await client.detokenize(prompt)
    return Echo(text, await client.detokenize(tokens[:1]), len(tokens) - 1)
