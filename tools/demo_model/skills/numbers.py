"""Counting, comparing and ordering numbers."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from .material import Material


class Numbers(Material):
    """Everything about numbers that is no arithmetic."""

    def numbers(self) -> Block | None:
        """Compare, count, sort, parity."""
        rng = self.rng
        pick = rng.choice
        kind = rng.randrange(9)
        if kind == 6:
            n = rng.randint(2, 60)
            prime = all(n % d for d in range(2, n))
            q = pick(("Is {n} prime?", "Is {n} a prime number?", "Is the number {n} prime?")).format(n=n)
            return self.qa(
                "numbers",
                q,
                f"{'Yes' if prime else 'No'}, {n} is {'' if prime else 'not '}prime.",
                "Yes" if prime else "No",
            )
        if kind == 7:
            start, step, n = rng.randint(0, 50), pick((1, 1, 2, 2, 3, 5, 10)), rng.randint(3, 5)
            shown = ", ".join(str(start + i * step) for i in range(n))
            nxt = ", ".join(str(start + i * step) for i in range(n, n + 3))
            q = pick(
                (
                    "Continue: {x}",
                    "Continue the sequence: {x}",
                    "What comes next: {x}",
                    "Continue this list: {x}",
                    "{x}, ...",
                )
            )
            return self.say("numbers", q.format(x=shown), nxt, nxt, "verbatim") if self.ok("sequence", shown) else None
        if kind == 8:
            if self.chance(0.5):
                names = pick((lex.DAYS, lex.MONTHS))
                i = rng.randrange(len(names) - 3)
                q = pick(
                    ("What comes next: {x}?", "Continue: {x}", "What comes next: {x}", "Which one is next: {x}?")
                ).format(x=", ".join(names[i : i + 3]))
                return (
                    self.say("numbers", q, f"{names[i + 3]} comes next.", names[i + 3])
                    if self.ok("sequence", q)
                    else None
                )
            words = list({w[0]: w for w in rng.sample(lex.FOODS + lex.ANIMALS + lex.OBJECTS, 5)}.values())[
                : rng.randint(3, 4)
            ]
            rng.shuffle(words)
            q = pick(
                (
                    "Sort: {x}",
                    "Sort these words: {x}",
                    "Put these words in alphabetical order: {x}",
                    "Sort alphabetically: {x}",
                )
            ).format(x=", ".join(words))
            return self.say("numbers", q, ", ".join(sorted(words)), None, "verbatim") if self.ok("sort", q) else None
        if kind == 0:
            a, b = self.number(pick((1, 2, 3))), self.number(pick((1, 2, 3)))
            if a == b:
                return None
            large = self.chance(0.6)
            word = pick(("larger", "bigger", "greater")) if large else "smaller"
            q = pick(
                ("Which number is {w}, {a} or {b}?", "Which is {w}: {a} or {b}?", "What is {w}, {a} or {b}?")
            ).format(w=word, a=a, b=b)
            c = max(a, b) if large else min(a, b)
            other = a + b - c
            return self.qa("numbers", q, f"{c} is {word} than {other}.", str(c))
        if kind == 1:
            n = rng.randint(1, 9)
            text = self.phrase(n, n)
            q = pick(('How many words are in "{x}"?', "Count the words: {x}", 'Count the words in "{x}".',
                      'How many words does "{x}" have?')).format(x=text)  # fmt: skip
            if not self.ok("count", text):
                return None
            return self.say("numbers", q, f"There are {n} words." if n > 1 else "There is 1 word.", str(n))
        if kind == 2:
            a = rng.choice((1, 1, rng.randint(0, 60)))
            b = a + rng.randint(2, 15) if self.chance(0.85) else a + rng.randint(16, 130)
            down = self.chance(0.15) and b - a < 30
            if down:
                q = pick(
                    (
                        "Count down from {b} to {a}.",
                        "Count backwards from {b} to {a}",
                        "Count from {b} to {a}",
                        "Count from {b} down to {a}.",
                    )
                )
            elif a == 1 and self.chance(0.4):
                q = pick(("Count to {b}.", "Count to {b}", "Can you count to {b}?", "Please count to {b}."))
            else:
                q = pick(("Count from {a} to {b}.", "Count from {a} to {b}", "List the numbers from {a} to {b}.", "Please count from {a} to {b}",
                          "Count from {a} up to {b}.", "Write the numbers from {a} to {b}."))  # fmt: skip
            if not self.ok("range", a, b, down):
                return None
            numbers = list(range(a, b + 1))
            nums = ", ".join(map(str, numbers[::-1] if down else numbers))
            return self.say("numbers", q.format(a=a, b=b), nums, f"{b} to {a}" if down else f"{a} to {b}", "verbatim")
        if kind == 3:
            n = rng.randint(0, 999)
            q = pick(("Is {n} even or odd?", "Even or odd: {n}?", "Is the number {n} odd or even?")).format(n=n)
            word = "odd" if n % 2 else "even"
            return self.qa("numbers", q, f"{n} is {word}.", word)
        if kind == 4:
            items = rng.sample(range(100), rng.randint(3, 6))
            q = pick(
                ("Sort these numbers: {x}", "Sort the numbers {x}", "Put these numbers in order: {x}", "Sort: {x}")
            )
            text = pick((", ", ", ", " ")).join(map(str, items))
            if not self.ok("sort", text):
                return None
            out = ", ".join(map(str, sorted(items)))
            return self.say("numbers", q.format(x=text), out, f"{min(items)} to {max(items)}", "verbatim")
        n = rng.randint(1, 998)
        after = self.chance(0.6)
        q = pick(("What number comes {w} {n}?", "Which number is {w} {n}?")).format(
            w="after" if after else "before", n=n
        )
        c = n + 1 if after else n - 1
        return self.qa("numbers", q, f"{c} comes {'after' if after else 'before'} {n}.", str(c))
