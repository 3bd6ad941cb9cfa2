"""Whole conversations and other documents, composed from the skills."""

# ruff: noqa: E501 (tables of phrases)

from __future__ import annotations

from collections.abc import Callable

from . import lexicon as lex
from .chat import DEFAULT_SYSTEM, Block, Chat, dumps, restyle
from .phrases.code_samples import PY_FUNCTIONS
from .phrases.people import JOBS
from .phrases.questions import SYSTEM_VARIANTS
from .phrases.writing import BEINGS
from .skills.source import ALL_WORDS
from .tool_skills.conversations import ToolSkills

SKILL_WEIGHTS: tuple[tuple[float, str], ...] = (
    (7, "identity"), (4, "help"), (6, "capital"), (16, "fact"), (7, "yes_no"), (5, "unknown"), (16, "arithmetic"),
    (8, "numbers"), (14, "copy"), (14, "strings"), (3, "two_questions"), (0.7, "emoji"), (4, "lists"), (3, "story"), (1, "poem"), (4, "python"),
    (5, "code_edit"), (4, "reading"), (10, "json"),
)  # fmt: skip
TOTAL_WEIGHT = sum(w for w, _ in SKILL_WEIGHTS)


class Generator(ToolSkills):
    """Composes whole conversations and other documents."""

    def block(self) -> Block | None:
        """Any block that needs no tools and no earlier turns."""
        r = self.rng.random() * TOTAL_WEIGHT
        for weight, name in SKILL_WEIGHTS:
            r -= weight
            if r < 0:
                return getattr(self, name)()
        return None

    def system(self) -> str | None:
        r = self.rng.random()
        if r < 0.62:
            return DEFAULT_SYSTEM
        if r < 0.72:
            return None
        return self.rng.choice(SYSTEM_VARIANTS)

    def length(self) -> int:
        """How many blocks a conversation has."""
        r = self.rng.random()
        if r < 0.42:
            return 1
        if r < 0.62:
            return 2
        if r < 0.88:
            return self.rng.randint(3, 5)
        if r < 0.97:
            return self.rng.randint(6, 12)
        return self.rng.randint(13, 40)

    def chat(self, style: str = "plain") -> Chat:
        """One conversation."""
        self.memory = {}
        chat = Chat(self.system())
        n = self.length()
        r = self.rng.random()
        if r < 0.30:
            blocks = self.tool_chat(chat, min(n, 12))
            if chat.system is None:
                chat.system = DEFAULT_SYSTEM
        elif r < 0.38 and style == "plain":
            blocks, style = self.obedience(chat, n)
        elif r < 0.42 and style == "plain":
            blocks = self.persona(chat, n)
        else:
            blocks = self.plain_chat(n)
        budget = 6200  # characters; about 2000 tokens
        used = len(chat.system or "") + sum(len(dumps(t)) for t in chat.tools)
        for block in blocks:
            msgs = [restyle(m, style) for m in block.msgs]
            if any(m is None for m in msgs):
                continue
            size = sum(len(m.content) + 60 * len(m.calls) + 30 for m in msgs if m)
            if used + size > budget:
                break
            used += size
            chat.msgs.extend(m for m in msgs if m)
        return chat

    def plain_chat(self, n: int) -> list[Block]:
        rng = self.rng
        blocks: list[Block] = []
        asks: list[Callable[[], Block]] = []
        remembering = n > 1 and self.chance(0.55)
        for i in range(n):
            if remembering and ((i == 0 and self.chance(0.7)) or self.chance(0.12)):
                before = set(self.memory)
                told, ask = self.remember() if self.chance(0.8) or self.memory else self.remember_two()
                new = set(self.memory) - before
                if not new:  # told again: older questions would be stale
                    asks = []
                blocks.append(told)
                asks.append(ask)
            elif asks and self.chance(0.4):
                blocks.append(rng.choice(asks)())
            elif self.chance(0.02) and blocks and len(blocks[-1].msgs[0].content) < 160:
                q = rng.choice(
                    (
                        "Repeat my last message.",
                        "What did I just say?",
                        "What was my last message?",
                        "Repeat what I said.",
                    )
                )
                blocks.append(self.say("echo", q, blocks[-1].msgs[0].content, None, "verbatim"))
            elif (
                (self.chance(0.025) and (block := self.forgotten()))
                or (self.chance(0.02) and not self.memory and (block := self.memory_now()))
                or (block := self.block())
            ):
                blocks.append(block)
        if asks and self.chance(0.9):
            blocks.append(rng.choice(asks)())
        return blocks

    def obedience(self, chat: Chat, n: int) -> tuple[list[Block], str]:
        """The system prompt prescribes the form of every answer."""
        rng = self.rng
        word = rng.choice(
            (
                rng.choice(ALL_WORDS),
                rng.choice(ALL_WORDS).upper(),
                rng.choice(ALL_WORDS),
                self.pseudo(),
                "Over.",
                "Bye!",
                "Sir.",
            )
        )
        style, rules = rng.choice((
            ("word", ("Answer in one word.", "Answer with one word only.", "Always answer with a single word.", "You answer in one word.")),
            ("word", ("Answer in one word.", "Reply with only one word.", "Use only one word in every answer.")),
            ("upper", ("Answer in upper case.", "Always answer in upper case.", "Write everything in capital letters.",
                       "Answer in uppercase letters only.", "You always answer in upper case.")),
            ("lower", ("Answer in lower case.", "Always answer in lower case.", "Use only lower case letters.")),
            ("json", ("Answer in JSON.", "Answer only in JSON.", "You only speak JSON.", 'Always answer with JSON: {{"answer": ...}}',
                      'Answer with a JSON object that has the key "answer".')),
            ("end:" + word, ("End every reply with the word {w}", "End every answer with the word {w}", "Always end your answer with {w}", 'Finish every answer with "{w}"',
                             "Always end your answer with the word {w}")),
            ("start:" + word, ("Start every answer with {w}", "Always start your answer with the word {w}", 'Begin every answer with "{w}"')),
        ))  # fmt: skip
        rule = rng.choice(rules).format(w=word)
        if rule[-1] not in '."!':
            rule += "."
        intro = rng.choice(("", "", DEFAULT_SYSTEM + " ", "You are a helpful assistant. "))
        chat.system = intro + rule
        blocks = []
        skills = (self.capital, self.fact, self.yes_no, self.arithmetic, self.fact, self.identity, self.numbers)
        for _ in range(n):
            block = rng.choice(skills)()
            if (
                block
                and block.msgs[-1].kind == "prose"
                and " Answer " not in block.msgs[0].content
                and " word" not in block.msgs[0].content
            ):
                block.skill = "obedience"
                blocks.append(block)
        return blocks, style

    def persona(self, chat: Chat, n: int) -> list[Block]:
        """The system prompt gives a name, a role or facts to use."""
        rng = self.rng
        name = rng.choice(lex.NAMES) if self.chance(0.7) else self.pseudo(2, 3).capitalize()
        role = f"a {rng.choice(('helpful', 'friendly', 'funny', 'patient', 'polite'))} {rng.choice((*JOBS, 'assistant', 'robot', 'guide'))}"
        blocks: list[Block] = []
        if self.chance(0.15):
            role = rng.choice((role, f"a {rng.choice(BEINGS + JOBS)}"))
            chat.system = f"You are {role}."
            blocks.append(
                self.say(
                    "persona",
                    rng.choice(("Who are you?", "What are you?", "Introduce yourself.")),
                    f"I am {role}.",
                    None,
                )
            )
        elif self.chance(0.5):
            chat.system = f"You are {name}, {role}."
            for q in rng.sample(
                ("Who are you?", "What is your name?", "Introduce yourself.", "What are you?", "Tell me your name."),
                rng.randint(1, 2),
            ):
                blocks.append(self.say("persona", q, f"I am {name}, {role}.", name))
        else:
            told, ask = self.remember(rng.choice(("name", "code", "home", "age", "job", "favorite")))
            fact = ask().msgs[1].content
            if not fact.endswith("."):
                return self.plain_chat(n)
            fact = (
                fact.replace("Your ", "The user's ", 1)
                if fact.startswith("Your")
                else fact.replace("You ", "The user ", 1)
            )
            fact = (
                fact.replace("The user live ", "The user lives ")
                .replace("The user are ", "The user is ")
                .replace("The user work ", "The user works ")
            )
            chat.system = rng.choice((DEFAULT_SYSTEM + " ", "You are a helpful assistant. ", "")) + fact
            del told
            block = ask()
            block.skill = "persona"
            blocks.append(block)
        return blocks + [
            b for b in (self.block() for _ in range(n - 1)) if b and b.skill not in ("identity", "forgotten")
        ]

    def document(self) -> str:
        """Text outside any chat: sentences, stories, questions and answers, code, fill-in-the-middle."""
        rng = self.rng
        r = rng.random()
        if r < 0.25:
            return self.story_text(rng.choice(lex.ANIMALS), rng.choice(lex.NAMES) if self.chance(0.5) else None)
        if r < 0.5:
            blocks = [
                b
                for b in (rng.choice((self.capital, self.fact))() for _ in range(rng.randint(1, 12)))
                if b and b.msgs[1].kind == "prose"
            ]
            return " ".join(b.msgs[1].content for b in blocks if b.msgs[1].content.endswith("."))
        if r < 0.7:
            blocks = [
                b
                for b in (
                    rng.choice((self.capital, self.fact, self.arithmetic, self.yes_no))()
                    for _ in range(rng.randint(1, 6))
                )
                if b
            ]
            return "\n".join(
                f"Q: {b.msgs[0].content}\nA: {b.msgs[1].content}" for b in blocks if b.msgs[1].kind == "prose"
            )
        if r < 0.72:
            start, step = rng.randint(0, 50), rng.choice((1, 1, 1, 2, 5, 10))
            return ", ".join(str(start + i * step) for i in range(rng.randint(5, 40)))
        code = self.snippet()[0] if self.chance(0.5) else rng.choice([c.format(f=f) for f, c, _ in PY_FUNCTIONS])
        if r < 0.78:
            return code
        lines = code.split("\n")
        if self.chance(0.6):
            i = rng.randrange(len(lines))
            j = rng.randint(i + 1, len(lines))
            prefix, middle, suffix = "\n".join(lines[:i]), "\n".join(lines[i:j]), "\n".join(lines[j:])
            prefix, suffix = prefix + ("\n" if prefix else ""), ("\n" if suffix else "") + suffix
        else:
            i = rng.randrange(len(code))
            j = rng.randint(i, len(code))
            prefix, middle, suffix = code[:i], code[i:j], code[j:]
        return f"<|fim_prefix|>{prefix}<|fim_suffix|>{suffix}<|fim_middle|>{middle}"

    def training_text(self, style: str = "plain") -> str:
        """One training document, without the final newline of a chat."""
        while True:
            if style == "plain" and self.chance(0.05):
                if text := self.document():
                    return text
                continue
            chat = self.chat(style)
            if chat.msgs:
                return chat.text().rstrip("\n")
