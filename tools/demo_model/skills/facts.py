"""Capitals and other simple facts."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

import re

from .. import lexicon as lex
from ..chat import Block
from ..phrases.people import GLOSSARY, PEOPLE
from ..phrases.questions import CAPITAL_Q, COLOR_Q, OPPOSITE_Q
from .material import Material

OPPOSITE_OF: dict[str, str] = {b: a for a, b in reversed(lex.OPPOSITES)} | dict(reversed(lex.OPPOSITES))


class Facts(Material):
    """Questions with one short answer from the lexicon."""

    def capital(self) -> Block | None:
        country, city = self.rng.choice(lex.CAPITALS)
        q = self.rng.choice(CAPITAL_Q).format(x=self.the(country))
        return self.qa("capitals", q, f"The capital of {self.the(country)} is {city}.", city)

    def fact(self) -> Block | None:
        """A simple fact: opposites, colours, animals, days, counts and so on."""
        rng = self.rng
        pick = rng.choice
        kind = rng.randrange(19)
        if kind == 0:
            a, b = pick(lex.OPPOSITES)
            if self.chance(0.5) and a != "yes":
                a, b = b, a
            b = OPPOSITE_OF[a]
            return self.qa("facts", pick(OPPOSITE_Q).format(x=a), f"The opposite of {a} is {b}.", b)
        if kind == 1:
            a, b = pick(lex.COLORS_OF)
            return self.qa("facts", pick(COLOR_Q).format(x=a), f"{a[0].upper()}{a[1:]} is {b}.", b)
        if kind == 2:
            a, b = pick(lex.SOUNDS)
            q = pick(
                (
                    "What sound does a {x} make?",
                    "What does a {x} say?",
                    "Which sound does a {x} make?",
                    "How does a {x} sound?",
                )
            )
            return self.qa("facts", q.format(x=a), f"A {a} says {b}.".replace("A owl", "An owl"), b)
        if kind == 3:
            a, b = pick(lex.BABIES)
            q = pick(("What is a baby {x} called?", "What do you call a young {x}?", "What is the young of a {x} called?",
                      "Name of a baby {x}?"))  # fmt: skip
            return self.qa("facts", q.format(x=a), f"A baby {a} is called a {b}.".replace("a owlet", "an owlet"), b)
        if kind == 4:
            a, b = pick(lex.LEGS)
            q = pick(("How many legs does a {x} have?", "Number of legs of a {x}?", "A {x} has how many legs?"))
            article = "An" if a[0] in "aeiou" else "A"
            return self.qa("facts", q.format(x=a).replace("a ant", "an ant").replace("A ant", "An ant")
                           .replace("a octopus", "an octopus").replace("A octopus", "An octopus"),
                           f"{article} {a} has {b} legs.", b)  # fmt: skip
        if kind == 5:
            names: tuple[str, ...] = pick((lex.DAYS, lex.MONTHS))
            what = "day" if names is lex.DAYS else "month"
            i = rng.randrange(len(names))
            if self.chance(0.5):
                q = pick(
                    (
                        "What {w} comes after {x}?",
                        "Which {w} follows {x}?",
                        "What is the {w} after {x}?",
                        "Next {w} after {x}?",
                    )
                )
                j = (i + 1) % len(names)
                return self.qa("facts", q.format(w=what, x=names[i]), f"{names[j]} comes after {names[i]}.", names[j])
            q = pick(("What {w} comes before {x}?", "Which {w} is before {x}?", "What is the {w} before {x}?"))
            j = (i - 1) % len(names)
            return self.qa("facts", q.format(w=what, x=names[i]), f"{names[j]} comes before {names[i]}.", names[j])
        if kind == 6:
            a, b = pick(lex.COUNTS)
            if m := re.fullmatch(r"(\w+) do(?:es)? (.+) have", a):
                answer = f"{m[2][0].upper()}{m[2][1:]} has {b} {m[1]}."
            elif m := re.fullmatch(r"(\w+) are there", a):
                answer = f"There are {b} {m[1]}."
            else:
                thing, place = a.split(" are ")
                answer = f"There are {b} {thing} {place}."
            question = f"How many {a}?"
            if m := re.fullmatch(r"(\w+) (?:are|does|do) (?:in )?(.+?)(?: have)?", a):
                question = pick(
                    (
                        question,
                        question,
                        f"How many {m[1]} are there in {m[2]}?",
                        f"How many {m[1]} in {m[2]}?",
                        f"How many {m[1]} does {m[2]} have?",
                    )
                )
            return self.qa("facts", question.replace("in there", "there").replace("in on ", "on "), answer, b)
        if kind == 7:
            a, b = pick(lex.LANGUAGES)
            q = pick(("What language is spoken in {x}?", "Which language do people speak in {x}?", "What do they speak in {x}?",
                      "What is the language of {x}?"))  # fmt: skip
            return self.qa("facts", q.format(x=a), f"{b} is spoken in {a}.", b)
        if kind == 8:
            a, b = pick(lex.CURRENCIES)
            q = pick(
                ("What is the currency of {x}?", "Which currency is used in {x}?", "What money do they use in {x}?")
            )
            return self.qa("facts", q.format(x=a), f"The currency of {a} is the {b}.", b)
        if kind == 9:
            continent = pick(tuple(lex.CONTINENTS))
            a = pick(lex.CONTINENTS[continent].split())
            q = pick(
                (
                    "On which continent is {x}?",
                    "Which continent is {x} in?",
                    "What continent is {x} on?",
                    "Where is {x}?",
                )
            )
            return self.qa("facts", q.format(x=a), f"{a} is in {continent}.", continent)
        if kind == 10:
            a, b = pick(lex.SYMBOLS)
            q = pick(("What is the chemical symbol of {x}?", "What is the symbol for {x}?", "Chemical symbol of {x}?"))
            return self.qa("facts", q.format(x=a), f"The chemical symbol of {a} is {b}.", b)
        if kind == 11:
            w = pick(tuple(lex.TRANSLATIONS))
            i = rng.randrange(3)
            lang, out = ("French", "Spanish", "German")[i], lex.TRANSLATIONS[w][i]
            q = pick(
                (
                    "How do you say {w} in {l}?",
                    'What is "{w}" in {l}?',
                    "Translate {w} to {l}.",
                    "What is the {l} word for {w}?",
                )
            )
            return self.qa("facts", q.format(w=w, l=lang), f'In {lang}, "{w}" is "{out}".', out)
        if kind == 12:
            term, answer, short = pick(GLOSSARY)
            q = pick(("What is {x}?", "What is {x}?", "Explain {x}.", "Explain what {x} is.", "What does {x} mean?", "Tell me about {x}.",
                      "Can you explain {x}?", "Define {y}.", "What's {x}?"))  # fmt: skip
            return self.qa("facts", q.format(x=term, y=re.sub("^(an?|the) ", "", term)), answer, short)
        if kind == 13:
            person, answer, short = pick(PEOPLE)
            q = pick(("Who is {x}?", "Who was {x}?", "Tell me about {x}.", "What do you know about {x}?"))
            return self.qa("facts", q.format(x=person), answer, short)
        if kind == 14:
            group = pick(tuple(lex.SINGULAR))
            item = pick(lex.CATEGORIES[group])
            q = pick(("What is {x}?", "What kind of thing is {x}?", "What is {x}?", "Tell me about {x}.")).format(
                x=self.a(item)
            )
            answer = f"{self.a(item)} is {self.a(lex.SINGULAR[group])}."
            return self.qa("facts", q, answer[0].upper() + answer[1:], lex.SINGULAR[group])
        if kind == 15:
            country, city = pick(lex.CAPITALS)
            if self.chance(0.5):
                q = pick(("Tell me about {x}.", "What is {x}?", "What do you know about {x}?", "Describe {x}."))
                return self.qa(
                    "facts", q.format(x=city), f"{city} is the capital of {self.the(country)}.", self.the(country)
                )
            q = pick(("Tell me about {x}.", "What is {x}?", "What do you know about {x}?"))
            return self.qa("facts", q.format(x=country), f"{country} is a country. Its capital is {city}.", "A country")
        if kind == 16 and self.chance(0.3):
            q = pick(
                (
                    "Write the alphabet.",
                    "Say the alphabet.",
                    "What are the letters of the alphabet?",
                    "List the alphabet.",
                )
            )
            return self.qa("facts", q, ", ".join("abcdefghijklmnopqrstuvwxyz"), "a to z")
        if kind == 17:
            animal, food = pick(lex.DIETS)
            q = pick(
                ("What do {x} eat?", "What do {x} like to eat?", "Tell me what {x} eat.", "What is the food of {x}?")
            ).format(x=animal)
            return self.qa("facts", q, f"{animal[0].upper()}{animal[1:]} eat {food}.", food)
        if kind == 16:
            thing = pick(lex.ANIMALS) if self.chance(0.5) else pick(lex.OBJECTS)
            q = pick(("Write a sentence about a {x}.", "Write a sentence about the {x}.", "Give me a sentence with the word {x}.",
                      "Write one sentence about a {x}", "Use {x} in a sentence.", "Make a sentence with {x}.")).format(x=thing)  # fmt: skip
            if thing in lex.ANIMALS and self.chance(0.2):
                q = f"Write a sentence about {thing}s."
            return self.qa(
                "facts",
                q,
                f"The {thing} is {'sleeping in the sun' if thing in lex.ANIMALS else 'in the garden'}.",
                thing,
            )
        question, answer, short = pick(lex.MISC_FACTS)
        if self.chance(0.3):
            question = (
                question.replace("What is", "What's", 1) if question.startswith("What is") else "Tell me: " + question
            )
        return self.qa("facts", question, answer, short)
