"""The seeded source that every skill draws from: chances, splits and the forms of an exchange."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any
from zlib import crc32

from .. import lexicon as lex
from ..chat import Block, Msg, dumps
from ..phrases.questions import PREFIXES
from ..phrases.word_lists import EXTRA_WORDS

HOLDOUT = 20
ALL_WORDS: tuple[str, ...] = tuple(
    dict.fromkeys(
        EXTRA_WORDS
        + lex.ANIMALS
        + lex.FOODS
        + lex.OBJECTS
        + lex.COLORS
        + lex.ADJECTIVES
        + lex.VERBS
        + lex.NOUNS
        + lex.PLACES
    )
)


class Source:
    """A seeded random generator, the split it writes for and what the user has told in this conversation."""

    def __init__(self, seed: int, split: str = "train") -> None:
        self.rng = random.Random(seed)
        self.split = split
        self.memory: dict[str, str] = {}  # what the user has told in this conversation
        self.told = ("", "")  # the last thing told, and the answer to the question about it
        self.pair: tuple[Callable[[], Block], ...] = ()  # how to ask for the last two things told together

    def ok(self, *key: object) -> bool:
        """True when this key belongs to the split being generated."""
        held_out = crc32("|".join(map(str, key)).encode()) % HOLDOUT == 0
        return held_out == (self.split == "eval")

    def ok_word(self, skill: str, text: str, question: str) -> bool:
        """Like ``ok`` for tasks on letters: a single real word is held out together with the question.

        The letters of a word that is one token can only be learned, so each real word has to be seen in training.
        """
        return self.ok(skill, text, question) if text in ALL_WORDS else self.ok(skill, text)

    def chance(self, p: float) -> bool:
        return self.rng.random() < p

    def skewed(self, options: Sequence[str], key: str, p: float = 0.85) -> str:
        """Mostly the same option for a key, sometimes any: a clear mode for greedy decoding, variety for sampling."""
        if self.rng.random() < p:
            return options[crc32(key.encode()) % len(options)]
        return self.rng.choice(options)

    def vary(self, question: str, fold: bool = True) -> str:
        """Surface noise: case, punctuation, polite words."""
        r = self.rng.random()
        if r < 0.58:
            return question
        if r < 0.68 and fold:
            return question.lower()
        if r < 0.80 and question[-1] in "?.!":
            return question[:-1]
        if r < 0.86:
            return self.rng.choice(PREFIXES) + question
        if r < 0.91 and fold:
            return question[0].lower() + question[1:]
        if r < 0.95:
            return "Please " + question[0].lower() + question[1:] if question[-1] == "." else question + " Thanks!"
        return question

    def join(self, items: Sequence[str]) -> str:
        """``a, b and c``, with some variation."""
        if len(items) == 1:
            return items[0]
        if self.chance(0.25):
            return ", ".join(items)
        return ", ".join(items[:-1]) + " and " + items[-1]

    def say(self, skill: str, question: str, answer: str, short: str | None, kind: str = "prose") -> Block:
        return Block(skill, [Msg("user", question), Msg("assistant", answer, (), short, kind, "exact", answer)])

    def check_say(
        self, skill: str, question: str, answer: str, short: str | None, key: tuple[object, ...]
    ) -> Block | None:
        return self.say(skill, question, answer, short, "verbatim") if self.ok(skill, *key) else None

    def qa(
        self, skill: str, question: str, answer: str, short: str, fold: bool = True, checked: bool = False
    ) -> Block | None:
        """One question with its answer, sometimes with a format instruction added to the question.

        ``checked`` says that the caller has already checked the split of this block.
        """
        rng = self.rng
        r = rng.random()
        kind, check, expect = "prose", "exact", None
        if r < 0.08 and " " not in short:
            number = (
                "{q} Just the number.",
                "{q} Answer with the number only.",
                "Only the number: {q}",
                "{q} Give only the number.",
            )
            question = rng.choice(number if short.isdecimal() and self.chance(0.6) else ("{q} Answer in one word.", "{q} One word only.", "{q} Reply with one word.", "{q} Answer with one word.",
                                   "In one word: {q}", "Answer in one word: {q}", "{q} Use one word.")).format(q=question)  # fmt: skip
            answer = short
        elif r < 0.10:
            question += rng.choice((" Answer in upper case.", " Answer in capital letters."))
            answer = answer.upper()
            kind = "verbatim"
        elif r < 0.14:
            k = rng.choice(("answer", "answer", "result", "value", "reply", rng.choice(lex.PARAM_NAMES)))
            form = rng.choice((" Answer in JSON with the key {k}.", ' Reply as JSON: {{"{k}": ...}}', " Answer in JSON.", " Answer as JSON.",
                               ' Answer as a JSON object with the key "{k}".', " Use JSON with the key {k}.", " Reply in JSON."))  # fmt: skip
            if "{k}" not in form:
                k = "answer"
            question += form.format(k=k)
            value: Any = int(short) if short.isdecimal() else short
            answer, kind, check, expect = dumps({k: value}), "json", "json", {k: value}
        else:
            question = self.vary(question, fold)
        if not checked and not self.ok(skill, question):
            return None
        return Block(skill, [Msg("user", question), Msg("assistant", answer, (), short, kind, check, expect or answer)])

    @staticmethod
    def a(noun: str) -> str:
        if noun[0].isupper() or noun in ("water", "tea", "coffee", "milk", "juice", "soccer", "tennis", "iron", "gold", "silver",
                                         "copper", "tin", "zinc", "lead", "aluminum", "nickel", "platinum", "lemonade", "cocoa",
                                         "soda", "cider", "basketball", "swimming", "running", "cycling", "hockey", "golf",
                                         "boxing", "skiing", "pliers"):  # fmt: skip
            return noun
        return ("an " if noun[0] in "aeiou" else "a ") + noun

    @staticmethod
    def the(country: str) -> str:
        return "the " + country if country in ("Netherlands", "Philippines") else country
