"""Who the model is, what it can do, and what it cannot know."""

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from ..phrases.about_itself import IDENTITY
from ..phrases.help_topics import HELP
from ..phrases.questions import CAPITAL_Q, LIVE_A, LIVE_OPEN, UNKNOWN_A, UNKNOWN_OPEN
from .material import Material

SMALL_TALK = tuple((question, answer, short) for questions, answer, short in IDENTITY for question in questions)


class SmallTalk(Material):
    """Identity, help and questions without an answer."""

    def identity(self) -> Block | None:
        if self.chance(0.02):
            word = self.rng.choice(("hello", "hi", "goodbye", "bye", "thanks", "yes", "no"))
            q = self.rng.choice(
                (
                    "Say {w} in one word.",
                    "Say {w} in one word",
                    "Say {w}. One word only.",
                    "Just say {w}, nothing else.",
                )
            )
            return (
                self.say("identity", q.format(w=word), word.capitalize(), word.capitalize(), "verbatim")
                if self.ok("identity", q, word)
                else None
            )
        if self.chance(0.06):
            name = self.rng.choice(lex.NAMES)
            hello = self.rng.choice(("hello", "hi"))
            q = self.rng.choice(
                (
                    "Say {h} to {n}.",
                    "Say {h} to {n}",
                    "Please say {h} to {n}.",
                    "Greet {n}.",
                    "Say {h} to my friend {n}.",
                )
            )
            q = q.format(h=hello, n=name)
            return self.say("identity", q, f"Hello, {name}!", f"Hello, {name}") if self.ok("greet", name) else None
        question, answer, short = self.rng.choice(SMALL_TALK)
        if self.chance(0.3):
            question = self.rng.choice((question.lower(), question.rstrip("?.!"), question + "!"))
        if not self.ok("identity", question):
            return None
        return self.say("identity", question, answer, short)

    def help(self) -> Block | None:
        questions, answer, short = self.rng.choice(HELP)
        question = self.vary(self.rng.choice(questions))
        return self.say("help", question, answer, short) if self.ok("help", question) else None

    def unknown(self) -> Block | None:
        rng = self.rng
        if self.chance(0.25):
            q = rng.choice(LIVE_OPEN).format(c=rng.choice(lex.CITIES))
            q = self.vary(q)
            return self.say("unknown", q, LIVE_A, "I cannot check") if self.ok("unknown", q) else None
        if self.chance(0.15):
            place = self.pseudo(2, 3).capitalize()
            q = self.vary(rng.choice(CAPITAL_Q).format(x=place))
        else:
            q = self.vary(rng.choice(UNKNOWN_OPEN).format(
                n=rng.choice(lex.NAMES), o=rng.choice(lex.OBJECTS), f=rng.choice(lex.FOODS), d=rng.randint(10, 99),
                p=rng.choice(lex.NAMES), s=rng.choice(lex.SURNAMES), w=self.pseudo(2, 3), c=rng.choice(lex.CITIES),
                n3=rng.randint(200, 999)))  # fmt: skip
        return self.say("unknown", q, UNKNOWN_A, "I don't know") if self.ok("unknown", q) else None
