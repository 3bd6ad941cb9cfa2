"""How many tokens of an answer are reasoning, told from the parts that its outputs are parsed into."""

from __future__ import annotations


class ReasoningCount:
    """Tokens that show nothing yet (a marker, a part of a character) count to what is shown next. Of an output that
    shows both, tokens are divided by its characters.
    """

    def __init__(self) -> None:
        self.n_tokens = 0
        self._pending = 0

    def add(self, n_tokens: int, n_reasoning: int, n_other: int) -> None:
        """An output of so many tokens, and so many characters of reasoning and of all else."""
        self._pending += n_tokens
        if n_reasoning + n_other:
            self.n_tokens += round(self._pending * n_reasoning / (n_reasoning + n_other))
            self._pending = 0
