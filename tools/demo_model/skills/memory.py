"""Remembering what the user has told earlier in the conversation."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from collections.abc import Callable, Sequence

from .. import lexicon as lex
from ..chat import Block
from ..phrases.people import JOBS
from .material import Material


class Memory(Material):
    """Telling and asking, in one message or across several."""

    def remember(self, topic: str = "") -> tuple[Block, Callable[[], Block]]:
        """A block that tells the model something, and a function that makes the block that asks for it."""
        rng = self.rng
        pick = rng.choice
        topic = topic or pick(
            ("name", "name", "name", "favorite", "favorite", "code", "code", "pet", "home", "age", "job")
        )
        again = topic in self.memory
        if topic == "name":
            v = pick(lex.NAMES) if self.chance(0.85) else self.pseudo(2, 3).capitalize()
            tell = pick(("My name is {v}.", "My name is {v}.", "I am {v}.", "Hi, I'm {v}.", "Hello, my name is {v}.", "Call me {v}.", "Hi! My name is {v}.",
                         "You can call me {v}.", "my name is {v}", "Please remember that my name is {v}.", "I'm {v}"))  # fmt: skip
            reply, short = f"Nice to meet you, {v}!", f"Hello {v}"
            asks: Sequence[str] = ("What is my name?", "What's my name?", "Do you remember my name?", "Who am I?", "Tell me my name.",
                                   "what is my name", "Can you tell me my name?", "Do you know my name?")  # fmt: skip
            answer = f"Your name is {v}."
        elif topic == "favorite":
            thing, values = pick((("color", lex.COLORS), ("food", lex.FOODS), ("animal", lex.ANIMALS), ("city", lex.CITIES),
                                  ("fruit", lex.CATEGORIES["fruits"]), ("drink", lex.CATEGORIES["drinks"]), ("number", None),
                                  ("sport", lex.CATEGORIES["sports"]), ("word", None), ("flower", lex.CATEGORIES["flowers"])))  # fmt: skip
            v = str(rng.randint(1, 999)) if thing == "number" else pick(values) if values else self.word()
            tell = pick((f"My favorite {thing} is {{v}}.", f"Remember that my favorite {thing} is {{v}}.", f"my favourite {thing} is {{v}}",
                         f"{{v}} is my favorite {thing}.", f"Please remember: my favorite {thing} is {{v}}."))  # fmt: skip
            reply, short = f"Good to know: your favorite {thing} is {v}.", v
            asks = (f"What is my favorite {thing}?", f"What's my favorite {thing}?", f"Which {thing} do I like best?",
                    f"Do you remember my favorite {thing}?", f"what is my favourite {thing}?")  # fmt: skip
            answer = f"Your favorite {thing} is {v}."
            topic += thing
        elif topic == "code":
            thing = pick(
                (
                    "code word",
                    "code word",
                    "secret word",
                    "password",
                    "magic word",
                    "secret number",
                    "secret code",
                    "number",
                    "PIN",
                )
            )
            v = (
                str(rng.randint(10, 99999))
                if thing in ("secret number", "number", "PIN")
                else pick((self.word(), self.word(), self.code()))
            )
            tell = pick((f"The {thing} is {{v}}.", f"Remember the {thing} {{v}}.", f"Remember this {thing}: {{v}}",
                         f"Please remember the {thing}: {{v}}", f"Remember: the {thing} is {{v}}.", f"the {thing} is {{v}}"))  # fmt: skip
            reply, short = f"I will remember: the {thing} is {v}.", v
            asks = (f"What is the {thing}?", f"What was the {thing}?", f"Tell me the {thing}.", f"Do you remember the {thing}?",
                    f"Which {thing} did I tell you?", f"What is the {thing} again?")  # fmt: skip
            answer = f"The {thing} is {v}."
            topic += thing
        elif topic == "pet":
            pet = pick(("dog", "cat", "horse", "rabbit", "parrot", "hamster"))
            v = pick(lex.NAMES)
            tell = pick(
                (f"My {pet} is called {{v}}.", f"I have a {pet} named {{v}}.", f"The name of my {pet} is {{v}}.")
            )
            reply, short = f"{v} is a nice name for a {pet}.", v
            asks = (
                f"What is my {pet} called?",
                f"What is the name of my {pet}?",
                f"How is my {pet} called?",
                f"What's my {pet}'s name?",
            )
            answer = f"Your {pet} is called {v}."
            topic += pet
        elif topic == "home":
            v = pick(lex.CITIES)
            tell = pick(("I live in {v}.", "I am from {v}.", "My home is in {v}.", "I come from {v}."))
            reply, short = f"{v} sounds nice!", v
            asks = ("Where do I live?", "In which city do I live?", "Where is my home?", "Do you know where I live?")
            answer = f"You live in {v}."
        elif topic == "age":
            v = str(rng.randint(5, 99))
            tell = pick(("I am {v} years old.", "I'm {v} years old.", "My age is {v}."))
            reply, short = f"Got it, you are {v} years old.", v
            asks = ("How old am I?", "What is my age?", "Do you know how old I am?")
            answer = f"You are {v} years old."
        else:
            v = pick(JOBS)
            tell = pick(("I work as a {v}.", "I am a {v}.", "My job is {v}."))
            reply, short = f"Being a {v} sounds interesting!", v
            asks = ("What is my job?", "What do I do for work?", "What do I work as?")
            answer = f"You work as a {v}."
        self.memory[topic] = v
        text = tell.format(v=v)
        self.told = (text, answer)
        if again:
            text = "Actually, " + text
        told = self.say("remember", text, reply, short if len(short.split()) <= 3 else None)

        def ask() -> Block:
            r = self.rng.random()
            q = self.rng.choice(asks)
            if r < 0.1:
                return self.say("memory", q + " Answer in one word.", v, v, "verbatim")
            return self.say("memory", q, answer, v if len(v.split()) <= 3 else None)

        return told, ask

    def remember_two(self) -> tuple[Block, Callable[[], Block]]:
        """Two things told in one message."""
        topics = ["name", "home", "age", "job", "favorite", "code", "pet"]
        topic = "name" if self.chance(0.5) else self.rng.choice(topics)
        topics.remove(topic)
        first, ask_first = self.remember(topic)
        told, _ = self.told
        second, ask_second = self.remember(self.rng.choice(topics))
        other, _ = self.told
        glue = self.rng.choice((" ", " ", " and ")) if told[-1] in ".!" else ". "
        if glue == " and ":
            text = told[:-1] + glue + (other if other.startswith(("I ", "I'")) else other[0].lower() + other[1:])
        else:
            text = told + glue + other
        block = self.say("remember", text, first.msgs[1].content + " " + second.msgs[1].content, first.msgs[1].short)
        self.pair = (ask_first, ask_second)
        return block, lambda: self.rng.choice((ask_first, ask_second))()

    def memory_now(self) -> Block | None:
        """Something is told and asked for in the same message."""
        self.memory, saved = {}, self.memory
        if self.chance(0.4):
            both, _ = self.remember_two()
            told = both.msgs[0].content
            block = self.rng.choice(self.pair)()
        else:
            _, ask = self.remember()
            told = self.told[0]
            block = ask()
        self.memory = saved
        question = block.msgs[0].content
        block.msgs[0].content = told + ("" if told[-1] in ".!" else ".") + " " + question
        return block if self.ok("memory", block.msgs[0].content) else None

    def forgotten(self) -> Block | None:
        """Asking for something that was never said."""
        q, topic, what = self.rng.choice((
            ("What is my name?", "name", "your name"), ("Do you know my name?", "name", "your name"),
            ("Who am I?", "name", "your name"), ("How old am I?", "age", "your age"), ("What is my job?", "job", "your job"),
            ("Where do I live?", "home", "where you live"), ("What is my favorite color?", "favoritecolor", "your favorite color"),
            ("What is my favorite food?", "favoritefood", "your favorite food"),
            ("What is the code word?", "codecode word", "the code word"), ("What is the password?", "codepassword", "the password"),
        ))  # fmt: skip
        if topic in self.memory:
            return None
        return self.say("forgotten", self.vary(q), f"You have not told me {what}.", "You never said")
