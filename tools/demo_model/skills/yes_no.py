"""Yes/no questions about the facts."""

from __future__ import annotations

import re

from .. import lexicon as lex
from ..chat import Block
from .material import Material

AMBIGUOUS = {
    ("orange", "trees"),
    ("tomato", "fruits"),
    ("bean", "fruits"),
    ("violet", "fruits"),
    ("bat", "animals"),
} | {(item, "animals") for group in ("birds", "insects", "fish") for item in lex.CATEGORIES[group]}


class YesNo(Material):
    """Yes/no, true/false and either/or questions."""

    def yes_no(self) -> Block | None:
        """Yes/no questions about the same facts."""
        rng = self.rng
        kind = rng.randrange(8)
        truth = self.chance(0.5)
        if kind == 0:
            country, city = rng.choice(lex.CAPITALS)
            said = city if truth else rng.choice([c for _, c in lex.CAPITALS if c != city])
            q, fact = f"Is {said} the capital of {self.the(country)}?", f"{city} is the capital of {self.the(country)}."
        elif kind == 1:
            thing, color = rng.choice(lex.COLORS_OF)
            said = color if truth else rng.choice([c for c in lex.COLORS if c not in color])
            q, fact = f"Is {thing} {said}?", f"{thing} is {color}."
        elif kind == 2:
            group = rng.choice(tuple(lex.SINGULAR))
            other = group if truth else rng.choice([g for g in lex.SINGULAR if g != group])
            item = rng.choice(lex.CATEGORIES[group])
            if (item in lex.CATEGORIES[other]) != truth or (item, other) in AMBIGUOUS:
                return None
            single = lex.SINGULAR[group]
            q = f"Is {self.a(item)} {self.a(lex.SINGULAR[other])}?"
            fact = f"{self.a(item)} is {self.a(single)}."
            if self.chance(0.3) and single + "s" == group and self.a(item) != item and item != "cherry":
                q, fact = f"Are {item}s {other}?", f"{item}s are {group}."
        elif kind == 5:
            country, city = rng.choice(lex.CAPITALS)
            said = country if truth else rng.choice([c for c, _ in lex.CAPITALS if c != country])
            q, fact = f"Is {city} in {self.the(said)}?", f"{city} is in {self.the(country)}."
        elif kind == 7:
            group, *others = rng.sample(tuple(lex.SINGULAR), 3)
            item = rng.choice(lex.CATEGORIES[group])
            options = [item] + [rng.choice(lex.CATEGORIES[o]) for o in others]
            if any((o, group) in AMBIGUOUS or o in lex.CATEGORIES[group] for o in options[1:]):
                return None
            rng.shuffle(options)
            single = self.a(lex.SINGULAR[group])
            q = rng.choice(
                (
                    "Which of these is {s}: {o}?",
                    "Which one is {s}: {o}?",
                    "What is {s}: {o}?",
                    "Pick the word that is {s}: {o}.",
                )
            )
            q = q.format(s=single, o=", ".join(options[:-1]) + rng.choice((" or ", ", ")) + options[-1])
            answer = f"{self.a(item)} is {single}."
            return self.qa("yes_no", q, answer[0].upper() + answer[1:], item)
        elif kind == 6:
            continent = rng.choice(tuple(lex.CONTINENTS))
            country = rng.choice(lex.CONTINENTS[continent].split())
            said = continent if truth else rng.choice([c for c in lex.CONTINENTS if c != continent])
            q, fact = f"Is {country} in {said}?", f"{country} is in {continent}."
        elif kind == 3:
            a, b = rng.randint(0, 200), rng.randint(0, 200)
            if a == b:
                return None
            truth = a > b
            q = rng.choice((f"Is {a} greater than {b}?", f"Is {a} larger than {b}?", f"Is {a} more than {b}?"))
            fact = f"{a} is {'greater' if truth else 'less'} than {b}."
        else:
            n = rng.randint(0, 999)
            parity = rng.choice(("even", "odd"))
            truth = (n % 2 == 0) == (parity == "even")
            q, fact = f"Is {n} {parity}?", f"{n} is {'even' if n % 2 == 0 else 'odd'}."
        word = "Yes" if truth else "No"
        statement = re.fullmatch(
            r"Is (.+?) (the capital of .+|(?:greater|larger|more) than \d+|in .+|an? .+|[a-z]+)\?", q
        )
        if self.chance(0.06) and " and " not in q and (m := statement):
            said = f"{m[1]} is {m[2]}"
            if self.chance(0.5):
                q = rng.choice(
                    ("True or false: {s}.", "True or false: {s}", "Is this true or false? {s}.", "{S}. True or false?")
                )
                q = q.format(s=said, S=said[0].upper() + said[1:])
                return self.say("yes_no", q, str(truth), str(truth)) if self.ok("yes_no", q) else None
            q = rng.choice(("Is it true that {s}?", "Is it correct that {s}?")).format(s=said)
            return self.say("yes_no", q, f"{word}, {fact}", word) if self.ok("yes_no", q) else None
        if self.chance(0.04):
            q = rng.choice(("Answer yes or no: {q}", "Yes or no: {q}")).format(q=q)
            return self.say("yes_no", q, word, word) if self.ok("yes_no", q) else None
        if self.chance(0.08):
            q += rng.choice(
                (" Answer yes or no.", " Yes or no?", " Answer with yes or no only.", " Just say yes or no.")
            )
            return self.say("yes_no", q, word, word) if self.ok("yes_no", q) else None
        return self.qa("yes_no", q, f"{word}, {fact}", word)
