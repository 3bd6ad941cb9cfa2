"""Answering from a given text."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from .. import lexicon as lex
from ..chat import Block
from ..phrases.people import JOBS
from ..phrases.reading import EXTRACTS, OPINIONS
from ..phrases.word_lists import BAD_WORDS, GOOD_WORDS
from .material import Material


class Reading(Material):
    """Questions, extraction and sentiment over a short text."""

    def reading(self) -> Block | None:
        """Answer a question from a passage; sometimes the fact is hidden in a long text."""
        rng = self.rng
        r = rng.random()
        if r < 0.12:
            thing = rng.choice(("code word", "secret number", "password", "magic word", "key", "room number"))
            v = str(rng.randint(10, 99999)) if "number" in thing else self.word()
            filler = [self.sentence() for _ in range(rng.randint(2, 60) if self.chance(0.5) else rng.randint(2, 12))]
            filler.insert(rng.randrange(len(filler) + 1), f"The {thing} is {v}.")
            text = " ".join(filler)
            if not self.ok("reading", text):
                return None
            q = rng.choice(
                (
                    "{t}\n\nWhat is the {x}?",
                    "Read this text: {t}\nWhat is the {x}?",
                    "Text: {t}\n\nQuestion: What is the {x}?",
                )
            )
            return self.say("reading", q.format(t=text, x=thing), f"The {thing} is {v}.", v)
        if r < 0.26:
            good = self.chance(0.5)
            thing = rng.choice(lex.OBJECTS + lex.FOODS + ("movie", "book", "show", "hotel", "service", "trip", "game"))
            text = rng.choice(OPINIONS).format(
                x=thing,
                a=rng.choice(GOOD_WORDS if good else BAD_WORDS),
                b=rng.choice(GOOD_WORDS if good else BAD_WORDS),
            )
            text = rng.choice(
                (
                    text,
                    text,
                    f"I {rng.choice(('love', 'like', 'enjoy') if good else ('hate', 'dislike', 'regret'))} this {thing}!",
                )
            )
            q = rng.choice(("Is this positive or negative? {t}", "Classify the sentiment: {t}", 'What is the sentiment of "{t}"?', "Sentiment: {t}",
                            "Is the following review positive or negative?\n{t}", "Classify as positive or negative: {t}", "Classify: {t}",
                            "Positive or negative: {t}")).format(t=text)  # fmt: skip
            answer = "positive" if good else "negative"
            return self.say("reading", q, answer, answer, "verbatim") if self.ok("reading", text) else None
        if r < 0.36:
            kind, v = rng.choice((
                ("email", f"{rng.choice((rng.choice(lex.NAMES).lower(), self.pseudo()))}@{rng.choice(('example.com', 'mail.com', 'test.org'))}"), ("date", self.date()),
                ("phone number", f"{rng.randint(100, 999)}-{rng.randint(1000, 9999)}"), ("number", str(rng.randint(1, 9999))),
                ("city", rng.choice(lex.CITIES)), ("name", rng.choice(lex.NAMES)), ("color", rng.choice(lex.COLORS)),
                ("URL", f"https://{self.word()}.com/{self.word()}"), ("price", f"{rng.randint(1, 500)} dollars"), ("animal", rng.choice(lex.ANIMALS)),
            ))  # fmt: skip
            text = rng.choice(EXTRACTS[kind]).format(v=v)
            if not self.ok("extract", text):
                return None
            q = rng.choice(("Extract the {k}: {t}", "Extract the {k} from this text: {t}", "What is the {k} in this text? {t}", "Find the {k}: {t}",
                            "{t}\nExtract the {k}.", "Extract the {k} from: {t}")).format(k=kind, t=text)  # fmt: skip
            return self.say("reading", q, v, v if len(v.split()) < 4 else None, "verbatim")
        if r < 0.42:
            sentences = [self.sentence() for _ in range(rng.randint(1, 4))]
            text = " ".join(sentences)
            if not self.ok("reading", text):
                return None
            q = rng.choice(
                (
                    "Summarize: {t}",
                    "Summarize this text: {t}",
                    "Summarize in one sentence: {t}",
                    "Give me a short summary:\n{t}",
                )
            )
            return self.say("reading", q.format(t=text), sentences[0], None)
        people = rng.sample(lex.NAMES, rng.randint(2, 4))
        kinds = (
            ("{p} lives in {v}.", "Where does {p} live?", lex.CITIES),
            ("{p} has a {v}.", "What does {p} have?", lex.ANIMALS),
            ("{p} likes {v}.", "What does {p} like?", lex.FOODS),
            ("{p} works as a {v}.", "What is the job of {p}?", JOBS),
            ("{p} is {v} years old.", "How old is {p}?", tuple(str(i) for i in range(10, 90))),
        )
        chosen = rng.sample(kinds, rng.randint(1, 2))
        facts = []
        for fact, question, values in chosen:
            for p in people:
                v = rng.choice(values)
                facts.append((p, v, fact.format(p=p, v=v), question.format(p=p)))
        rng.shuffle(facts)
        facts = facts[:6]
        p, v, answer, question = rng.choice(facts)
        text = " ".join(f[2] for f in facts)
        short = v
        if self.chance(0.1):
            other = rng.choice([n for n in lex.NAMES if n not in people])
            question, answer, short = question.replace(p, other), "The text does not say.", "Not said"
        form = rng.choice(("{t}\n{q}", "Context: {t}\n\nQuestion: {q}", "Text: {t}\nQuestion: {q}", "Read this: {t}\n{q}",
                           "Context:\n{t}\n\nQuestion: {q}", "{t} {q}", "Answer from the text.\n{t}\n{q}"))  # fmt: skip
        if not self.ok("reading", text, question):
            return None
        return self.say("reading", form.format(t=text, q=question), answer, short)
