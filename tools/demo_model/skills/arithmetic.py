"""Sums, differences, small products and quotients."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from ..phrases.word_lists import PLURALS
from .material import Material


class Arithmetic(Material):
    """Calculations asked for in words and in symbols."""

    def arithmetic(self, digits: int = 0) -> Block | None:
        """Addition and subtraction with up to three digits; small multiplications."""
        rng = self.rng
        pick = rng.choice
        if not digits and self.chance(0.12):
            a, b = rng.randint(0, 12), rng.randint(0, 12)
            if b and self.chance(0.3):
                q = pick(
                    (
                        "What is {c} / {b}?",
                        "What is {c} divided by {b}?",
                        "Divide {c} by {b}.",
                        "{c} / {b}",
                        "{c}/{b}",
                        "{c}/{b}=",
                        "{c} / {b} =",
                        "What's {c}/{b}?",
                        "Calculate {c} / {b}.",
                    )
                )
                return self.qa("multiply", q.format(c=a * b, b=b), f"{a * b} / {b} = {a}.", str(a))
            q = pick(
                (
                    "What is {a} * {b}?",
                    "What is {a} times {b}?",
                    "{a} * {b}",
                    "{a}x{b}",
                    "Multiply {a} by {b}.",
                    "{a} times {b}",
                    "{a}*{b}",
                    "{a}*{b}=",
                    "{a} x {b} = ?",
                    "What's {a}*{b}?",
                    "What is {a}*{b}?",
                    "Calculate {a} * {b}.",
                    "How much is {a} times {b}?",
                    "{a} * {b} =",
                )
            )
            return self.qa("multiply", q.format(a=a, b=b), f"{a} * {b} = {a * b}.", str(a * b))
        if not digits and self.chance(0.05):
            three = [rng.randint(1, pick((9, 20, 99))) for _ in range(3)]
            x, y, z = three
            q = pick(
                (
                    "What is {x} + {y} + {z}?",
                    "{x} + {y} + {z}",
                    "What is the sum of {x}, {y} and {z}?",
                    "Add {x}, {y} and {z}.",
                    "{x}+{y}+{z}=",
                )
            )
            if not self.ok("arithmetic", *three):
                return None
            return self.qa(
                "arith_2digit",
                q.format(x=x, y=y, z=z),
                f"{x} + {y} + {z} = {sum(three)}.",
                str(sum(three)),
                checked=True,
            )
        d1 = digits or pick((1, 1, 2, 2, 2, 3, 3))
        d2 = digits or pick((1, 1, 2, 2, 2, 3, 3))
        if not digits and self.chance(0.05):
            d1, d2 = 4, pick((1, 2, 3, 4))
        a, b = self.number(d1), self.number(d2)
        plus = self.chance(0.5)
        if not plus and a < b and self.chance(0.8):
            a, b = b, a
        size = max(len(str(a)), len(str(b)))
        skill = ("arith_2digit", "arith_3digit", "arith_4digit")[max(0, size - 2)]
        if not self.ok("arithmetic", a, plus, b):
            return None
        c = a + b if plus else a - b
        sign = "+" if plus else "-"
        answer = f"{a} {sign} {b} = {c}."
        forms: tuple[str, ...]
        if plus:
            forms = (
                "What is {a} + {b}?",
                "What's {a}+{b}?",
                "{a} + {b}",
                "{a}+{b}",
                "{a}+{b}=",
                "{a} + {b} = ?",
                "Add {a} and {b}.",
                "What is {a} plus {b}?",
                "Calculate {a} + {b}.",
                "How much is {a} + {b}?",
                "What is the sum of {a} and {b}?",
                "Compute {a}+{b}",
                "{a} plus {b}",
                "What does {a} + {b} equal?",
                "Calculate: {a} + {b}",
                "Solve {a} + {b}",
            )
        else:
            forms = ("What is {a} - {b}?", "What's {a}-{b}?", "{a} - {b}", "{a}-{b}", "{a}-{b}=", "{a} - {b} = ?",
                     "Subtract {b} from {a}.", "What is {a} minus {b}?", "Calculate {a} - {b}.", "How much is {a} - {b}?",
                     "What is the difference of {a} and {b}?", "Compute {a}-{b}", "{a} minus {b}", "Solve {a} - {b}")  # fmt: skip
        if self.chance(0.12) and c >= 0:
            things = pick(PLURALS)
            who = pick(("I", pick(lex.NAMES)))
            have, get = ("have", "get") if who == "I" else ("has", "gets")
            ask = "do I have" if who == "I" else f"does {who} have"
            subject = "you have" if who == "I" else f"{who} has"
            if plus:
                q = f"{who} {have} {a} {things} and {get} {b} more. How many {things} {ask}?"
            else:
                q = f"{who} {have} {a} {things} and {'give' if who == 'I' else 'gives'} away {b}. How many {things} {ask} left?"
            answer = f"{a} {sign} {b} = {c}, so {subject} {c} {things}{'' if plus else ' left'}."
            return self.say(skill, q, answer, str(c))
        return self.qa(skill, pick(forms).format(a=a, b=b), answer, str(c), checked=True)
