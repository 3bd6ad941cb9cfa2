"""Copying text and working on its letters."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from ..phrases.questions import COPY_OPEN, COPY_WORD
from ..phrases.word_lists import NUMBER_WORDS
from .material import Material
from .source import ALL_WORDS


class Strings(Material):
    """Copies, spelling, reversal, case, letters and emoji."""

    def copy(self) -> Block | None:
        rng = self.rng
        if self.chance(0.08):
            text = "\n".join(
                " ".join(self.sentence() for _ in range(rng.randint(1, 3))) for _ in range(rng.randint(2, 4))
            )
            question = rng.choice(
                ("Repeat the following text exactly:\n{x}", "Copy this text:\n{x}", "Repeat this text:\n\n{x}")
            )
        elif self.chance(0.4):
            text = rng.choice((self.word(), self.word(), self.word().capitalize(), self.code(), self.word().upper()))
            question = rng.choice(COPY_WORD + COPY_OPEN)
        elif self.chance(0.05):
            text = self.phrase(2, 5)
            question = rng.choice(("Say {x}", "Say {x}.", "Write {x}", "Please say {x}", "Repeat {x}", "Echo {x}"))
        else:
            text = self.anything()
            question = rng.choice(COPY_OPEN)
        if not self.ok("copy", text):
            return None
        short = text if len(text.split()) <= 3 else None
        return self.say("copy", question.format(x=text), text, short, "verbatim")

    def strings(self) -> Block | None:
        """Repeat n times, reverse, spell, change case, first and last letters."""
        rng = self.rng
        pick = rng.choice
        kind = pick((0, 1, 1, 2, 3, 3, 4, 4, 5, 6))
        if kind == 6:
            x = pick((self.letters(2, 6), pick(ALL_WORDS), pick(ALL_WORDS), self.pseudo(1, 2)))
            q = pick(("How many letters are in {x}?", 'How many letters does "{x}" have?', "How many letters are in the word {x}?",
                      "Count the letters of {x}.", 'Count the letters in "{x}"')).format(x=x)  # fmt: skip
            return (
                self.say("strings", q, f"There are {len(x)} letters.", str(len(x)))
                if self.ok_word("count", x, q)
                else None
            )
        if kind == 0:
            x, n = self.word(), rng.randint(2, 6)
            q = pick(
                (
                    "Say {x} {n} times.",
                    'Repeat "{x}" {n} times.',
                    "Write {x} {n} times",
                    "Repeat the word {x} {n} times.",
                )
            )
            a = " ".join([x] * n)
            question = q.format(x=x, n=n if self.chance(0.6) else NUMBER_WORDS[n])
            return self.check_say("strings", question, a, a if n < 4 else None, (x, n))
        if kind == 1:
            x = pick((self.letters(2, 6), pick(ALL_WORDS), pick(ALL_WORDS), self.pseudo(1, 2)))
            if len(x) > 7:
                return None
            q = pick(("Reverse the string {x}", 'Reverse "{x}".', "Reverse: {x}", "Spell {x} backwards.", "Write {x} backwards",
                      'What is "{x}" backwards?', "Reverse the word {x}."))  # fmt: skip
            return (
                self.say("reverse", q.format(x=x), x[::-1], x[::-1], "verbatim")
                if self.ok_word("reverse", x, q)
                else None
            )
        if kind == 2:
            x = pick((self.letters(2, 6), pick(ALL_WORDS), pick(ALL_WORDS), self.pseudo(1, 2)))
            if len(x) > 8:
                return None
            q = pick(("Spell {x}.", "Spell the word {x}", 'How do you spell "{x}"?', "Spell out {x}."))
            return (
                self.say("strings", q.format(x=x), "-".join(x), "-".join(x), "verbatim")
                if self.ok_word("spell", x, q)
                else None
            )
        if kind == 3:
            x = pick((self.word(), self.phrase(2, 4), self.letters(3, 6)))
            q = pick(("Write {x} in upper case.", 'Convert "{x}" to uppercase.', "Uppercase: {x}", 'Make "{x}" upper case.',
                      "Write {x} in capital letters", 'Put "{x}" in all caps.'))  # fmt: skip
            short = x.upper() if len(x.split()) <= 3 else None
            return self.say("case", q.format(x=x), x.upper(), short, "verbatim") if self.ok_word("case", x, q) else None
        if kind == 4:
            x = pick((self.word(), self.phrase(2, 4), self.letters(3, 6))).upper()
            q = pick(("Write {x} in lower case.", 'Convert "{x}" to lowercase.', "Lowercase: {x}", 'Make "{x}" lower case.',
                      "Write {x} in small letters"))  # fmt: skip
            short = x.lower() if len(x.split()) <= 3 else None
            return (
                self.say("case", q.format(x=x), x.lower(), short, "verbatim")
                if self.ok_word("case", x.lower(), q)
                else None
            )
        x = pick((pick(ALL_WORDS), self.pseudo(), self.letters(3, 6)))
        first = self.chance(0.6)
        where = "first" if first else "last"
        q = pick(
            ("What is the {w} letter of {x}?", 'What is the {w} letter in "{x}"?', "Tell me the {w} letter of {x}.")
        )
        c = x[0] if first else x[-1]
        if not self.ok_word("letter", x, q + where):
            return None
        return self.say("strings", q.format(w=where, x=x), f"The {where} letter is {c}.", c)

    def emoji(self) -> Block | None:
        name, char = self.rng.choice(lex.EMOJI_OF)
        q = self.vary(
            self.rng.choice(
                ("Send me a {x} emoji.", "Show me a {x} emoji", "Give me the {x} emoji.", "Which emoji is a {x}?")
            )
        )
        return self.check_say("emoji", q.format(x=name), char, char, (q,))
