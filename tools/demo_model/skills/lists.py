"""Lists of things of one kind."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from ..phrases.word_lists import NUMBER_WORDS
from .material import Material
from .source import ALL_WORDS


class Lists(Material):
    """Naming, sorting and choosing items."""

    def lists(self) -> Block | None:
        rng = self.rng
        group = rng.choice(tuple(lex.CATEGORIES))
        items = lex.CATEGORIES[group]
        single = lex.SINGULAR.get(group) or group.removesuffix("s")
        if self.chance(0.15) and " " not in group and group != "countries":
            q = rng.choice(
                ("Name {g}.", "Give me {g}.", "Tell me {g}.", "Name one {h}.", "Can you name {g}?", "Name any {h}")
            )
            q = self.vary(q.format(g=("an " if single[0] in "aeiou" else "a ") + single, h=single))
            name = items[0][0].upper() + items[0][1:]
            return self.say("lists", q, f"{name}.", name) if self.ok("lists", q) else None
        if group in ("planets", "seasons", "days of the week", "months") and self.chance(0.6):
            q = rng.choice(
                (
                    "List the {g}.",
                    "Name the {g}.",
                    "What are the {g}?",
                    "List all {g}.",
                    "Name all {g}",
                    "Tell me the {g}.",
                )
            )
            answer = (
                "\n".join(f"{i}. {item}" for i, item in enumerate(items, 1))
                if q.startswith("List")
                else ", ".join(items) + "."
            )
            q = self.vary(q.format(g=group))
            return self.say("lists", q, answer, ", ".join(items[:3])) if self.ok("lists", q) else None
        if self.chance(0.04):
            x, y = rng.sample(ALL_WORDS, 2)
            q = rng.choice(
                ("Pick one: {x} or {y}", "Choose {x} or {y}.", "Choose one: {x} or {y}?", "{x} or {y}? Pick one.")
            ).format(x=x, y=y)
            return self.say("lists", q, x, x, "verbatim") if self.ok("lists", q) else None
        n = rng.randint(2, min(10, len(items)))
        count = str(n) if self.chance(0.65) else NUMBER_WORDS[n]
        if self.chance(0.5):
            q = rng.choice(("List {n} {g}.", "Give me a list of {n} {g}.", "Make a list of {n} {g}.", "Write a numbered list of {n} {g}.",
                            "Write a list of {n} {g}", "List {n} {g}", "Make a numbered list of {n} {g}."))  # fmt: skip
            answer = "\n".join(f"{i}. {item}" for i, item in enumerate(items[:n], 1))
        else:
            q = rng.choice(
                (
                    "Name {n} {g}.",
                    "Can you name {n} {g}?",
                    "Tell me {n} {g}.",
                    "Name me {n} {g}",
                    "Give me {n} {g}.",
                    "Name {n} {g}",
                )
            )
            answer = ", ".join(items[:n]) + "."
        q = self.vary(q.format(n=count, g=group))
        return self.say("lists", q, answer, ", ".join(items[: min(n, 3)])) if self.ok("lists", q) else None
