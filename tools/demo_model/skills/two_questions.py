"""Two questions in one message."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from .arithmetic import Arithmetic
from .facts import Facts
from .yes_no import YesNo


class TwoQuestions(Facts, YesNo, Arithmetic):
    """Joins two exchanges of other skills."""

    def two_questions(self) -> Block | None:
        """Two questions in one message."""
        rng = self.rng
        if self.chance(0.3):
            (a, x), (b, y) = rng.sample(lex.CAPITALS, 2)
            q = rng.choice(("What are the capitals of {a} and {b}?", "What is the capital of {a} and of {b}?", "Tell me the capital of {a} and {b}.",
                            "Capitals of {a} and {b}?", "What is the capital of {a} and {b}?")).format(a=self.the(a), b=self.the(b))  # fmt: skip
            answer = f"The capital of {self.the(a)} is {x}. The capital of {self.the(b)} is {y}."
            return (
                self.say("two_questions", q, answer, f"{x}, {y}" if " " not in x + y else None)
                if self.ok("two", q)
                else None
            )
        first, second = (rng.choice((self.capital, self.fact, self.arithmetic, self.yes_no))() for _ in range(2))
        if (
            not first
            or not second
            or any(b.msgs[1].kind != "prose" or b.msgs[1].content[-1] != "." for b in (first, second))
        ):
            return None
        p, q = first.msgs[0].content, second.msgs[0].content
        if p[-1] not in "?.!" or not p[0].isupper() or not q[0].isupper() or "Thanks" in p + q or ": " in p + q:
            return None
        text = rng.choice(
            (f"{p} {q}", f"{p} And {q[0].lower() + q[1:]}", f"{p[:-1]} and {q[0].lower() + q[1:]}", f"{p}\n{q}")
        )
        answer = f"{first.msgs[1].content} {second.msgs[1].content}"
        return self.say("two_questions", text, answer, None) if self.ok("two", text) else None
