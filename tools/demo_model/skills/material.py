"""Made-up material: words, names, numbers, codes, sentences, code snippets."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from typing import Any

from .. import lexicon as lex
from ..chat import dumps
from ..phrases.code_samples import CODE_SHAPES, IDENTIFIERS, PY_FUNCTIONS
from .source import ALL_WORDS, Source


class Material(Source):
    """Draws the strings and values that exchanges are about."""

    def pseudo(self, low: int = 1, high: int = 3) -> str:
        """A pronounceable made-up word."""
        rng = self.rng
        word = "".join(
            rng.choice(lex.words("b c d f g h j k l m n p r s t v w z br dr fl gr kl pl st tr sh th"))
            + rng.choice("aeiou")
            for _ in range(rng.randint(low, high))
        )
        return word + rng.choice(("", "n", "r", "s", "x", "l", "m", "k"))

    def letters(self, low: int, high: int) -> str:
        return "".join(self.rng.choices("abcdefghijklmnopqrstuvwxyz", k=self.rng.randint(low, high)))

    def code(self) -> str:
        """A short mixed code such as ``X7K2`` or ``ab-12``."""
        rng = self.rng
        alphabet = rng.choice(("ABCDEFGHJKLMNPQRSTUVWXYZ0123456789", "abcdef0123456789", "0123456789"))
        text = "".join(rng.choices(alphabet, k=rng.randint(3, 7)))
        return text if self.chance(0.8) else text[:2] + rng.choice("-_.") + text[2:]

    def word(self) -> str:
        """A word: mostly real, sometimes made up."""
        r = self.rng.random()
        if r < 0.70:
            return self.rng.choice(ALL_WORDS)
        if r < 0.85:
            return self.pseudo()
        return self.letters(3, 7)

    def phrase(self, low: int = 2, high: int = 5) -> str:
        return " ".join(self.rng.choice(ALL_WORDS) for _ in range(self.rng.randint(low, high)))

    def sentence(self) -> str:
        rng = self.rng
        return rng.choice((
            f"The {rng.choice(lex.ADJECTIVES)} {rng.choice(lex.ANIMALS)} sees a {rng.choice(lex.OBJECTS)}.",
            f"{rng.choice(lex.NAMES)} has a {rng.choice(lex.COLORS)} {rng.choice(lex.OBJECTS)}.",
            f"{rng.choice(lex.NAMES)} lives in {rng.choice(lex.CITIES)} with a {rng.choice(lex.ANIMALS)}.",
            f"I like {rng.choice(lex.FOODS)} and {rng.choice(lex.FOODS)}!",
            f"The {rng.choice(lex.OBJECTS)} costs {rng.randint(2, 99)} dollars.",
            f"Where is my {rng.choice(lex.COLORS)} {rng.choice(lex.OBJECTS)}?",
            f"{rng.choice(lex.NAMES)} and {rng.choice(lex.NAMES)} went to the {rng.choice(lex.PLACES)}.",
        ))  # fmt: skip

    def number(self, digits: int) -> int:
        return self.rng.randint(0 if digits == 1 else 10 ** (digits - 1), 10**digits - 1)

    def city(self) -> str:
        pick = self.rng.choice
        r = self.rng.random()
        if r < 0.68:
            return pick(lex.CITIES)
        if r < 0.80:
            return pick(lex.CAPITALS)[1]
        if r < 0.92:
            return pick(lex.LONG_CITIES)
        return ", ".join(reversed(pick(lex.CAPITALS)))

    def date(self) -> str:
        rng = self.rng
        return f"{rng.randint(2020, 2030)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"

    def json_value(self) -> Any:
        rng = self.rng
        r = rng.random()
        if r < 0.35:
            return rng.randint(0, 9999)
        if r < 0.45:
            return self.chance(0.5)
        if r < 0.5:
            return round(rng.uniform(0, 100), rng.choice((1, 2)))
        return rng.choice(
            (self.word(), self.word(), rng.choice(lex.NAMES), rng.choice(lex.CITIES), self.phrase(2, 3), self.code())
        )

    def snippet(self) -> tuple[str, dict[str, str]]:
        """Random Python code and the names used in it."""
        rng = self.rng
        ids = rng.sample(IDENTIFIERS, 4) if self.chance(0.8) else [self.pseudo(2, 3) + "_" + str(i) for i in range(4)]
        func = rng.choice(
            (rng.choice(lex.VERBS), f"{rng.choice(lex.VERBS)}_{rng.choice(lex.NOUNS)}", self.pseudo(2, 2))
        )
        names = dict(zip("abcd", ids, strict=True))
        names |= {
            "f": func,
            "F": rng.choice(lex.NOUNS).capitalize(),
            "n": str(rng.randint(1, 50)),
            "m": str(rng.randint(51, 99)),
        }
        shapes = rng.sample(CODE_SHAPES, rng.choice((1, 1, 1, 2)))
        return "\n\n".join(shape.format(**names) for shape in shapes), names

    def symbols(self) -> str:
        """A string with punctuation: addresses, prices, code, JSON, random marks."""
        rng = self.rng
        pick = rng.choice
        kind = rng.randrange(11)
        if kind == 0:
            query = "&".join(
                f"{pick(lex.PARAM_NAMES + tuple('abcxyz'))}={pick((rng.randint(0, 99), self.word()))}"
                for _ in range(rng.randint(1, 3))
            )
            tail = pick(
                (
                    "",
                    "/",
                    f"/{self.word()}",
                    f"/{self.word()}/{rng.randint(1, 99)}",
                    f"/{self.word()}.html",
                    f"#{self.word()}",
                )
            )
            host = pick(
                (
                    f"{self.word()}.{pick(('com', 'org', 'net', 'io'))}",
                    "example.com",
                    "localhost:8080",
                    "127.0.0.1:11435",
                )
            )
            return f"{pick(('https', 'http'))}://{pick(('', '', 'www.', 'api.'))}{host}{tail}{pick(('', '?' + query))}"
        if kind == 1:
            obj: Any = {
                self.word(): pick((self.json_value(), None, [rng.randint(0, 9) for _ in range(3)]))
                for _ in range(rng.randint(1, 3))
            }
            obj = pick((obj, obj, [self.json_value() for _ in range(rng.randint(1, 4))], {"data": obj}))
            return dumps(obj)
        if kind == 2:
            return pick((f"${rng.randint(1, 99)}.{rng.randint(10, 99)}", f"{rng.randint(1, 100)}%", f"#{rng.randint(1, 999)}", f"{rng.randint(1, 99)},{rng.randint(100, 999)}",
                         f"v{rng.randint(0, 9)}.{rng.randint(0, 20)}.{rng.randint(0, 9)}", f"{rng.randint(0, 9)}.{rng.randint(0, 9999)}", f"-{rng.randint(1, 99)}",
                         f"{rng.randint(1, 12)}/{rng.randint(1, 28)}/{rng.randint(1990, 2030)}", self.date(), f"+{rng.randint(1, 99)} {rng.randint(100, 999)} {rng.randint(1000, 9999)}"))  # fmt: skip
        if kind == 3:
            joint = pick(("_", "-", ".", "/", ":", "|", ";", ",", "+", "=", "::", "->", "&", "@", "~", "*"))
            return joint.join(
                pick((self.word(), self.word(), self.letters(1, 3), str(rng.randint(0, 99))))
                for _ in range(rng.randint(2, 5))
            )
        if kind == 4:
            return "".join(
                rng.choices(
                    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!?#$%&*+-=@_.,:;/()[]{}<>^~|",
                    k=rng.randint(3, 14),
                )
            )
        if kind == 5:
            words = [pick((w, w, w.capitalize(), w.upper())) for w in self.phrase(3, 8).split()]
            i = rng.randrange(len(words))
            words[i] = pick(
                (
                    f'"{words[i]}"',
                    f"({words[i]})",
                    f"*{words[i]}*",
                    f"'{words[i]}'",
                    f"`{words[i]}`",
                    f"<{words[i]}>",
                    f"[{words[i]}]",
                    f"**{words[i]}**",
                )
            )
            text = " ".join(w + (pick((",", ";", ":", "...")) if self.chance(0.15) else "") for w in words)
            return text + pick(("", ".", "!", "?", "...", "?!"))
        if kind == 6:
            return (
                self.snippet()[0].split("\n")[0]
                if self.chance(0.5)
                else pick(PY_FUNCTIONS)[1].format(f=self.word()).split("\n")[-1].strip()
            )
        if kind == 7:
            return f"{self.word()}@{self.word()}.{pick(('com', 'org', 'net'))}"
        if kind == 8:
            return (
                pick(("/", "./", "~/", "C:\\\\", "../"))[: rng.randint(1, 4)]
                + "/".join(self.word() for _ in range(rng.randint(1, 4)))
                + pick(("", ".txt", ".py", ".gguf", ".tar.gz"))
            )
        if kind == 9:
            return f"{self.word()}{self.word().capitalize()}{pick(('', self.word().capitalize(), str(rng.randint(0, 99))))}"
        a, b = rng.randint(0, 99), rng.randint(0, 99)
        return pick(
            (
                f"{a} {pick('+-*/<>=')} {b}",
                f"{a}{pick('+-*/<>=')}{b}",
                f"f({a}, {b})",
                f"x = {a}",
                f"[{a}, {b}]",
                f"({a}; {b})",
                f"{{{a}: {b}}}",
                f"{a}:{b:02d}",
            )
        )

    def anything(self) -> str:
        """A string worth copying."""
        rng = self.rng
        r = rng.random()
        if r < 0.25:
            return self.symbols()
        r = rng.random()
        if r < 0.30:
            return self.word()
        if r < 0.50:
            return self.phrase(2, 6)
        if r < 0.70:
            return " ".join(self.sentence() for _ in range(rng.choice((1, 1, 1, 2))))
        if r < 0.80:
            return self.code()
        if r < 0.86:
            return " ".join(rng.choice(lex.UNICODE_WORDS) for _ in range(rng.randint(1, 3)))
        if r < 0.91:
            return " ".join(rng.choice((self.word(), rng.choice(lex.EMOJI))) for _ in range(rng.randint(1, 4)))
        if r < 0.95:
            return " ".join(str(rng.randint(0, 999)) for _ in range(rng.randint(2, 6)))
        return " ".join(self.pseudo() for _ in range(rng.randint(2, 4)))
